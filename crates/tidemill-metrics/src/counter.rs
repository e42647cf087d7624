//! A number that only grows.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use crate::sync::{AtomicU64, Ordering};
use crate::writer::{LANES, OWNED, add, bump, lane, own_cells};

/// Counters that share a chunk: their cells of one lane fill two cache lines, which no other thread writes.
pub(crate) const CHUNK: usize = 16;

/// Counts events. Clones count into the same series.
///
/// `inc` costs a load and a store in a cell that only this thread writes; see the crate docs for the bound. It wraps
/// after 2^64.
#[derive(Debug)]
pub struct Counter {
    chunk: Arc<Chunk>,
    index: usize,
}

/// The cells of 16 counters, lane by lane: 76 bytes a counter.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Chunk {
    /// Those of the lanes with one writer; each lane fills two cache lines.
    owned: [AtomicU64; OWNED * CHUNK],
    shared: [AtomicU64; CHUNK],
    /// Handles of each counter.
    held: [AtomicU32; CHUNK],
}

impl Counter {
    /// A counter of its own, outside any registry.
    #[must_use]
    pub fn new() -> Self {
        Self::in_chunk(Arc::default(), 0)
    }

    /// The counter at `index`, which nobody holds, from 0.
    pub(crate) fn in_chunk(chunk: Arc<Chunk>, index: usize) -> Self {
        let index = index % CHUNK;
        chunk.cells(index).for_each(|cell| cell.store(0, Ordering::Relaxed));
        chunk.held[index].store(1, Ordering::Relaxed);
        Self { chunk, index }
    }

    /// One more.
    #[inline]
    pub fn inc(&self) {
        self.add(1);
    }

    /// `n` more.
    #[inline]
    pub fn add(&self, n: u64) {
        // One comparison finds the bound of the array, a thread that shares and one that has not asked yet.
        match self.chunk.owned.get(own_cells().wrapping_add(self.index)) {
            Some(cell) => bump(cell, n),
            None => self.add_elsewhere(n),
        }
    }

    /// The first count of a thread, and those of a thread that shares.
    #[cold]
    #[inline(never)]
    fn add_elsewhere(&self, n: u64) {
        let lane = lane();
        add(self.chunk.cell(lane, self.index), lane, n);
    }

    /// The count: everything that happened before this call, and never less than an earlier answer to the
    /// same thread.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.chunk.cells(self.index).fold(0, |sum, cell| u64::wrapping_add(sum, cell.load(Ordering::Relaxed)))
    }

    /// Whether this is the only handle, so that nobody else can count into it. Acquire: what others counted before
    /// they dropped theirs is seen.
    pub(crate) fn is_unheld(&self) -> bool {
        self.chunk.held[self.index].load(Ordering::Acquire) == 1
    }

    /// Where it is, for another counter to take its place.
    pub(crate) fn place(&self) -> (Arc<Chunk>, usize) {
        (Arc::clone(&self.chunk), self.index)
    }
}

impl Chunk {
    /// The cells of one counter, the shared one last.
    fn cells(&self, index: usize) -> impl Iterator<Item = &AtomicU64> {
        (0..LANES).map(move |lane| self.cell(lane, index))
    }

    fn cell(&self, lane: usize, index: usize) -> &AtomicU64 {
        self.owned.get(lane * CHUNK + index).unwrap_or(&self.shared[index])
    }
}

impl Default for Chunk {
    fn default() -> Self {
        Self {
            owned: std::array::from_fn(|_| AtomicU64::new(0)),
            shared: std::array::from_fn(|_| AtomicU64::new(0)),
            held: std::array::from_fn(|_| AtomicU32::new(0)),
        }
    }
}

impl Clone for Counter {
    fn clone(&self) -> Self {
        self.chunk.held[self.index].fetch_add(1, Ordering::Relaxed);
        Self { chunk: Arc::clone(&self.chunk), index: self.index }
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        self.chunk.held[self.index].fetch_sub(1, Ordering::Release);
    }
}

impl Default for Counter {
    fn default() -> Self {
        Self::new()
    }
}
