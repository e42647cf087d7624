//! What a cache has done.

use std::time::Duration;

use serde::Serialize;

/// A [`Cache`](crate::Cache)'s counts: memory, loads, and each tier below.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CacheStats {
    /// The first tier.
    pub memory: Stats,
    /// What was loaded.
    pub loads: LoadStats,
    /// The tiers below, from the top.
    pub tiers: Vec<TierStats>,
}

/// Loads, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LoadStats {
    /// Loads that brought a value.
    pub succeeded: u64,
    /// Loads that failed or took too long.
    pub failed: u64,
    /// What all of them took together.
    pub time: Duration,
    /// Callers who got what another's flight brought.
    pub joined: u64,
    /// Callers who took over from a leader that was dropped.
    pub taken_over: u64,
    /// Loads begun beside a stale answer.
    pub refreshed: u64,
    /// Stale answers in place of an error.
    pub stale_on_error: u64,
    /// Loads that published nothing, for their key was written or removed while they ran.
    pub unpublished: u64,
    /// Flights that run (gauge).
    pub running: usize,
}

/// A tier below memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TierStats {
    /// Its name.
    pub name: &'static str,
    /// Reads that found a value.
    pub hits: u64,
    /// Reads that found none.
    pub misses: u64,
    /// Values written.
    pub writes: u64,
    /// Values not written, for their key was touched since their load began.
    pub writes_refused: u64,
    /// Calls that failed or took too long.
    pub failures: u64,
    /// Calls that were not made, for the tier had failed.
    pub skipped: u64,
    /// Whether it is being spared (gauge).
    pub open: bool,
    /// Entries, where known (gauge).
    pub entries: u64,
    /// Bytes, where known (gauge).
    pub bytes: u64,
}

impl CacheStats {
    /// What was counted between `earlier` and this; gauges stay as they are.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let nothing = TierStats::default();
        let earlier_tier = |at: usize| earlier.tiers.get(at).unwrap_or(&nothing);
        Self {
            memory: self.memory.since(&earlier.memory),
            loads: self.loads.since(&earlier.loads),
            tiers: self.tiers.iter().enumerate().map(|(at, tier)| tier.since(earlier_tier(at))).collect(),
        }
    }
}

impl LoadStats {
    fn since(&self, earlier: &Self) -> Self {
        Self {
            succeeded: self.succeeded.saturating_sub(earlier.succeeded),
            failed: self.failed.saturating_sub(earlier.failed),
            time: self.time.saturating_sub(earlier.time),
            joined: self.joined.saturating_sub(earlier.joined),
            taken_over: self.taken_over.saturating_sub(earlier.taken_over),
            refreshed: self.refreshed.saturating_sub(earlier.refreshed),
            stale_on_error: self.stale_on_error.saturating_sub(earlier.stale_on_error),
            unpublished: self.unpublished.saturating_sub(earlier.unpublished),
            running: self.running,
        }
    }
}

impl TierStats {
    fn since(&self, earlier: &Self) -> Self {
        Self {
            hits: self.hits.saturating_sub(earlier.hits),
            misses: self.misses.saturating_sub(earlier.misses),
            writes: self.writes.saturating_sub(earlier.writes),
            writes_refused: self.writes_refused.saturating_sub(earlier.writes_refused),
            failures: self.failures.saturating_sub(earlier.failures),
            skipped: self.skipped.saturating_sub(earlier.skipped),
            ..*self
        }
    }
}

/// Counts since the cache was built, and gauges of this moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Reads that found a fresh value.
    pub hits: u64,
    /// Reads that found a value past its life and were given it.
    pub stale_hits: u64,
    /// Reads that found nothing to give.
    pub misses: u64,
    /// What the values given weighed: the bytes that nobody had to load, with a capacity in bytes; else the number.
    pub saved: u64,
    /// Values put in.
    pub inserts: u64,
    /// Entries that left, by cause.
    pub evictions: Evictions,
    /// Entries now, those included whose time is over and that nobody has met yet (gauge).
    pub entries: u64,
    /// Their weight (gauge).
    pub weight: u64,
    /// Its bound (gauge).
    pub capacity: u64,
}

/// Entries that left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Evictions {
    /// Their room was needed.
    pub capacity: u64,
    /// Their time was over when a reader or [`purge`](crate::Memory::purge) met them.
    pub expired: u64,
    /// Somebody removed them.
    pub removed: u64,
    /// Their tag, or everything, had been invalidated when somebody met them.
    pub invalidated: u64,
}

impl Stats {
    /// Hits, stale ones included, over reads; 1 before the first.
    #[must_use]
    pub fn hit_rate(&self) -> f64 {
        let hits = self.hits + self.stale_hits;
        let reads = hits + self.misses;
        #[expect(clippy::cast_precision_loss, reason = "a share needs no 64 bits")]
        if reads == 0 { 1.0 } else { hits as f64 / reads as f64 }
    }

    /// What was counted between `earlier` and this; gauges stay as they are.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let (now, then) = (&self.evictions, &earlier.evictions);
        Self {
            hits: self.hits.saturating_sub(earlier.hits),
            stale_hits: self.stale_hits.saturating_sub(earlier.stale_hits),
            misses: self.misses.saturating_sub(earlier.misses),
            saved: self.saved.saturating_sub(earlier.saved),
            inserts: self.inserts.saturating_sub(earlier.inserts),
            evictions: Evictions {
                capacity: now.capacity.saturating_sub(then.capacity),
                expired: now.expired.saturating_sub(then.expired),
                removed: now.removed.saturating_sub(then.removed),
                invalidated: now.invalidated.saturating_sub(then.invalidated),
            },
            ..*self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_keeps_gauges() {
        let earlier = Stats { hits: 3, misses: 1, entries: 9, ..Stats::default() };
        let now = Stats { hits: 9, misses: 3, entries: 4, capacity: 10, ..Stats::default() };
        let since = now.since(&earlier);
        assert_eq!((since.hits, since.misses, since.entries, since.capacity), (6, 2, 4, 10));
        assert_eq!(since.hit_rate(), 0.75);
        assert_eq!(Stats::default().hit_rate(), 1.0);
    }
}
