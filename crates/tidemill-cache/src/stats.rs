//! What a cache has done.

use serde::Serialize;

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
