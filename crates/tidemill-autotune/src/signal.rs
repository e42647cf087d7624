//! What is measured: series of readings with their age, bounded in number and length.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// One value and when it was read.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// Since the owner's origin.
    pub at: Duration,
    /// In the signal's own unit.
    pub value: f64,
}

/// The latest readings of one signal.
#[derive(Clone, Debug)]
pub struct Series {
    readings: VecDeque<Reading>,
    capacity: usize,
    count: u64,
}

/// What a condition wants to know of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fold {
    Latest,
    Mean,
    Least,
    Most,
    /// In hundredths.
    Quantile(u8),
}

impl Series {
    /// Keeps the last `capacity` readings, at least one.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { readings: VecDeque::new(), capacity: capacity.max(1), count: 0 }
    }

    /// Takes a reading; what is not finite, and what is older than the last, is no reading.
    pub fn push(&mut self, at: Duration, value: f64) -> bool {
        let late = self.readings.back().is_some_and(|last| at < last.at);
        if late || !value.is_finite() {
            return false;
        }
        if self.readings.len() == self.capacity {
            self.readings.pop_front();
        }
        self.readings.push_back(Reading { at, value });
        self.count += 1;
        true
    }

    /// The newest reading.
    #[must_use]
    pub fn latest(&self) -> Option<Reading> {
        self.readings.back().copied()
    }

    /// Readings taken since the start.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The readings of the last `span`, oldest first.
    pub fn within(&self, now: Duration, span: Duration) -> impl Iterator<Item = Reading> + '_ {
        let from = now.saturating_sub(span);
        let first = self.readings.partition_point(|reading| reading.at < from);
        self.readings.range(first..).copied()
    }

    /// Over how many readings the series remembers its past: the integrated autocorrelation time, at least 1. Summed while
    /// the autocorrelation is above 0.05 (Sokal 1997 cuts at a window likewise).
    #[must_use]
    pub fn correlation(&self) -> f64 {
        let n = self.readings.len();
        let mean = self.readings.iter().map(|reading| reading.value).sum::<f64>() / n.max(1) as f64;
        let from_mean = |at: usize| self.readings[at].value - mean;
        let variance: f64 = (0..n).map(|at| from_mean(at).powi(2)).sum();
        if n < 8 || variance <= 0.0 {
            return 1.0;
        }
        let lags = (1..n / 4)
            .map(|lag| (lag..n).map(|at| from_mean(at) * from_mean(at - lag)).sum::<f64>() / variance);
        1.0 + 2.0 * lags.take_while(|rho| *rho > 0.05).sum::<f64>()
    }

    pub(crate) fn fold(&self, fold: Fold, now: Duration, span: Duration) -> Option<f64> {
        let latest = self.latest().filter(|latest| now.saturating_sub(latest.at) <= span)?;
        let mut values: Vec<f64> = match fold {
            Fold::Latest => return Some(latest.value),
            _ => self.within(now, span).map(|reading| reading.value).collect(),
        };
        Some(match fold {
            Fold::Mean => values.iter().sum::<f64>() / values.len() as f64,
            Fold::Least => values.iter().copied().fold(f64::INFINITY, f64::min),
            Fold::Latest | Fold::Most => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            Fold::Quantile(percent) => {
                values.sort_unstable_by(f64::total_cmp);
                let rank = (values.len() * usize::from(percent)).div_ceil(100).max(1);
                values[rank - 1]
            }
        })
    }
}

/// All series by name.
#[derive(Clone, Debug)]
pub struct Signals {
    series: BTreeMap<String, Series>,
    names: usize,
    readings: usize,
    dropped: u64,
}

impl Signals {
    /// At most `names` signals of at most `readings` readings each.
    #[must_use]
    pub fn new(names: usize, readings: usize) -> Self {
        Self { series: BTreeMap::new(), names, readings, dropped: 0 }
    }

    /// Takes a reading. One of a name beyond the bound is dropped and counted.
    pub fn push(&mut self, name: &str, at: Duration, value: f64) {
        let room = self.series.len() < self.names;
        let taken = match self.series.get_mut(name) {
            Some(series) => series.push(at, value),
            None if room => self
                .series
                .entry(name.to_owned())
                .or_insert_with(|| Series::new(self.readings))
                .push(at, value),
            None => false,
        };
        self.dropped += u64::from(!taken);
    }

    /// One series.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Series> {
        self.series.get(name)
    }

    /// Names and series, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Series)> {
        self.series.iter().map(|(name, series)| (name.as_str(), series))
    }

    /// Readings not taken: no number, older than the last, or of a name too many.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn folds_look_at_the_span_alone() {
        let mut series = Series::new(100);
        for (at, value) in [(1, 100.0), (10, 1.0), (11, 2.0), (12, 6.0)] {
            series.push(s(at), value);
        }
        let fold = |fold| series.fold(fold, s(12), s(2)).unwrap();
        assert_eq!(fold(Fold::Latest), 6.0);
        assert_eq!(fold(Fold::Mean), 3.0);
        assert_eq!((fold(Fold::Least), fold(Fold::Most)), (1.0, 6.0));
        assert_eq!((fold(Fold::Quantile(50)), fold(Fold::Quantile(99))), (2.0, 6.0));
        assert_eq!(series.fold(Fold::Latest, s(15), s(2)), None, "too old to be told");
    }

    #[test]
    fn everything_is_bounded_and_nonsense_is_counted() {
        let mut signals = Signals::new(1, 3);
        for at in 0..10 {
            signals.push("a", s(at), at as f64);
        }
        signals.push("b", s(1), 1.0);
        signals.push("a", s(11), f64::NAN);
        signals.push("a", s(3), 1.0);
        assert_eq!(signals.dropped(), 3);
        assert_eq!(signals.get("a").unwrap().within(s(10), s(10)).count(), 3);
        assert_eq!(signals.get("a").unwrap().count(), 10);
    }

    #[test]
    fn correlation_is_one_for_noise_and_long_for_what_remembers() {
        let mut random = Random::new(2);
        let (mut noise, mut slow, mut last) = (Series::new(512), Series::new(512), 0.0);
        for at in 0..512 {
            noise.push(s(at), random.normal());
            last = 0.9 * last + random.normal();
            slow.push(s(at), last);
        }
        assert!(noise.correlation() < 2.5, "{}", noise.correlation());
        assert!((8.0..40.0).contains(&slow.correlation()), "{} (19 in theory)", slow.correlation());
    }
}
