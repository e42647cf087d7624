//! What is usual for a value: a mean that forgets slowly and does not learn from what is bad.

use serde::{Deserialize, Serialize};

use super::rule::{Rule, Worse};

/// How many times `samples` the mean looks back.
const MEMORY: f64 = 20.0;

/// Outliers move the mean by at most this many typical distances from it.
const CLIP: f64 = 3.0;

/// A learned mean, and how far readings usually are from it. Exponential forgetting with clipping (Huber 1964): one wild
/// reading cannot move what counts as usual.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// The usual value.
    pub mean: f64,
    /// Mean distance from it.
    pub spread: f64,
    /// Readings learnt from.
    pub count: u32,
}

impl Baseline {
    /// Whether enough was seen to judge by.
    #[must_use]
    pub fn is_ready(&self, rule: &Rule) -> bool {
        self.count >= rule.samples
    }

    /// From what on a value is degraded.
    #[must_use]
    pub fn limit(&self, rule: &Rule) -> f64 {
        let by = self.mean.abs() * rule.percent / 100.0;
        match rule.worse {
            Worse::Higher => self.mean + by,
            Worse::Lower => self.mean - by,
        }
    }

    /// Whether a value is worse than usual by the rule's share. Nothing is, while too little was seen or zero is usual.
    #[must_use]
    pub fn is_bad(&self, rule: &Rule, value: f64) -> bool {
        self.is_ready(rule)
            && self.mean != 0.0
            && match rule.worse {
                Worse::Higher => value > self.limit(rule),
                Worse::Lower => value < self.limit(rule),
            }
    }

    /// Learns from a reading that was not bad.
    pub fn learn(&mut self, rule: &Rule, value: f64) {
        if !value.is_finite() {
            return;
        }
        let weight = (1.0 / f64::from(self.count + 1)).max(1.0 / (MEMORY * f64::from(rule.samples)));
        let mut step = value - self.mean;
        if self.is_ready(rule) && self.spread > 0.0 {
            step = step.clamp(-CLIP * self.spread, CLIP * self.spread);
        }
        if self.count > 0 {
            self.spread += (step.abs() - self.spread) / f64::from(self.count.min(1000));
        }
        self.mean += step * weight;
        self.count = self.count.saturating_add(1).min(1_000_000);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule() -> Rule {
        Rule { above: None, kind: super::super::rule::Kind::Degradation, ..Rule::above("r", "m", 0.0) }
    }

    #[test]
    fn a_fifth_worse_than_usual_is_bad_and_not_before_it_knows() {
        let (rule, mut baseline) = (rule(), Baseline::default());
        assert!(!baseline.is_bad(&rule, 1e9));
        for reading in 0..30 {
            baseline.learn(&rule, 100.0 + f64::from(reading % 3));
        }
        assert!(!baseline.is_bad(&rule, 119.0) && baseline.is_bad(&rule, 123.0));
        let less = Rule { worse: Worse::Lower, ..rule };
        assert!(baseline.is_bad(&less, 79.0) && !baseline.is_bad(&less, 82.0));
    }

    #[test]
    fn one_wild_reading_moves_it_little() {
        let (rule, mut baseline) = (rule(), Baseline::default());
        for reading in 0..100 {
            baseline.learn(&rule, 100.0 + f64::from(reading % 5));
        }
        let before = baseline.mean;
        baseline.learn(&rule, 1e12);
        baseline.learn(&rule, f64::INFINITY);
        assert!((baseline.mean - before).abs() < 1.0, "{before} {baseline:?}");
    }
}
