//! The server's generations, as this process last heard of them.

use std::collections::HashMap;

/// Slots that tags share, the same in every process.
pub(super) const SLOTS: u32 = 4096;

/// The field of everything.
pub(super) const EVERYTHING: &str = "all";

/// A generation is 40 bits of a count and 24 of the counter's life, so that a server that lost its counter makes every
/// record of the old one invalid.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Strikes {
    life: u64,
    count: u64,
    everything: u64,
    slots: HashMap<u32, u64>,
}

impl Strikes {
    /// From the fields of the server's hash; what is no number counts as none.
    pub(super) fn parse(fields: impl IntoIterator<Item = (String, u64)>) -> Self {
        let mut strikes = Self::default();
        for (field, number) in fields {
            match field.as_str() {
                "life" => strikes.life = number & 0xFF_FFFF,
                "n" => strikes.count = number,
                EVERYTHING => strikes.everything = number,
                slot => _ = slot.parse().map(|slot| strikes.slots.insert(slot, number)),
            }
        }
        strikes
    }

    pub(super) fn current(&self) -> u64 {
        self.life << 40 | self.count & ((1 << 40) - 1)
    }

    pub(super) fn is_valid(&self, generation: u64, tags: &[u32]) -> bool {
        let count = generation & ((1 << 40) - 1);
        let before = |struck: &u64| *struck <= count;
        generation >> 40 == self.life
            && before(&self.everything)
            && tags.iter().all(|tag| self.slots.get(&(tag % SLOTS)).is_none_or(before))
    }

    /// The slots that were struck since `earlier`; `None`: everything was.
    pub(super) fn since(&self, earlier: &Self) -> Option<Vec<u32>> {
        if self.life != earlier.life || self.everything != earlier.everything || self.count < earlier.count {
            return None;
        }
        let struck = self.slots.iter().filter(|(slot, struck)| earlier.slots.get(slot) != Some(struck));
        Some(struck.map(|(slot, _)| *slot).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strikes(fields: &[(&str, u64)]) -> Strikes {
        Strikes::parse(fields.iter().map(|(field, number)| ((*field).to_owned(), *number)))
    }

    #[test]
    fn a_record_is_valid_until_its_tag_is_struck() {
        let now = strikes(&[("life", 7), ("n", 5), ("12", 4), ("all", 2)]);
        let at = |count: u64| 7 << 40 | count;
        assert!(now.is_valid(at(4), &[12, 99]) && now.is_valid(at(2), &[]));
        assert!(!now.is_valid(at(3), &[12]) && !now.is_valid(at(3), &[12 + SLOTS]));
        assert!(!now.is_valid(at(1), &[]), "everything was struck at 2");
        assert!(!now.is_valid(8 << 40 | 4, &[]), "another counter's");
        assert_eq!(now.current(), at(5));
    }

    #[test]
    fn what_changed_is_found() {
        let then = strikes(&[("life", 7), ("n", 5), ("12", 4)]);
        let now = strikes(&[("life", 7), ("n", 7), ("12", 6), ("13", 7)]);
        let mut since = now.since(&then).unwrap();
        since.sort_unstable();
        assert_eq!(since, [12, 13]);
        assert_eq!(strikes(&[("life", 7), ("n", 6), ("all", 6)]).since(&then), None);
        assert_eq!(strikes(&[("life", 8), ("n", 9)]).since(&then), None, "the counter was lost");
        assert_eq!(then.since(&now), None, "it stepped back");
    }
}
