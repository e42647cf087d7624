//! What the leases of one owner have done.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

/// Counters since the start, and one gauge.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Leases acquired, in whatever state they were found.
    pub acquired: u64,
    /// Of these, taken over from an owner that had not given them back.
    pub taken_over: u64,
    /// Renewals.
    pub renewed: u64,
    /// Clean releases.
    pub released: u64,
    /// Former owners confirmed as stopped.
    pub confirmed: u64,
    /// Acquisitions refused because another owner has the lease.
    pub refused_held: u64,
    /// Writes refused because their epoch is stale.
    pub refused_stale: u64,
    /// Operations that the store failed or did not answer in time.
    pub failed: u64,
    /// Writes done again because others had written in between.
    pub conflicts: u64,
    /// Leases that a keeper lost while it held them.
    pub lost: u64,
    /// Gauge: leases that keepers hold now.
    pub held: u64,
}

impl Stats {
    /// What was counted since `earlier`; the gauge keeps its present value.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            acquired: self.acquired.saturating_sub(earlier.acquired),
            taken_over: self.taken_over.saturating_sub(earlier.taken_over),
            renewed: self.renewed.saturating_sub(earlier.renewed),
            released: self.released.saturating_sub(earlier.released),
            confirmed: self.confirmed.saturating_sub(earlier.confirmed),
            refused_held: self.refused_held.saturating_sub(earlier.refused_held),
            refused_stale: self.refused_stale.saturating_sub(earlier.refused_stale),
            failed: self.failed.saturating_sub(earlier.failed),
            conflicts: self.conflicts.saturating_sub(earlier.conflicts),
            lost: self.lost.saturating_sub(earlier.lost),
            held: self.held,
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) acquired: Counter,
    pub(crate) taken_over: Counter,
    pub(crate) renewed: Counter,
    pub(crate) released: Counter,
    pub(crate) confirmed: Counter,
    pub(crate) refused_held: Counter,
    pub(crate) refused_stale: Counter,
    pub(crate) failed: Counter,
    pub(crate) conflicts: Counter,
    pub(crate) lost: Counter,
    pub(crate) held: Counter,
}

impl Counters {
    pub(crate) fn read(&self) -> Stats {
        Stats {
            acquired: self.acquired.get(),
            taken_over: self.taken_over.get(),
            renewed: self.renewed.get(),
            released: self.released.get(),
            confirmed: self.confirmed.get(),
            refused_held: self.refused_held.get(),
            refused_stale: self.refused_stale.get(),
            failed: self.failed.get(),
            conflicts: self.conflicts.get(),
            lost: self.lost.get(),
            held: self.held.get(),
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn up(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn down(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
