//! How many items make a good batch: a first guess from the machine, then a search that ends when throughput falls.

use std::time::Duration;

/// The largest batch that [`first_batch_size`] gives.
const CAP: usize = 50;

/// A first size: 20 times the lesser of `cores / 8` and `memory / 16 GiB`, each counted as 2 at most; 1 to 50.
#[must_use]
pub fn first_batch_size(cores: usize, memory_bytes: u64) -> usize {
    let cores = (cores as f64 / 8.0).min(2.0);
    let memory = (memory_bytes as f64 / (16.0 * f64::from(1 << 30))).min(2.0);
    ((20.0 * cores.min(memory)) as usize).clamp(1, CAP)
}

/// Searches for the size with the best throughput: each next size is half as much again, measured `SAMPLES` times; the
/// search is over once two sizes in a row were not better than the best by 2 %, or at the largest size.
///
/// ```
/// use std::time::Duration;
/// use tidemill_worker_pool::BatchSearch;
///
/// let mut search = BatchSearch::new(4, 1000);
/// while !search.is_over() {
///     let size = search.size();
///     // 10 ms a call, and a page fault an item beyond 100.
///     let took = Duration::from_micros(10_000 + size as u64 * 100 + size.saturating_sub(100) as u64 * 2000);
///     search.record(size, took);
/// }
/// assert!((60..=100).contains(&search.best()));
/// ```
#[derive(Clone, Debug)]
pub struct BatchSearch {
    largest: usize,
    size: usize,
    samples: Vec<f64>,
    best: (usize, f64),
    worse: u32,
    over: bool,
}

impl BatchSearch {
    /// Measurements of each size; the middle one counts.
    pub const SAMPLES: usize = 3;

    /// Begins at `first` and never goes beyond `largest`; both are at least 1.
    #[must_use]
    pub fn new(first: usize, largest: usize) -> Self {
        let largest = largest.max(1);
        let first = first.clamp(1, largest);
        Self { largest, size: first, samples: Vec::new(), best: (first, 0.0), worse: 0, over: false }
    }

    /// The size to use now: the next to measure, or the best once the search is over.
    #[must_use]
    pub fn size(&self) -> usize {
        if self.over { self.best.0 } else { self.size }
    }

    /// The best so far.
    #[must_use]
    pub fn best(&self) -> usize {
        self.best.0
    }

    /// Whether the best is final.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// A batch of `items` took so long. One that was not of the size asked for tells nothing and is ignored, so that a
    /// last, smaller batch does no harm.
    pub fn record(&mut self, items: usize, took: Duration) {
        if self.over || items != self.size {
            return;
        }
        self.samples.push(items as f64 / took.as_secs_f64().max(1e-9));
        if self.samples.len() < Self::SAMPLES {
            return;
        }
        self.samples.sort_by(f64::total_cmp);
        let throughput = self.samples[Self::SAMPLES / 2];
        self.samples.clear();
        if throughput > self.best.1 * 1.02 {
            self.best = (self.size, throughput);
            self.worse = 0;
        } else {
            self.worse += 1;
        }
        self.over = self.worse == 2 || self.size == self.largest;
        self.size = (self.size + self.size.div_ceil(2)).min(self.largest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn the_first_size_follows_what_is_scarcer() {
        assert_eq!(first_batch_size(8, 16 * GIB), 20);
        assert_eq!(first_batch_size(4, 64 * GIB), 10, "cores");
        assert_eq!(first_batch_size(64, 4 * GIB), 5, "memory");
        assert_eq!(first_batch_size(64, 64 * GIB), 40, "each factor counts as 2 at most");
        assert_eq!(first_batch_size(0, 0), 1);
    }

    fn search(throughput: impl Fn(usize) -> f64) -> (usize, u32) {
        let mut search = BatchSearch::new(10, 1000);
        let mut batches = 0;
        while !search.is_over() {
            let size = search.size();
            search.record(size, Duration::from_secs_f64(size as f64 / throughput(size)));
            batches += 1;
        }
        assert_eq!(search.size(), search.best());
        (search.best(), batches)
    }

    #[test]
    fn the_search_stops_when_throughput_falls() {
        let (best, batches) =
            search(|size| if size <= 50 { size as f64 } else { 100.0 - size as f64 / 2.0 }.max(1.0));
        assert!((34..=60).contains(&best), "{best}");
        assert!(batches <= 21, "two sizes beyond the best, three batches each: {batches}");
        assert_eq!(search(|_| 100.0).0, 10, "without a difference the smallest is best");
        assert_eq!(search(|size| size as f64).0, 1000, "as far as the bound");
    }

    #[test]
    fn one_slow_batch_and_a_short_one_mislead_nobody() {
        let mut search = BatchSearch::new(10, 100);
        search.record(3, Duration::from_secs(100));
        search.record(10, Duration::from_millis(10));
        search.record(10, Duration::from_secs(100));
        search.record(10, Duration::from_millis(10));
        assert_eq!((search.size(), search.best()), (15, 10));
    }
}
