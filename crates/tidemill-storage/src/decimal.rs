//! Decimals: floats that are some, the whole numbers they are stored as, and the floats again.

use arrow_array::{Array, ArrayRef, Float64Array, Int64Array, cast::AsArray, types::*};
use arrow_schema::DataType;

use crate::{Error, columns::Columns, kind::Kind};

/// Digits that a decimal of 64 bits has at most.
pub(crate) const MOST_DIGITS: u8 = 18;
/// Digits that fit 32 bits.
const NARROW_DIGITS: u8 = 9;

/// Powers of ten, each of them exact.
const POWERS: [f64; 19] =
    [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18];

/// Adding it leaves the nearest whole number in the low bits, for numbers below 2^51.
const ROUND: f64 = (3u64 << 51) as f64;
const GREATEST: f64 = (1u64 << 51) as f64;

/// A column of decimals as floats: of each the nearest there is. Floats are given back as they are, so that a caller need not know which
/// of the two a table holds.
///
/// ```
/// # use tidemill_storage::{arrow::arrow_array::Decimal64Array, decimal};
/// let close = Decimal64Array::from(vec![Some(18_564), None]).with_precision_and_scale(18, 2)?;
/// let close = decimal::to_f64(&close)?;
/// assert_eq!(close.iter().collect::<Vec<_>>(), [Some(185.64), None]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// `Input` for a column of another type than `Float64`, `Decimal32` and `Decimal64`, or a scale below 0 or above 18.
pub fn to_f64(array: &dyn Array) -> Result<Float64Array, Error> {
    let bad = || Error::input("decimal", format!("{} is no type that is read as floats", array.data_type()));
    let places = |scale: &i8| u8::try_from(*scale).ok().filter(|scale| *scale <= MOST_DIGITS).ok_or_else(bad);
    Ok(match array.data_type() {
        DataType::Float64 => array.as_primitive::<Float64Type>().clone(),
        DataType::Decimal32(_, scale) => {
            let scale = places(scale)?;
            array.as_primitive::<Decimal32Type>().unary(|digits| float(i64::from(digits), scale))
        }
        DataType::Decimal64(_, scale) => {
            let scale = places(scale)?;
            array.as_primitive::<Decimal64Type>().unary(|digits| float(digits, scale))
        }
        _ => return Err(bad()),
    })
}

/// The float nearest to a decimal of at most 18 places behind the point.
#[inline]
pub(crate) fn float(digits: i64, scale: u8) -> f64 {
    // Both are exact, so that their quotient is rounded once.
    if digits.unsigned_abs() <= 1 << f64::MANTISSA_DIGITS {
        return digits as f64 / POWERS[usize::from(scale)];
    }
    format!("{digits}e-{scale}").parse().unwrap_or(f64::NAN)
}

/// The digits of the decimal nearest to a float, or of its neighbour where it stands halfway; the right ones where the float is that of a
/// decimal. None where it has more than 18, or is no number.
#[inline]
pub(crate) fn digits(value: f64, scale: u8) -> Option<i64> {
    let power = POWERS[usize::from(scale)];
    if (value * power).abs() < GREATEST {
        return Some(nearest(value, power));
    }
    // Rust writes the exact value of a float, rounded once. It is long where the float is great.
    if !value.is_finite() || value.abs() >= POWERS[usize::from(MOST_DIGITS)] {
        return None;
    }
    let places = usize::from(scale);
    let number: i64 = format!("{value:.places$}").replace('.', "").parse().ok()?;
    (number.unsigned_abs() < limit(MOST_DIGITS)).then_some(number)
}

/// The first number that has more digits.
pub(crate) fn limit(precision: u8) -> u64 {
    10u64.pow(u32::from(precision.min(MOST_DIGITS)))
}

/// Digits as a decimal of that precision, or of the least of 9 and 18 that holds them.
pub(crate) fn array(digits: Int64Array, precision: Option<u8>, scale: u8) -> Result<ArrayRef, String> {
    let longest = digits.iter().flatten().fold(0, |longest: u64, digits| longest.max(digits.unsigned_abs()));
    let short = longest < limit(NARROW_DIGITS) && scale <= NARROW_DIGITS;
    let precision = precision.unwrap_or(if short { NARROW_DIGITS } else { MOST_DIGITS });
    let array: Result<ArrayRef, _> = if precision <= NARROW_DIGITS {
        let digits = digits.unary::<_, Decimal32Type>(|digits| digits as i32);
        digits.with_precision_and_scale(precision, scale as i8).map(|array| std::sync::Arc::new(array) as _)
    } else {
        let digits = digits.reinterpret_cast::<Decimal64Type>();
        digits.with_precision_and_scale(precision, scale as i8).map(|array| std::sync::Arc::new(array) as _)
    };
    array.map_err(|e| e.to_string())
}

/// The first column and row with more digits than its type has: Arrow does not look.
pub(crate) fn overlong(columns: &Columns) -> Option<(usize, usize)> {
    let row = |column: usize| {
        let view = columns.view(column);
        let Kind::Decimal { precision, .. } = view.kind else { return None };
        let limit = limit(precision);
        if view.kind.width() == Some(4) {
            let digits =
                view.data.as_chunks().0.iter().map(|bytes| i32::from_le_bytes(*bytes).unsigned_abs());
            return digits.map(u64::from).position(|digits| digits >= limit);
        }
        let mut digits =
            view.data.as_chunks().0.iter().map(|bytes| i64::from_le_bytes(*bytes).unsigned_abs());
        digits.position(|digits| digits >= limit)
    };
    (0..columns.width()).find_map(|column| Some((column, row(column)?)))
}

/// By what each of the floats must be multiplied to be a whole number, and those numbers; divided again they are the same
/// floats, bit by bit. None when no power of ten up to a million does that.
pub(crate) fn scaled(floats: impl ExactSizeIterator<Item = u64> + Clone) -> Option<(f64, Vec<i64>)> {
    let mut scales = POWERS.into_iter().take(7);
    let scale = scales.find(|scale| floats.clone().take(64).all(|bits| whole(bits, *scale).1))?;
    let mut all = true;
    let numbers = floats.map(|bits| {
        let (number, same) = whole(bits, scale);
        all &= same;
        number
    });
    let numbers = numbers.collect();
    all.then_some((scale, numbers))
}

#[inline]
fn whole(bits: u64, scale: f64) -> (i64, bool) {
    let float = f64::from_bits(bits);
    let number = nearest(float, scale);
    let same = (number as f64 / scale).to_bits() == bits;
    (number, same && (float * scale).abs() < GREATEST)
}

/// The whole number nearest to the product, where that is below 2^51: a multiplication and an addition.
#[inline]
fn nearest(float: f64, scale: f64) -> i64 {
    (float * scale + ROUND).to_bits().wrapping_sub(ROUND.to_bits()) as i64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bits(floats: &[f64]) -> Vec<u64> {
        floats.iter().map(|float| float.to_bits()).collect()
    }

    #[test]
    fn cents_are_whole_numbers_and_lead_back() {
        for digits in 0..=6 {
            let scale = 10f64.powi(digits);
            let given = bits(&(-5000..5000).map(|n| f64::from(n * 7 + 1) / scale).collect::<Vec<_>>());
            let (found, numbers) = scaled(given.iter().copied()).unwrap();
            assert!(found <= scale);
            let back: Vec<u64> = numbers.iter().map(|n| (*n as f64 / found).to_bits()).collect();
            assert_eq!(back, given);
        }
    }

    #[test]
    fn what_would_not_lead_back_bit_by_bit_is_none() {
        for odd in
            [-0.0, f64::NAN, f64::INFINITY, 1e300, 0.1 + 0.2, 1e-7, (1u64 << 52) as f64, f64::MIN_POSITIVE]
        {
            assert!(scaled(bits(&[1.25, odd]).into_iter()).is_none(), "{odd}");
        }
        assert!(scaled(bits(&[0.0, -1.0, (1u64 << 50) as f64]).into_iter()).is_some());
    }

    #[test]
    fn no_more_than_18_digits_are_taken() {
        assert_eq!(digits(999_999_999_999_999_872.0, 0), Some(999_999_999_999_999_872));
        for odd in [1e18, -1e18, 1e300, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(digits(odd, 0), None, "{odd}");
        }
        assert_eq!(
            (digits(1e16, 2), digits(9.5e15, 2), digits(-0.0, 2)),
            (None, Some(950_000_000_000_000_000), Some(0))
        );
    }

    proptest! {
        /// The judge is Rust's own reading of the same digits as text.
        #[test]
        fn a_decimal_is_the_float_that_its_text_is(digits in -999_999_999_999_999_999i64..1_000_000_000_000_000_000, cut in 0u32..60, scale in 0u8..=18) {
            let digits = digits >> cut;
            let text: f64 = format!("{digits}e-{scale}").parse().unwrap();
            prop_assert_eq!(float(digits, scale).to_bits(), text.to_bits());
            let found = super::digits(text, scale).unwrap();
            prop_assert_eq!(float(found, scale), text);
            if digits.unsigned_abs() < 1 << 51 {
                prop_assert_eq!(found, digits);
            }
        }

        #[test]
        fn a_float_becomes_the_nearest_decimal(value in -1e12f64..1e12, scale in 0u8..=6) {
            let found = super::digits(value, scale).unwrap();
            let text: f64 = format!("{value:.*}", usize::from(scale)).parse().unwrap();
            // Halfway between two, the product is rounded to either.
            let rounding = value.abs() * f64::EPSILON * 2.0;
            prop_assert!((float(found, scale) - value).abs() <= (text - value).abs() + rounding);
        }
    }
}
