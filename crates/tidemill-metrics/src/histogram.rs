//! The one histogram kind: bounded, mergeable, within 4.4 % at every quantile.

use std::sync::atomic::AtomicU32;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::buckets::{self, COUNT, Place};
use crate::snapshot::HistogramSnapshot;
use crate::sync::{AtomicU64, Ordering};
use crate::writer::{OWNED, SHARED, add, add_f64, bump, bump_f64, lane, own_lane};

/// Buckets allocated together: four doublings.
const PAGE: usize = 32;

/// Pages that threads may have to themselves, all threads of a series together. With the shared pages and nine lanes
/// they stay below 16 KB.
const OWN_PAGES: u32 = 32;

/// Counts values in buckets of 9 %. Clones count into the same series.
///
/// A thread's cells are allocated when it first counts there: 0.3 KB, and 256 B for each sixteen-fold range of values
/// it meets. At most 8 threads have their own, and at most 32 such ranges in all; what is beyond is counted in cells
/// that the threads share. So a series takes 1 to 2 KB a thread where values stay within four decades, and never more
/// than 16 KB.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    cells: Arc<Cells>,
}

/// All cells added up.
pub(crate) struct Counts {
    pub(crate) sum: f64,
    pub(crate) zero: u64,
    pub(crate) above: u64,
    pub(crate) buckets: [u64; COUNT],
}

#[derive(Debug)]
struct Cells {
    /// Those with one writer.
    owned: [OnceLock<Box<Lane>>; OWNED],
    shared: OnceLock<Box<Lane>>,
    own_pages_left: AtomicU32,
}

/// What one thread has counted.
#[derive(Debug, Default)]
struct Lane {
    /// The sum of all values, as bits of an `f64`.
    sum: AtomicU64,
    zero: AtomicU64,
    above: AtomicU64,
    pages: [OnceLock<Box<Page>>; COUNT / PAGE],
}

#[derive(Debug)]
struct Page([AtomicU64; PAGE]);

impl Histogram {
    /// A histogram of its own, outside any registry.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts a value, in seconds where it is a time. Up to 2^-30, and below zero, it counts as zero; above 2^34 as
    /// infinite; NaN is not counted.
    #[inline]
    pub fn observe(&self, value: f64) {
        let bucket = buckets::number(value);
        // One chain for all that is usual: a lane of its own, which has been here, and a page that is there.
        let own = self.cells.owned.get(own_lane()).and_then(OnceLock::get);
        match own.and_then(|lane| Some((lane, lane.pages.get(bucket / PAGE)?.get()?))) {
            Some((lane, page)) => {
                bump(&page.0[bucket % PAGE], 1);
                bump_f64(&lane.sum, value);
            }
            None => self.cells.observe_elsewhere(value),
        }
    }

    /// Counts a duration in seconds.
    #[inline]
    pub fn record(&self, time: Duration) {
        self.observe(time.as_secs_f64());
    }

    /// Runs `work` and counts how long it took.
    pub fn time<T>(&self, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let value = work();
        self.record(start.elapsed());
        value
    }

    /// All counts up to now. The sum may hold a value whose bucket is not yet seen, or the other way round, while
    /// another thread is between the two.
    #[must_use]
    pub fn snapshot(&self) -> HistogramSnapshot {
        let counts = self.dense();
        HistogramSnapshot::new(&counts)
    }

    pub(crate) fn dense(&self) -> Counts {
        let mut counts = Counts { sum: 0.0, zero: 0, above: 0, buckets: [0; COUNT] };
        for lane in self.cells.lanes() {
            counts.sum += f64::from_bits(lane.sum.load(Ordering::Relaxed));
            counts.zero += lane.zero.load(Ordering::Relaxed);
            counts.above += lane.above.load(Ordering::Relaxed);
            for (page, cells) in lane.pages.iter().enumerate() {
                let Some(cells) = cells.get() else { continue };
                for (total, cell) in counts.buckets[page * PAGE..].iter_mut().zip(&cells.0) {
                    *total += cell.load(Ordering::Relaxed);
                }
            }
        }
        counts
    }

    /// Values counted, without looking at their sizes' details.
    pub(crate) fn count(&self) -> u64 {
        let counts = self.dense();
        counts.zero + counts.above + counts.buckets.iter().sum::<u64>()
    }

    /// Whether nobody else holds this series, so that nobody can count into it.
    pub(crate) fn is_unheld(&mut self) -> bool {
        Arc::get_mut(&mut self.cells).is_some()
    }
}

impl Cells {
    /// Those that somebody has counted in.
    fn lanes(&self) -> impl Iterator<Item = &Lane> {
        self.owned.iter().chain([&self.shared]).filter_map(OnceLock::get).map(Box::as_ref)
    }

    fn lane(&self, number: usize) -> &Lane {
        self.owned.get(number).unwrap_or(&self.shared).get_or_init(Box::default)
    }

    /// Counts what a thread without a lane of its own counts, what is beyond the buckets, and what has no page yet: on a
    /// new one, or on the shared one when the series has as many as it may.
    #[cold]
    #[inline(never)]
    fn observe_elsewhere(&self, value: f64) {
        if value.is_nan() {
            return;
        }
        let number = lane();
        let lane = self.lane(number);
        match buckets::place(value) {
            Place::Zero => add(&lane.zero, number, 1),
            Place::Above => add(&lane.above, number, 1),
            Place::Bucket(bucket) => {
                let known = lane.pages[bucket / PAGE].get().is_some();
                let owner = if known || number == SHARED || self.take_own_page() { number } else { SHARED };
                let page = self.lane(owner).pages[bucket / PAGE].get_or_init(Box::default);
                add(&page.0[bucket % PAGE], owner, 1);
            }
        }
        add_f64(&lane.sum, number, value);
    }

    fn take_own_page(&self) -> bool {
        self.own_pages_left.load(Ordering::Relaxed) > 0
            && self
                .own_pages_left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
                .is_ok()
    }
}

impl Default for Cells {
    fn default() -> Self {
        Self {
            owned: [const { OnceLock::new() }; OWNED],
            shared: OnceLock::new(),
            own_pages_left: AtomicU32::new(OWN_PAGES),
        }
    }
}

impl Default for Page {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// What the allocator keeps beside each block.
    const HEADER: usize = 16;

    #[test]
    fn a_series_is_bounded_however_many_threads() {
        let lanes = (OWNED + 1) * (size_of::<Lane>() + HEADER);
        let pages = (OWN_PAGES as usize + COUNT / PAGE) * (size_of::<Page>() + HEADER);
        let all = size_of::<Cells>() + 2 * HEADER + lanes + pages;
        assert!(all <= 16 << 10, "{all}");
    }

    #[test]
    fn pages_beyond_the_budget_are_shared_and_nothing_is_lost() {
        let _alone = crate::writer::ALL_SLOTS.lock().unwrap();
        let histogram = Histogram::new();
        let full: Vec<f64> = (0..COUNT).map(buckets::upper).collect();
        let all = std::sync::Barrier::new(12);
        std::thread::scope(|scope| {
            for _ in 0..12 {
                scope.spawn(|| {
                    lane();
                    all.wait();
                    for _ in 0..20 {
                        full.iter().for_each(|value| histogram.observe(*value));
                    }
                });
            }
        });
        let counts = histogram.dense();
        assert_eq!(counts.buckets, [12 * 20; COUNT]);
        let pages = |lane: &Lane| lane.pages.iter().filter(|page| page.get().is_some()).count();
        let own: usize = histogram.cells.owned.iter().filter_map(OnceLock::get).map(|lane| pages(lane)).sum();
        assert_eq!(own, OWN_PAGES as usize);
        assert_eq!(histogram.cells.shared.get().map(|lane| pages(lane)), Some(COUNT / PAGE));
    }
}
