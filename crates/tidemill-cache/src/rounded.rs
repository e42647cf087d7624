//! A number in few bits: a mantissa, and an exponent of five bits, so that it is exact below and rounded above.

const EXPONENT_BITS: u32 = 5;

/// `BITS` wide, of which all but five are the mantissa.
pub(crate) struct Rounded<const BITS: u32>;

impl<const BITS: u32> Rounded<BITS> {
    const MANTISSA: u32 = BITS - EXPONENT_BITS;
    /// The largest number there is.
    pub(crate) const MAX: u64 = ((1 << Self::MANTISSA) - 1) << ((1 << EXPONENT_BITS) - 1);
    pub(crate) const MASK: u64 = (1 << BITS) - 1;

    /// At most `value`, by less than one part in 2^(mantissa - 1). `value` is at most [`Self::MAX`].
    pub(crate) const fn down(value: u64) -> u64 {
        let value = if value > Self::MAX { Self::MAX } else { value };
        let exponent = (u64::BITS - value.leading_zeros()).saturating_sub(Self::MANTISSA);
        (exponent as u64) << Self::MANTISSA | value >> exponent
    }

    /// At least `value`, unless that is above [`Self::MAX`].
    pub(crate) const fn up(value: u64) -> u64 {
        let code = Self::down(value);
        let below = Self::value(code);
        if below >= value || below == Self::MAX {
            code
        } else {
            Self::down(below + (1 << (code >> Self::MANTISSA)))
        }
    }

    #[inline]
    pub(crate) const fn value(code: u64) -> u64 {
        (code & ((1 << Self::MANTISSA) - 1)) << (code >> Self::MANTISSA)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Weight = Rounded<24>;

    #[test]
    fn the_ends_are_exact() {
        for value in [0, 1, (1 << 19) - 1, 1 << 19, Weight::MAX] {
            assert_eq!(Weight::value(Weight::down(value)), value);
            assert_eq!(Weight::value(Weight::up(value)), value);
        }
        assert_eq!(Weight::value(Weight::up(u64::MAX)), Weight::MAX);
        assert_eq!(Weight::value(Weight::up((1 << 20) - 1)), 1 << 20, "the mantissa runs over");
    }

    proptest! {
        #[test]
        fn down_and_up_enclose(value in 0..=Weight::MAX, shift in 0_u32..50) {
            let value = value >> shift;
            let (down, up) = (Weight::value(Weight::down(value)), Weight::value(Weight::up(value)));
            prop_assert!(down <= value && value <= up && up - down <= value >> 18, "{down} {value} {up}");
        }
    }
}
