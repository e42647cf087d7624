//! When stored runs changed: change points by energy statistics, tested by permutation.
//!
//! E-divisive (Matteson and James 2014): the split that parts a series into the two most different halves is a change point
//! when so good a split is rare among shuffled copies of the series; each half is then searched in its turn. It needs
//! no threshold and no model of the noise; runs must not depend on one another beyond the level they share.

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::statistics::random::Random;
use crate::statistics::sample::median;

/// The newest runs that are searched; older ones are left out.
pub const MAX_RUNS: usize = 500;

/// How to search.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Search {
    /// The fewest runs between two changes; default 4.
    pub segment: usize,
    /// How often a series without a change may be called one; default 0.05. Half of it for each half, and so on.
    pub alarms: f64,
    /// Shuffled copies for each test; default 999.
    pub shuffles: usize,
    /// The same seed gives the same answer.
    pub seed: u64,
}

impl Default for Search {
    fn default() -> Self {
        Self { segment: 4, alarms: 0.05, shuffles: 999, seed: 1 }
    }
}

/// A place where the level changed.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct ChangePoint {
    /// The first run of the new level.
    pub at: usize,
    /// The median of the level before.
    pub before: f64,
    /// The median of the new level.
    pub after: f64,
    /// `after / before - 1`.
    pub change: f64,
    /// The share of shuffled copies that have as good a split.
    pub p: f64,
}

/// The change points of a series of positive values, oldest first. Only the newest [`MAX_RUNS`] are searched.
#[must_use]
pub fn change_points(values: &[f64], search: &Search) -> Vec<ChangePoint> {
    let skipped = values.len().saturating_sub(MAX_RUNS);
    let logs: Vec<f64> = values[skipped..].iter().map(|value| value.max(f64::MIN_POSITIVE).ln()).collect();
    let mut random = Random::new(search.seed);
    let mut splits = Vec::new();
    let mut open = vec![(0, logs.len(), search.alarms)];
    while let Some((from, to, alarms)) = open.pop() {
        let part = &logs[from..to];
        let Some((at, score)) = best_split(part, search.segment.max(2)) else { continue };
        let p = chance(part, score, alarms, search, &mut random);
        if p <= alarms {
            splits.push((from + at, p));
            // Two halves, two chances to be wrong.
            open.extend([(from, from + at, alarms / 2.0), (from + at, to, alarms / 2.0)]);
        }
    }
    splits.sort_by_key(|(at, _)| *at);
    described(&values[skipped..], &splits)
        .into_iter()
        .map(|point| ChangePoint { at: point.at + skipped, ..point })
        .collect()
}

fn described(values: &[f64], splits: &[(usize, f64)]) -> Vec<ChangePoint> {
    let edges: Vec<usize> =
        [0].into_iter().chain(splits.iter().map(|split| split.0)).chain([values.len()]).collect();
    let point = |(i, (at, p)): (usize, &(usize, f64))| {
        let (before, after) = (median(&values[edges[i]..*at]), median(&values[*at..edges[i + 2]]));
        ChangePoint { at: *at, before, after, change: after / before - 1.0, p: *p }
    };
    splits.iter().enumerate().map(point).collect()
}

/// The share of shuffled copies whose best split is at least as good. Ends early once it cannot be rare any more.
fn chance(part: &[f64], score: f64, alarms: f64, search: &Search, random: &mut Random) -> f64 {
    let mut shuffled = part.to_vec();
    let enough = ((search.shuffles + 1) as f64 * alarms).floor() as usize + 1;
    let (mut as_good, mut tried) = (1, 1);
    while tried <= search.shuffles && as_good <= enough {
        random.shuffle(&mut shuffled);
        tried += 1;
        if best_split(&shuffled, search.segment.max(2))
            .is_some_and(|(_, found)| found >= score * (1.0 - 1e-12))
        {
            as_good += 1;
        }
    }
    as_good as f64 / tried as f64
}

/// The split with the largest energy distance between its sides, and that distance; `None` when the series is too short
/// or constant.
fn best_split(values: &[f64], segment: usize) -> Option<(usize, f64)> {
    let count = values.len();
    if count < 2 * segment {
        return None;
    }
    // Sums of distances, moved along as one value after another changes sides.
    let (mut left, mut right, mut across) = (0.0, pair_sum(values), 0.0);
    let mut best: Option<(usize, f64)> = None;
    for at in 1..=count - segment {
        let moved = values[at - 1];
        let to_left: f64 = values[..at - 1].iter().map(|value| (value - moved).abs()).sum();
        let to_right: f64 = values[at..].iter().map(|value| (value - moved).abs()).sum();
        left += to_left;
        right -= to_right;
        across += to_right - to_left;
        if at < segment {
            continue;
        }
        let (n, m) = (at as f64, (count - at) as f64);
        let within = |sum: f64, k: f64| if k > 1.0 { 2.0 * sum / (k * (k - 1.0)) } else { 0.0 };
        let energy = 2.0 * across / (n * m) - within(left, n) - within(right, m);
        let score = n * m / (n + m) * energy;
        if best.is_none_or(|(_, found)| score > found) {
            best = Some((at, score));
        }
    }
    best.filter(|(_, score)| *score > 0.0)
}

fn pair_sum(values: &[f64]) -> f64 {
    let from =
        |(i, value): (usize, &f64)| values[i + 1..].iter().map(|other| (other - value).abs()).sum::<f64>();
    values.iter().enumerate().map(from).sum()
}
