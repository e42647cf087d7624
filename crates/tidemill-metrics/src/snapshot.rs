//! What a histogram held at one moment: quantiles, differences and exact sums of several.

use serde::Serialize;

use crate::buckets;
use crate::histogram::Counts;

/// Counts of a [`Histogram`](crate::Histogram) at one moment, or between two.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct HistogramSnapshot {
    /// Values counted.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    zero: u64,
    above: u64,
    /// The bucket that `counts` begins with.
    first: usize,
    /// Neither begins nor ends with 0.
    counts: Vec<u64>,
}

impl HistogramSnapshot {
    /// The mean, or `None` when nothing was counted.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }

    /// The value below or at which a share `q` (0 to 1) of all values lies, within 4.4 %; `None` when nothing was
    /// counted. By the nearest-rank definition, so that `q = 1` is the largest. Infinite when it lies above 2^34.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<f64> {
        if self.count == 0 || q.is_nan() {
            return None;
        }
        let rank = ((q.clamp(0.0, 1.0) * self.count as f64).ceil() as u64).clamp(1, self.count);
        let mut seen = self.zero;
        if seen >= rank {
            return Some(0.0);
        }
        for (i, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Some(buckets::middle(self.first + i));
            }
        }
        Some(f64::INFINITY)
    }

    /// The smallest value, within 4.4 %.
    #[must_use]
    pub fn min(&self) -> Option<f64> {
        self.quantile(0.0)
    }

    /// The largest value, within 4.4 %.
    #[must_use]
    pub fn max(&self) -> Option<f64> {
        self.quantile(1.0)
    }

    /// Values at most `bound`, exact when `bound` is one of [`boundaries`](Self::boundaries) or a power of two
    /// from 2^-30 to 2^34.
    #[must_use]
    pub fn at_most(&self, bound: f64) -> u64 {
        if bound == f64::INFINITY {
            return self.count;
        }
        let within = |(i, _): &(usize, &u64)| buckets::upper(self.first + i) <= bound;
        let zero = if bound >= 0.0 { self.zero } else { 0 };
        zero + self.counts.iter().enumerate().take_while(within).map(|(_, count)| count).sum::<u64>()
    }

    /// What was counted after `earlier`, a snapshot of the same histogram.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut dense = self.dense();
        for (i, count) in earlier.counts.iter().enumerate() {
            let now = &mut dense[earlier.first + i];
            *now = now.saturating_sub(*count);
        }
        let mut difference = Self {
            zero: self.zero.saturating_sub(earlier.zero),
            above: self.above.saturating_sub(earlier.above),
            sum: self.sum - earlier.sum,
            ..Self::default()
        };
        difference.set_buckets(&dense);
        if difference.count == 0 {
            difference.sum = 0.0;
        }
        difference
    }

    /// Adds what another histogram counted; exact but for the rounding of the sum.
    pub fn merge(&mut self, other: &Self) {
        let mut dense = self.dense();
        for (i, count) in other.counts.iter().enumerate() {
            dense[other.first + i] += count;
        }
        self.sum += other.sum;
        self.zero += other.zero;
        self.above += other.above;
        self.set_buckets(&dense);
    }

    /// Upper bound and count of each bucket that is not empty, ascending; the zero bucket has the bound 2^-30 and the
    /// last may be infinite.
    pub fn boundaries(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        let zero = (buckets::ZERO_THRESHOLD, self.zero);
        let inner = self.counts.iter().enumerate().map(|(i, count)| (buckets::upper(self.first + i), *count));
        let above = (f64::INFINITY, self.above);
        std::iter::once(zero).chain(inner).chain(std::iter::once(above)).filter(|(_, count)| *count > 0)
    }

    pub(crate) fn new(counts: &Counts) -> Self {
        let Counts { sum, zero, above, buckets } = counts;
        let mut snapshot = Self { sum: *sum, zero: *zero, above: *above, ..Self::default() };
        snapshot.set_buckets(buckets);
        snapshot
    }

    fn set_buckets(&mut self, dense: &[u64; buckets::COUNT]) {
        self.first = dense.iter().position(|&count| count > 0).unwrap_or(0);
        let end = dense.iter().rposition(|&count| count > 0).map_or(self.first, |last| last + 1);
        self.counts = dense[self.first..end].to_vec();
        self.count = self.zero + self.above + self.counts.iter().sum::<u64>();
    }

    fn dense(&self) -> [u64; buckets::COUNT] {
        let mut dense = [0; buckets::COUNT];
        dense[self.first..self.first + self.counts.len()].copy_from_slice(&self.counts);
        dense
    }
}
