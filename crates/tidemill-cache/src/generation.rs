//! Invalidating many entries by one store: each entry carries the generation in which its load began.
//!
//! Generations are counted: an invalidation begins a new one and writes its number where it struck, at a tag or at
//! everything. An entry is valid while none of its tags, nor everything, was struck in a generation after its own; so a
//! load that began before an invalidation and ends after it is born dead. Tags share a fixed number of slots by their
//! hash: two that meet in one are invalidated together, which costs a load and never a wrong value.

use std::hash::{BuildHasher, Hash};

use crate::sync::{AtomicU64, Ordering};

/// Gives the same number in every process that runs the same build.
const HASHER: foldhash::fast::FixedState = foldhash::fast::FixedState::with_seed(0x7469_6465);

/// The current generation, and the last one that struck each slot.
#[derive(Debug)]
pub(crate) struct Generations {
    current: AtomicU64,
    everything: AtomicU64,
    slots: Box<[AtomicU64]>,
}

impl Generations {
    /// `slots` is a power of two, or 0 where nobody has tags.
    pub(crate) fn new(slots: usize) -> Self {
        let zero = || AtomicU64::new(0);
        Self { current: zero(), everything: zero(), slots: (0..slots).map(|_| zero()).collect() }
    }

    /// That of a load that begins now.
    #[inline]
    pub(crate) fn current(&self) -> u64 {
        self.current.load(Ordering::Acquire)
    }

    /// Whether what was born in `generation` is struck by nothing since.
    #[inline]
    pub(crate) fn is_valid(&self, generation: u64, tags: Option<&Tags>) -> bool {
        self.spares(generation, tags.map_or(&[], Tags::hashes))
    }

    /// The same for tags that are hashed already.
    #[inline]
    pub(crate) fn spares(&self, generation: u64, tags: &[u32]) -> bool {
        let before = |struck: &AtomicU64| struck.load(Ordering::Acquire) <= generation;
        before(&self.everything) && tags.iter().all(|hash| before(self.slot(*hash)))
    }

    /// A strike, or a value's generation, of an earlier process: numbers go on above it.
    #[cfg(feature = "disk")]
    pub(crate) fn restore(&self, generation: u64, struck: Option<Struck>) {
        self.current.fetch_max(generation, Ordering::AcqRel);
        match struck {
            Some(Struck::Tag(hash)) => _ = self.slot(hash).fetch_max(generation, Ordering::AcqRel),
            Some(Struck::Everything) => _ = self.everything.fetch_max(generation, Ordering::AcqRel),
            None => {}
        }
    }

    pub(crate) fn strike(&self, hash: u32) {
        self.next(self.slot(hash));
    }

    pub(crate) fn strike_everything(&self) {
        self.next(&self.everything);
    }

    fn next(&self, struck: &AtomicU64) {
        let generation = self.current.fetch_add(1, Ordering::AcqRel) + 1;
        // Of two strikes at once, the later number stays.
        struck.fetch_max(generation, Ordering::AcqRel);
    }

    /// Without slots nobody has tags, so that a tag is everything.
    fn slot(&self, hash: u32) -> &AtomicU64 {
        let at = hash as usize & self.slots.len().wrapping_sub(1);
        self.slots.get(at).unwrap_or(&self.everything)
    }
}

/// What an invalidation struck.
#[cfg(feature = "disk")]
#[derive(Clone, Copy, Debug)]
pub(crate) enum Struck {
    Tag(u32),
    Everything,
}

/// The tags of one entry, collected by the builder's `tags`. An entry of more than [`Tags::MAX`] is not kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags(Vec<u32>);

impl Tags {
    /// The most tags of one entry.
    pub const MAX: usize = 16;

    /// Adds one.
    pub fn add(&mut self, tag: &(impl Hash + ?Sized)) {
        if self.0.len() <= Self::MAX {
            self.0.push(hash(tag));
        }
    }

    /// Adds one that is hashed already; without one, the entry is not kept.
    pub(crate) fn add_hash(&mut self, hash: Option<u32>) {
        match hash {
            Some(hash) => self.0.push(hash),
            None => self.0.resize(Self::MAX + 1, 0),
        }
    }

    /// Whether there were more than can be kept.
    pub(crate) fn overflowed(&self) -> bool {
        self.0.len() > Self::MAX
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn hashes(&self) -> &[u32] {
        &self.0
    }
}

/// A tag's hash; its low bits choose the slot.
#[expect(clippy::cast_possible_truncation, reason = "half a hash is hash enough for a slot")]
pub(crate) fn hash(tag: &(impl Hash + ?Sized)) -> u32 {
    HASHER.hash_one(tag) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(names: &[&str]) -> Tags {
        let mut tags = Tags::default();
        names.iter().for_each(|name| tags.add(*name));
        tags
    }

    #[test]
    fn a_tag_strikes_those_who_have_it() {
        let generations = Generations::new(4096);
        let (both, one) = (tags(&["AAPL", "daily"]), tags(&["MSFT"]));
        let born = generations.current();
        let valid = || [Some(&both), Some(&one), None].map(|tags| generations.is_valid(born, tags));
        assert_eq!(valid(), [true; 3]);
        generations.strike(hash("daily"));
        assert_eq!(valid(), [false, true, true]);
        assert!(generations.is_valid(generations.current(), Some(&both)), "what is loaded since is valid");
        generations.strike_everything();
        assert_eq!(valid(), [false; 3]);
    }

    #[test]
    fn too_many_tags_are_noticed() {
        let names: Vec<String> = (0..17).map(|n| n.to_string()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert!(!tags(&names[..16]).overflowed());
        assert!(tags(&names).overflowed());
    }

    #[test]
    fn a_tag_of_a_cache_without_tags_is_everything() {
        let generations = Generations::new(0);
        generations.strike(hash("daily"));
        assert!(!generations.is_valid(0, None));
    }
}
