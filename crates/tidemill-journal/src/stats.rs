//! What a journal counted since it was opened.

use serde::Serialize;

/// Monotone counters of one journal, and two gauges.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// Frames appended and acknowledged.
    pub frames: u64,
    /// Bytes of those frames, headers included.
    pub bytes: u64,
    /// Successful fsyncs of segments.
    pub syncs: u64,
    /// Segments created.
    pub segments_created: u64,
    /// Segments removed because everything in them was published.
    pub segments_removed: u64,
    /// Segments given up after a failed write or fsync.
    pub segments_poisoned: u64,
    /// Gauge: bytes appended and not yet synced.
    pub unsynced_bytes: u64,
    /// Gauge: segment files present.
    pub segments: u64,
}

impl Stats {
    /// What was counted since `earlier`; gauges keep their present value.
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            frames: self.frames - earlier.frames,
            bytes: self.bytes - earlier.bytes,
            syncs: self.syncs - earlier.syncs,
            segments_created: self.segments_created - earlier.segments_created,
            segments_removed: self.segments_removed - earlier.segments_removed,
            segments_poisoned: self.segments_poisoned - earlier.segments_poisoned,
            unsynced_bytes: self.unsynced_bytes,
            segments: self.segments,
        }
    }
}
