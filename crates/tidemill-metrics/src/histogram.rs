//! The one histogram kind: bounded, mergeable, within 4.4 % at every quantile.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::buckets::{self, COUNT, Place};
use crate::snapshot::HistogramSnapshot;
use crate::writer::{LANES, SHARED, lane};

/// Buckets allocated together: four doublings.
const PAGE: usize = 32;

/// Counts values in buckets of 9 %. Clones count into the same series.
///
/// A thread's cells are allocated when it first counts there: 0.6 KB, and 256 B for each sixteen-fold range of values
/// it meets. At most 8 threads have their own; further ones share.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    lanes: Arc<[OnceLock<Box<Lane>>; LANES]>,
}

/// All cells added up.
pub(crate) struct Counts {
    pub(crate) sum: f64,
    pub(crate) zero: u64,
    pub(crate) above: u64,
    pub(crate) buckets: [u64; COUNT],
}

/// What one thread has counted.
#[derive(Debug, Default)]
struct Lane {
    /// The sum of all values, as bits of an `f64`.
    sum: AtomicU64,
    zero: AtomicU64,
    above: AtomicU64,
    pages: [OnceLock<Box<[AtomicU64; PAGE]>>; COUNT / PAGE],
}

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
        if value.is_nan() {
            return;
        }
        let number = lane();
        let lane = self.lanes[number].get_or_init(Box::default);
        let cell = match buckets::place(value) {
            Place::Bucket(bucket) => &lane.pages[bucket / PAGE]
                .get_or_init(|| Box::new([const { AtomicU64::new(0) }; PAGE]))[bucket % PAGE],
            Place::Zero => &lane.zero,
            Place::Above => &lane.above,
        };
        if number == SHARED {
            cell.fetch_add(1, Ordering::Relaxed);
            let _ = lane.sum.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |bits| {
                Some((f64::from_bits(bits) + value).to_bits())
            });
        } else {
            // This thread is the only writer of these cells.
            cell.store(cell.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
            let sum = f64::from_bits(lane.sum.load(Ordering::Relaxed)) + value;
            lane.sum.store(sum.to_bits(), Ordering::Relaxed);
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
        for lane in self.lanes.iter().filter_map(OnceLock::get) {
            counts.sum += f64::from_bits(lane.sum.load(Ordering::Relaxed));
            counts.zero += lane.zero.load(Ordering::Relaxed);
            counts.above += lane.above.load(Ordering::Relaxed);
            for (page, cells) in lane.pages.iter().enumerate() {
                let Some(cells) = cells.get() else { continue };
                for (total, cell) in counts.buckets[page * PAGE..].iter_mut().zip(cells.iter()) {
                    *total += cell.load(Ordering::Relaxed);
                }
            }
        }
        counts
    }
}
