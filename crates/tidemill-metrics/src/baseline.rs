//! What is usual: a mean for each hour of the day that learns slowly, and the trend of the last values.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// A new value moves a mean of many by at least this share.
const SLOWEST: f64 = 1.0 / 500.0;

/// What is out of the usual moves it this much less.
const UNUSUAL: f64 = 0.1;

/// Values a trend is computed from.
const KEPT: usize = 60;

/// What one number usually is, by hour of the day. It can be saved and restored.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Baseline {
    hours: [Usual; 24],
    day: Usual,
}

/// Where a number is going.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Trend {
    /// Too few values to say.
    #[default]
    Unknown,
    /// Neither up nor down beyond its own noise.
    Steady,
    /// Up.
    Rising,
    /// Down.
    Falling,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Usual {
    mean: f64,
    samples: u64,
}

/// The last values with their times.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recent(VecDeque<(f64, f64)>);

impl Baseline {
    /// The usual value at an hour of the day and how many samples stand behind it: those of the hour if they are at
    /// least `min_samples`, else those of all hours, else `None`.
    #[must_use]
    pub fn usual(&self, hour: usize, min_samples: u64) -> Option<(f64, u64)> {
        let known =
            |usual: &Usual| (usual.samples >= min_samples.max(1)).then_some((usual.mean, usual.samples));
        known(&self.hours[hour % 24]).or_else(|| known(&self.day))
    }

    /// Learns a value. What is out of the usual of an hour that is known by `min_samples` is learnt ten times more slowly,
    /// so that a bad hour does not become the norm, but a lasting change does.
    pub fn learn(&mut self, hour: usize, value: f64, unusual: bool, min_samples: u64) {
        let known = self.hours[hour % 24].samples >= min_samples.max(1);
        self.hours[hour % 24].learn(value, unusual && known);
        self.day.learn(value, false);
    }
}

impl Usual {
    fn learn(&mut self, value: f64, slowly: bool) {
        self.samples += 1;
        let weight = (1.0 / self.samples as f64).max(SLOWEST);
        self.mean += (value - self.mean) * if slowly { SLOWEST * UNUSUAL } else { weight };
    }
}

impl Recent {
    pub(crate) fn push(&mut self, hours: f64, value: f64) {
        self.0.push_back((hours, value));
        if self.0.len() > KEPT {
            self.0.pop_front();
        }
    }

    /// The trend and the change per hour, by least squares. A trend is one that explains half of the variance and moved
    /// the number by a tenth of its mean.
    pub(crate) fn trend(&self) -> (Trend, Option<f64>) {
        let n = self.0.len() as f64;
        let (Some(first), Some(last)) = (self.0.front(), self.0.back()) else {
            return (Trend::Unknown, None);
        };
        let span = last.0 - first.0;
        if n < 10.0 || span <= 0.0 {
            return (Trend::Unknown, None);
        }
        let mean = |of: fn(&(f64, f64)) -> f64| self.0.iter().map(of).sum::<f64>() / n;
        let (mean_x, mean_y) = (mean(|point| point.0), mean(|point| point.1));
        let (mut xx, mut xy, mut yy) = (0.0, 0.0, 0.0);
        for (x, y) in &self.0 {
            let (dx, dy) = (x - mean_x, y - mean_y);
            xx += dx * dx;
            xy += dx * dy;
            yy += dy * dy;
        }
        if xx == 0.0 || yy == 0.0 {
            return (Trend::Steady, Some(0.0));
        }
        let slope = xy / xx;
        let explained = xy * xy / (xx * yy);
        let moved = (slope * span).abs() >= 0.1 * mean_y.abs();
        match (explained >= 0.5 && moved, slope > 0.0) {
            (false, _) => (Trend::Steady, Some(slope)),
            (true, true) => (Trend::Rising, Some(slope)),
            (true, false) => (Trend::Falling, Some(slope)),
        }
    }
}
