//! What a store keeps beside a value (when it was written, what it weighs, which invalidations it has seen), what a read
//! finds of it, and why it leaves.

use std::sync::Arc;

use crate::generation::Tags;
use crate::lifetime::Stamp;
use crate::rounded::Rounded;

/// What an entry costs beside its key and value, in bytes, with the store's own part: counted in a capacity of bytes.
pub const ENTRY_BYTES: u32 = 64;

/// A value with its time, its weight and its generation: 24 bytes more.
#[derive(Clone, Debug)]
pub struct Timed<V> {
    /// The value.
    pub value: V,
    /// When it was written and how long it lives.
    pub stamp: Stamp,
    /// What it weighs, and the generation in which its load began.
    pub mark: Mark,
    /// The tags it was put in with.
    pub tags: Option<Arc<Tags>>,
}

/// A weight of 24 bits, rounded up by less than one part in 200 000, and a generation of 40, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark(u64);

impl Mark {
    /// A weight is at least 1 and at most 2^49.
    #[must_use]
    pub fn new(generation: u64, weight: u64) -> Self {
        Self(generation << 24 | Rounded::<24>::up(weight.max(1)))
    }

    /// The generation in which the load began.
    #[inline]
    #[must_use]
    pub fn generation(self) -> u64 {
        self.0 >> 24
    }

    /// What the entry weighs.
    #[inline]
    #[must_use]
    pub fn weight(self) -> u64 {
        Rounded::<24>::value(self.0 & Rounded::<24>::MASK)
    }
}

/// What a read found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found<V> {
    /// Within its life.
    Fresh(V),
    /// Past it by `for_ms` milliseconds.
    Stale {
        /// The value.
        value: V,
        /// Milliseconds since the end of its life.
        for_ms: u64,
    },
    /// Nothing that may be given to anybody.
    Missing,
}

/// Why an entry left. Being replaced by a newer value is no leaving.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// Its room was needed, or it was too heavy to be kept at all.
    Capacity,
    /// Its time was over.
    Expired,
    /// Somebody removed it.
    Removed,
    /// Its tag, or everything, was invalidated.
    Invalidated,
}

/// Told of each entry that leaves, outside any lock, on the thread that made it leave.
pub type Listener<K, V> = dyn Fn(K, V, Cause) + Send + Sync;
