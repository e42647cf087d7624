//! The least and the greatest value of pages and chunks, as Parquet orders and writes them.

use parquet::{
    data_type::ByteArray,
    file::statistics::{Statistics, ValueStatistics},
};

use crate::kind::Kind;

/// Longer texts are cut in statistics.
const LONGEST: usize = 64;

/// Turns the bits of a number of this kind into one that sorts as the values do, and back.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Order {
    Unsigned,
    Signed32,
    Signed64,
    Float32,
    Float64,
}

impl Order {
    pub(crate) fn of(kind: Kind) -> Self {
        match kind {
            Kind::F32 => Self::Float32,
            Kind::F64 => Self::Float64,
            kind if !kind.is_signed() => Self::Unsigned,
            kind if kind.width() == Some(8) => Self::Signed64,
            _ => Self::Signed32,
        }
    }

    #[inline]
    pub(crate) fn rank(self, bits: u64) -> u64 {
        match self {
            Self::Unsigned => bits,
            Self::Signed32 => bits ^ 1 << 31,
            Self::Signed64 => bits ^ 1 << 63,
            Self::Float32 => bits ^ (((bits as u32 as i32) >> 31) as u32 | 1 << 31) as u64,
            Self::Float64 => bits ^ (((bits as i64) >> 63) as u64 | 1 << 63),
        }
    }

    fn bits(self, rank: u64) -> u64 {
        match self {
            Self::Float32 if rank >> 31 == 0 => u64::from(!(rank as u32)),
            Self::Float64 if rank >> 63 == 0 => !rank,
            Self::Float32 => rank ^ 1 << 31,
            Self::Float64 => rank ^ 1 << 63,
            other => other.rank(rank),
        }
    }

    fn is_nan(self, bits: u64) -> bool {
        match self {
            Self::Float32 => f32::from_bits(bits as u32).is_nan(),
            Self::Float64 => f64::from_bits(bits).is_nan(),
            _ => false,
        }
    }

    /// Ranks of the least and the greatest number that is one; none when there is none.
    pub(crate) fn span(self, values: impl Iterator<Item = u64> + Clone) -> Option<(u64, u64)> {
        let fold = |(low, high): (u64, u64), bits: u64| {
            let rank = self.rank(bits);
            (low.min(rank), high.max(rank))
        };
        let (low, high) = values.clone().fold((u64::MAX, 0), fold);
        // NaNs sort beyond the infinities on either side, so that they show here when there are any.
        if low <= high && !self.is_nan(self.bits(low)) && !self.is_nan(self.bits(high)) {
            return Some((low, high));
        }
        let (low, high) = values.filter(|bits| !self.is_nan(*bits)).fold((u64::MAX, 0), fold);
        (low <= high).then_some((low, high))
    }
}

/// Least and greatest, as the bytes that statistics hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) low: Vec<u8>,
    pub(crate) high: Vec<u8>,
    low_exact: bool,
    high_exact: bool,
}

impl Bounds {
    /// Of numbers, by rank, in `width` bytes. A zero stands for both zeros.
    pub(crate) fn of_numbers(order: Order, (low, high): (u64, u64), width: usize) -> Self {
        let (mut low, mut high) = (order.bits(low), order.bits(high));
        let minus = match order {
            Order::Float32 => 1 << 31,
            Order::Float64 => 1 << 63,
            _ => 0,
        };
        if minus != 0 {
            low = if low == 0 { minus } else { low };
            high = if high == minus { 0 } else { high };
        }
        let bytes = |bits: u64| bits.to_le_bytes()[..width].to_vec();
        Self { low: bytes(low), high: bytes(high), low_exact: true, high_exact: true }
    }

    /// Of texts or bytes; none when no short bound above the greatest can be written.
    pub(crate) fn of_texts(low: &[u8], high: &[u8], text: bool) -> Option<Self> {
        let high_exact = high.len() <= LONGEST;
        let high = if high_exact { high.to_vec() } else { above(cut(high, text), text)? };
        Some(Self { low: cut(low, text).to_vec(), low_exact: low.len() <= LONGEST, high, high_exact })
    }

    /// Bounds of what both are bounds of.
    pub(crate) fn with(self, other: Self, kind: Kind) -> Self {
        let below = |a: &[u8], b: &[u8]| match kind.width() {
            Some(_) => Order::of(kind).rank(number(a)) < Order::of(kind).rank(number(b)),
            None => a < b,
        };
        let (low, low_exact) = match below(&other.low, &self.low) {
            true => (other.low, other.low_exact),
            false => (self.low, self.low_exact),
        };
        let (high, high_exact) = match below(&self.high, &other.high) {
            true => (other.high, other.high_exact),
            false => (self.high, self.high_exact),
        };
        Self { low, high, low_exact, high_exact }
    }

    pub(crate) fn statistics(self, kind: Kind, nulls: u64) -> Statistics {
        let nulls = Some(nulls);
        let (low, high) = (number(&self.low), number(&self.high));
        match kind {
            Kind::Bool => Statistics::boolean(Some(low != 0), Some(high != 0), None, nulls, false),
            Kind::F32 => Statistics::float(
                Some(f32::from_bits(low as u32)),
                Some(f32::from_bits(high as u32)),
                None,
                nulls,
                false,
            ),
            Kind::F64 => {
                Statistics::double(Some(f64::from_bits(low)), Some(f64::from_bits(high)), None, nulls, false)
            }
            Kind::Text | Kind::Bytes => {
                let value = |bytes: Vec<u8>| Some(ByteArray::from(bytes));
                Statistics::ByteArray(
                    ValueStatistics::new(value(self.low), value(self.high), None, nulls, false)
                        .with_min_is_exact(self.low_exact)
                        .with_max_is_exact(self.high_exact),
                )
            }
            kind if kind.width() == Some(8) => {
                Statistics::int64(Some(low as i64), Some(high as i64), None, nulls, false)
            }
            _ => Statistics::int32(Some(low as u32 as i32), Some(high as u32 as i32), None, nulls, false),
        }
    }
}

/// Statistics without a least and a greatest value.
pub(crate) fn nulls_only(kind: Kind, nulls: u64) -> Statistics {
    let nulls = Some(nulls);
    match kind {
        Kind::Bool => Statistics::boolean(None, None, None, nulls, false),
        Kind::F32 => Statistics::float(None, None, None, nulls, false),
        Kind::F64 => Statistics::double(None, None, None, nulls, false),
        Kind::Text | Kind::Bytes => Statistics::byte_array(None, None, None, nulls, false),
        kind if kind.width() == Some(8) => Statistics::int64(None, None, None, nulls, false),
        _ => Statistics::int32(None, None, None, nulls, false),
    }
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().take(8).rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn cut(bytes: &[u8], text: bool) -> &[u8] {
    if bytes.len() <= LONGEST {
        return bytes;
    }
    let mut end = LONGEST;
    while text && end > 0 && bytes[end] & 0xc0 == 0x80 {
        end -= 1;
    }
    &bytes[..end]
}

/// The shortest bytes above all that begin with these.
fn above(bytes: &[u8], text: bool) -> Option<Vec<u8>> {
    let mut out = bytes.to_vec();
    while let Some(last) = out.pop() {
        // In text, only letters of one byte are raised, to another of one byte.
        if last < if text { 0x7f } else { 0xff } {
            out.push(last + 1);
            return Some(out);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_sort_as_values_do_and_lead_back() {
        let floats = [f64::NEG_INFINITY, -1.5, -0.0, 0.0, 1e-300, 2.0, f64::INFINITY];
        let ranks: Vec<u64> = floats.iter().map(|value| Order::Float64.rank(value.to_bits())).collect();
        assert!(ranks.is_sorted_by(|a, b| a < b));
        for (order, bits) in [
            (Order::Float64, (-2.5f64).to_bits()),
            (Order::Float32, u64::from((-2.5f32).to_bits())),
            (Order::Float32, u64::from(2.5f32.to_bits())),
            (Order::Signed32, u64::from(-7i32 as u32)),
            (Order::Signed64, -7i64 as u64),
            (Order::Unsigned, 7),
        ] {
            assert_eq!(order.bits(order.rank(bits)), bits, "{order:?}");
        }
        assert!(Order::Signed32.rank(u64::from(-1i32 as u32)) < Order::Signed32.rank(0));
    }

    #[test]
    fn no_nan_is_a_bound_and_zero_stands_for_both() {
        let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        let span = |values: &[f64]| Order::Float64.span(bits(values).into_iter());
        assert_eq!(span(&[f64::NAN, -f64::NAN]), None);
        let found = Bounds::of_numbers(Order::Float64, span(&[f64::NAN, 0.0, -f64::NAN, 3.0]).unwrap(), 8);
        assert_eq!(found.low, (-0.0f64).to_le_bytes());
        assert_eq!(found.high, 3.0f64.to_le_bytes());
    }

    #[test]
    fn long_texts_are_cut_to_bounds() {
        let long = "é".repeat(40);
        let found = Bounds::of_texts(long.as_bytes(), "z".repeat(70).as_bytes(), true).unwrap();
        assert!(std::str::from_utf8(&found.low).is_ok() && found.low.len() == 64);
        assert_eq!(found.high.last(), Some(&b'{'));
        assert_eq!(Bounds::of_texts(b"a", long.as_bytes(), true), None);
        assert_eq!(Bounds::of_texts(b"a", &[0xff; 80], false), None);
    }
}
