//! The bucket boundaries: Prometheus native schema 3, eight to each doubling, within bounds.
//!
//! Bucket `i` holds values in `(2^((i-1)/8), 2^(i/8)]`. The boundaries are those of the Prometheus client
//! libraries ("Native Histograms" specification, schema 3).

/// Boundaries of one doubling: 2^(j/8).
const BOUNDS: [f64; 8] = [
    1.0,
    1.090_507_732_665_257_7,
    1.189_207_115_002_721,
    1.296_839_554_651_009_6,
    std::f64::consts::SQRT_2,
    1.542_210_825_407_940_7,
    1.681_792_830_507_429,
    1.834_008_086_409_342_4,
];

const MANTISSA: u64 = (1 << 52) - 1;

/// For each 1/16 of a doubling, the boundaries below its start, and the one inside it as a mantissa: none has two.
const SIXTEENTHS: [(u64, u64); 16] = sixteenths();

/// Buckets a histogram can have: (2^-30, 2^34], that is 0.93 ns to 544 years in seconds, or 17 GB in bytes.
pub(crate) const COUNT: usize = 512;

/// The native index of the first one.
pub(crate) const FIRST: i32 = -239;

/// The largest value that counts as zero: 2^-30.
pub const ZERO_THRESHOLD: f64 = 1.0 / (1_u64 << 30) as f64;

/// The largest value that is not an overflow: 2^34.
pub const LARGEST: f64 = (1_u64 << 34) as f64;

/// Where a value is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// At most [`ZERO_THRESHOLD`], and everything negative.
    Zero,
    /// From 0 to [`COUNT`].
    Bucket(usize),
    /// Above [`LARGEST`].
    Above,
}

const fn sixteenths() -> [(u64, u64); 16] {
    let mut table = [(0, MANTISSA); 16];
    let mut i = 0;
    while i < 16 {
        let mut j = 0;
        while j < 8 && (BOUNDS[j].to_bits() & MANTISSA) < ((i as u64) << 48) {
            j += 1;
        }
        table[i] = (j as u64, if j < 8 { BOUNDS[j].to_bits() & MANTISSA } else { MANTISSA });
        i += 1;
    }
    table
}

/// Where `value`, which is no NaN, is counted.
pub(crate) fn place(value: f64) -> Place {
    if value <= ZERO_THRESHOLD {
        return Place::Zero;
    }
    match number(value) {
        bucket if bucket < COUNT => Place::Bucket(bucket),
        _ => Place::Above,
    }
}

/// The bucket of a value, and a number that is not below [`COUNT`] for what has none, NaN included: by one comparison
/// and one look at a table. Sign, exponent and the first four bits of the mantissa are a number that grows with the value.
#[inline]
pub(crate) fn number(value: f64) -> usize {
    const LOWEST: u64 = ZERO_THRESHOLD.to_bits() >> 48;
    let bits = value.to_bits();
    // Of what is smaller, or negative, it wraps or is large already.
    let top = (bits >> 48).wrapping_sub(LOWEST);
    let (below, inside) = SIXTEENTHS[(top % 16) as usize];
    let boundaries = (top / 16 * 8).wrapping_add(below).wrapping_add(u64::from(bits & MANTISSA > inside));
    // None lies below 2^-30 itself, which counts as zero.
    boundaries.wrapping_sub(1) as usize
}

/// The largest value of a bucket.
pub(crate) fn upper(bucket: usize) -> f64 {
    bound(bucket as i32 + FIRST)
}

/// The value that every value of a bucket exceeds.
pub(crate) fn lower(bucket: usize) -> f64 {
    bound(bucket as i32 + FIRST - 1)
}

/// The value whose relative distance to any value of the bucket is smallest: at most 4.33 %.
pub(crate) fn middle(bucket: usize) -> f64 {
    let (low, high) = (lower(bucket), upper(bucket));
    2.0 * low * high / (low + high)
}

/// 2^(index/8).
fn bound(index: i32) -> f64 {
    BOUNDS[index.rem_euclid(8) as usize] * f64::from(index.div_euclid(8)).exp2()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_boundary_closes_its_own_bucket() {
        for bucket in 0..COUNT {
            let upper = upper(bucket);
            assert_eq!(place(upper), Place::Bucket(bucket), "{upper}");
            assert_eq!(place(upper.next_down()), Place::Bucket(bucket), "{upper}");
            let next = if bucket + 1 == COUNT { Place::Above } else { Place::Bucket(bucket + 1) };
            assert_eq!(place(upper.next_up()), next, "{upper}");
        }
        assert_eq!(lower(0), ZERO_THRESHOLD);
        assert_eq!(upper(COUNT - 1), LARGEST);
        assert_eq!(place(0.0), Place::Zero);
        assert_eq!(place(-1.0), Place::Zero);
        assert_eq!(place(f64::NEG_INFINITY), Place::Zero);
        assert_eq!(place(f64::INFINITY), Place::Above);
        assert_eq!(place(f64::MIN_POSITIVE), Place::Zero);
        for none in [0.0, -0.0, -1.0, -LARGEST, ZERO_THRESHOLD, f64::MIN_POSITIVE, f64::MAX, f64::INFINITY] {
            assert!(number(none) >= COUNT, "{none}");
        }
        assert!(number(f64::NAN) >= COUNT && number(-f64::NAN) >= COUNT);
    }

    #[test]
    fn the_boundaries_are_powers_and_the_middle_is_near() {
        for bucket in 0..COUNT {
            let exact = ((bucket as f64 + f64::from(FIRST)) / 8.0).exp2();
            assert!((upper(bucket) / exact - 1.0).abs() < 1e-14, "{bucket}");
            let middle = middle(bucket);
            assert!((upper(bucket) - middle) / upper(bucket) <= 0.0434, "{bucket}");
            assert!((middle - lower(bucket)) / lower(bucket) <= 0.0434, "{bucket}");
        }
    }
}
