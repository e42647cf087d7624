//! A number that only grows.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::writer::{LANES, SHARED, lane};

/// Counters that share a chunk: their cells of one lane fill two cache lines, which no other thread writes.
pub(crate) const CHUNK: usize = 16;

/// Counts events. Clones count into the same series.
///
/// `inc` costs a load and a store in a cell that only this thread writes; see the crate docs for the bound. It wraps
/// after 2^64.
#[derive(Clone, Debug)]
pub struct Counter {
    chunk: Arc<Chunk>,
    index: usize,
}

/// The cells of 16 counters, lane by lane: 72 bytes a counter.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    lanes: [Lane; LANES],
}

#[derive(Debug, Default)]
#[repr(align(128))]
struct Lane([AtomicU64; CHUNK]);

impl Counter {
    /// A counter of its own, outside any registry.
    #[must_use]
    pub fn new() -> Self {
        Self::in_chunk(Arc::default(), 0)
    }

    pub(crate) fn in_chunk(chunk: Arc<Chunk>, index: usize) -> Self {
        Self { chunk, index: index % CHUNK }
    }

    /// One more.
    #[inline]
    pub fn inc(&self) {
        self.add(1);
    }

    /// `n` more.
    #[inline]
    pub fn add(&self, n: u64) {
        let lane = lane();
        let cell = &self.chunk.lanes[lane].0[self.index];
        if lane == SHARED {
            cell.fetch_add(n, Ordering::Relaxed);
        } else {
            // This thread is the only writer of the cell, so that nothing is lost between load and store.
            cell.store(cell.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
        }
    }

    /// The count: everything that happened before this call, and never less than an earlier answer to the
    /// same thread.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.chunk
            .lanes
            .iter()
            .fold(0, |sum, lane| u64::wrapping_add(sum, lane.0[self.index].load(Ordering::Relaxed)))
    }
}

impl Default for Counter {
    fn default() -> Self {
        Self::new()
    }
}
