//! What a store counted since it was opened.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde::Serialize;

/// Monotone counters of a store, and gauges.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// Commits acknowledged.
    pub commits: u64,
    /// Groups written: one frame and, with `sync = "commit"`, one fsync each.
    pub groups: u64,
    /// Rows given.
    pub rows_received: u64,
    /// Rows stored.
    pub rows_stored: u64,
    /// Rows that were there already.
    pub rows_duplicate: u64,
    /// Bytes of journal payload.
    pub journal_bytes: u64,
    /// Tables published.
    pub publishes: u64,
    /// Bytes of published files.
    pub published_bytes: u64,
    /// Commits and publishes that failed.
    pub errors: u64,
    /// Writes of publishes and compactions that let a commit go first.
    pub background_waits: u64,
    /// Gauge: bytes of rows in memory, not yet published.
    pub memory_bytes: u64,
    /// Gauge: rows in memory, not yet published.
    pub memory_rows: u64,
    /// Gauge: milliseconds the last publish took.
    pub last_publish_ms: u64,
}

impl Stats {
    /// What was counted since `earlier`; gauges keep their present value.
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            commits: self.commits - earlier.commits,
            groups: self.groups - earlier.groups,
            rows_received: self.rows_received - earlier.rows_received,
            rows_stored: self.rows_stored - earlier.rows_stored,
            rows_duplicate: self.rows_duplicate - earlier.rows_duplicate,
            journal_bytes: self.journal_bytes - earlier.journal_bytes,
            publishes: self.publishes - earlier.publishes,
            published_bytes: self.published_bytes - earlier.published_bytes,
            errors: self.errors - earlier.errors,
            background_waits: self.background_waits - earlier.background_waits,
            ..self.clone()
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) commits: AtomicU64,
    pub(crate) groups: AtomicU64,
    pub(crate) rows_received: AtomicU64,
    pub(crate) rows_stored: AtomicU64,
    pub(crate) rows_duplicate: AtomicU64,
    pub(crate) journal_bytes: AtomicU64,
    pub(crate) publishes: AtomicU64,
    pub(crate) published_bytes: AtomicU64,
    pub(crate) errors: AtomicU64,
    pub(crate) memory_bytes: AtomicU64,
    /// Of the table that holds the most.
    pub(crate) fullest_bytes: AtomicU64,
    pub(crate) memory_rows: AtomicU64,
    pub(crate) last_publish_ms: AtomicU64,
}

impl Counters {
    pub(crate) fn read(&self) -> Stats {
        Stats {
            commits: self.commits.load(Relaxed),
            groups: self.groups.load(Relaxed),
            rows_received: self.rows_received.load(Relaxed),
            rows_stored: self.rows_stored.load(Relaxed),
            rows_duplicate: self.rows_duplicate.load(Relaxed),
            journal_bytes: self.journal_bytes.load(Relaxed),
            publishes: self.publishes.load(Relaxed),
            published_bytes: self.published_bytes.load(Relaxed),
            errors: self.errors.load(Relaxed),
            background_waits: 0,
            memory_bytes: self.memory_bytes.load(Relaxed),
            memory_rows: self.memory_rows.load(Relaxed),
            last_publish_ms: self.last_publish_ms.load(Relaxed),
        }
    }
}
