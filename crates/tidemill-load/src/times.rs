//! Distributions of times: HdrHistograms of nanoseconds, three digits, up to an hour.

use std::time::Duration;

use hdrhistogram::{Counter, Histogram};

use crate::summary::{Percentiles, Quantile};

/// Times of a second, or with 64-bit counts of a run. 25 000 counters of fixed size, however long it runs.
#[derive(Clone, Debug)]
pub(crate) struct Times<C: Counter>(Histogram<C>);

/// What is shorter is not told apart.
const FINEST_NS: u64 = 128;
const LONGEST: Duration = Duration::from_secs(3600);

impl<C: Counter> Times<C> {
    pub(crate) fn new() -> Self {
        Self::with_digits(3)
    }

    /// Two digits need an eighth of the memory.
    pub(crate) fn with_digits(digits: u8) -> Self {
        let histogram = Histogram::new_with_bounds(FINEST_NS, LONGEST.as_nanos() as u64, digits);
        #[expect(clippy::expect_used, reason = "the bounds are constants that a test has tried")]
        Self(histogram.expect("sound bounds"))
    }

    pub(crate) fn record(&mut self, nanos: u64) {
        self.0.saturating_record(nanos);
    }

    pub(crate) fn add<D: Counter>(&mut self, other: &Times<D>) {
        for value in other.0.iter_recorded() {
            // A count always fits: the sum's type is the same or wider.
            let count = C::from_u64(value.count_at_value().as_u64()).unwrap_or_else(C::zero);
            self.0.saturating_record_n(value.value_iterated_to(), count);
        }
    }

    pub(crate) fn clear(&mut self) {
        if !self.0.is_empty() {
            self.0.reset();
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All figures in one pass.
    pub(crate) fn percentiles(&self) -> Percentiles {
        let count = self.0.len();
        if count == 0 {
            return Percentiles::default();
        }
        const QUANTILES: [f64; 6] = [0.5, 0.9, 0.95, 0.99, 0.999, 0.9999];
        let mut found = [0.0; 6];
        let (mut seen, mut next, mut sum, mut squares) = (0u64, 0, 0.0, 0.0);
        for value in self.0.iter_recorded() {
            let us = self.0.median_equivalent(value.value_iterated_to()) as f64 / 1e3;
            let here = value.count_at_value().as_u64();
            seen += here;
            sum += us * here as f64;
            squares += us * us * here as f64;
            while next < QUANTILES.len() && seen as f64 >= QUANTILES[next] * count as f64 {
                found[next] = us;
                next += 1;
            }
        }
        let mean = sum / count as f64;
        let [p50, p90, p95, p99, p999, p9999] = found;
        Percentiles {
            count,
            min_us: self.0.min() as f64 / 1e3,
            mean_us: nanos(mean),
            stddev_us: nanos((squares / count as f64 - mean * mean).max(0.0).sqrt()),
            p50_us: p50,
            p90_us: p90,
            p95_us: p95,
            p99_us: p99,
            p999_us: p999,
            p9999_us: p9999,
            max_us: self.0.max() as f64 / 1e3,
        }
    }

    /// The distribution for a chart: every twentieth, then ever finer towards 1.
    pub(crate) fn curve(&self) -> Vec<Quantile> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let coarse = (1..18).map(|n| f64::from(n) / 20.0);
        let fine = (1..6).flat_map(|nines| {
            [9.0, 9.2, 9.4, 9.5, 9.6, 9.8].map(|tenth: f64| 1.0 - (10.0 - tenth) * 10f64.powi(-nines))
        });
        let quantiles = coarse.chain(fine).chain([1.0]);
        let points = quantiles
            .map(|q| Quantile { q: (q * 1e7).round() / 1e7, us: self.0.value_at_quantile(q) as f64 / 1e3 });
        points.collect()
    }
}

/// Microseconds to the nanosecond: what is finer is noise, and so short a number is the same after JSON.
fn nanos(us: f64) -> f64 {
    (us * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_sorted_list() {
        let mut random = crate::random::Random::new(3);
        let mut list: Vec<u64> = (0..20_000).map(|_| (random.exponential() * 2e6) as u64 + 50_000).collect();
        let (mut all, mut part) = (Times::<u64>::new(), Times::<u32>::new());
        for (n, nanos) in list.iter().enumerate() {
            part.record(*nanos);
            if n % 1000 == 999 {
                all.add(&part);
                part.clear();
            }
        }
        list.sort_unstable();
        let figures = all.percentiles();
        let near = |us: f64, nanos: f64| (us * 1e3 / nanos - 1.0).abs() < 2e-3;
        for (us, q) in [(figures.p50_us, 0.5), (figures.p99_us, 0.99), (figures.p9999_us, 0.9999)] {
            let exact = list[(q * list.len() as f64).ceil() as usize - 1] as f64;
            assert!(near(us, exact), "{us} {exact}");
        }
        let mean = list.iter().sum::<u64>() as f64 / list.len() as f64;
        assert!(near(figures.mean_us, mean) && figures.count == 20_000);
        assert!(near(figures.max_us, list[list.len() - 1] as f64) && near(figures.min_us, list[0] as f64));
        let curve = all.curve();
        all.clear();
        all.record(1000);
        assert!(all.percentiles().max_us < 2.0, "a maximum outlives its second");
        assert!(curve.windows(2).all(|pair| pair[0].q < pair[1].q && pair[0].us <= pair[1].us));
    }

    #[test]
    fn nothing_is_too_short_or_too_long() {
        let mut times = Times::<u32>::new();
        times.record(0);
        times.record(u64::MAX);
        let figures = times.percentiles();
        assert!(figures.count == 2 && figures.min_us < 1.0 && figures.max_us >= 3.5e9);
        assert_eq!(Times::<u32>::new().percentiles(), Percentiles::default());
    }
}
