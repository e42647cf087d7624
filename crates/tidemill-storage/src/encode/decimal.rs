//! Prices are decimals of few digits: found out, they are whole numbers, which need no hashing and no sorting.

/// Adding it leaves the nearest whole number in the low bits, for numbers below 2^51.
const ROUND: f64 = (3u64 << 51) as f64;
const GREATEST: f64 = (1u64 << 51) as f64;

/// By what each of the floats must be multiplied to be a whole number, and those numbers; divided again they are the same
/// floats, bit by bit. None when no power of ten up to a million does that.
pub(crate) fn scaled(floats: impl ExactSizeIterator<Item = u64> + Clone) -> Option<(f64, Vec<i64>)> {
    let scales = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6];
    let scale = scales.into_iter().find(|scale| floats.clone().take(64).all(|bits| whole(bits, *scale).1))?;
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
    let rounded = float * scale + ROUND;
    let same = ((rounded - ROUND) / scale).to_bits() == bits;
    let number = rounded.to_bits().wrapping_sub(ROUND.to_bits()) as i64;
    (number, same && (float * scale).abs() < GREATEST)
}

#[cfg(test)]
mod tests {
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
}
