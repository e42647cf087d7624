//! Who gets the new value: two groups of keys of one size, and a coin that says which of them is new.

use serde::{Deserialize, Serialize};

use crate::random::mix;

/// What a key gets while a new value is tried by split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The new value, and its readings count.
    New,
    /// The old value, and its readings count.
    Old,
    /// The old value; its readings count for nothing.
    Rest,
}

/// An assignment of keys. Stable for a key as long as the salt is the same; `swapped` exchanges the two groups, so that what
/// distinguishes the groups by chance cancels over the pairs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Split {
    /// Which hash.
    pub salt: u64,
    /// Of each of the two groups, at most 0.5.
    pub share: f64,
    /// Which group is new.
    pub swapped: bool,
}

impl Split {
    /// What a key, host or request gets.
    #[must_use]
    pub fn side(&self, key: &[u8]) -> Side {
        let at = place(key, self.salt);
        let share = self.share.clamp(0.0, 0.5);
        if at >= 2.0 * share {
            Side::Rest
        } else if (at < share) == self.swapped {
            Side::Old
        } else {
            Side::New
        }
    }
}

/// Where a key stands in [0, 1): uniform over keys, the same on every machine.
#[must_use]
pub fn place(key: &[u8], salt: u64) -> f64 {
    // FNV-1a (Fowler, Noll, Vo) and a finalizer, since its high bits alone are poor on short keys.
    let hash = key.iter().fold(0xcbf2_9ce4_8422_2325_u64 ^ mix(salt), |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    (mix(hash) >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_even_stable_and_exchanged_by_the_coin() {
        let split = Split { salt: 3, share: 0.1, swapped: false };
        let keys: Vec<String> = (0..100_000).map(|key| format!("key-{key}")).collect();
        let count = |split: Split, side| keys.iter().filter(|key| split.side(key.as_bytes()) == side).count();
        for (side, about) in [(Side::New, 10_000), (Side::Old, 10_000), (Side::Rest, 80_000)] {
            let there = count(split, side) as i64;
            assert!((there - about).abs() < 500, "{side:?}: {there}");
        }
        let swapped = Split { swapped: true, ..split };
        for key in &keys[..1000] {
            let (one, other) = (split.side(key.as_bytes()), swapped.side(key.as_bytes()));
            assert_eq!(one == Side::Rest, other == Side::Rest);
            assert!(one == Side::Rest || one != other);
        }
    }

    #[test]
    fn salts_are_independent() {
        let of = |salt| Split { salt, share: 0.5, swapped: false };
        let both = (0..10_000_u32)
            .filter(|key| of(1).side(&key.to_le_bytes()) == of(2).side(&key.to_le_bytes()))
            .count();
        assert!((4_700..5_300).contains(&both), "{both}");
    }
}
