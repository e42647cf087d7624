//! The adaptive strategy: a limit that moves between a floor and a ceiling with success and latency. Off by default.
//!
//! It is what one does who does not know the quota. The measured alternative is better where there is one: the declared
//! quota with response-anchored slots is never refused and needs no ramp; see the crate's README for the figures.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::span;

/// When and by how much a limit is raised or lowered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Adaptive {
    /// Never fewer requests in a window, and where it starts. Default 60.
    pub floor: u32,
    /// Never more; at most the `requests` of its limit. Default 75.
    pub ceiling: u32,
    /// How often it decides. Default 60 s.
    #[serde(with = "span")]
    pub every: Duration,
    /// The step, as a share of the present size. Default 0.05.
    pub step: f64,
    /// Raise when this share of answers succeeds, and ... Default 0.98.
    pub raise_above: f64,
    /// ... answers are faster than this. Default 3 s.
    #[serde(with = "span")]
    pub raise_below: Duration,
    /// Lower when less than this share succeeds, or ... Default 0.95.
    pub lower_below: f64,
    /// ... answers are slower than this. Default 8 s.
    #[serde(with = "span")]
    pub lower_above: Duration,
    /// Requests that may come ahead of an even pace, made good within ten seconds at the default size. Default 5.
    pub burst: u32,
    /// Weight of what is known against the newest answer. Default 0.9.
    pub smoothing: f64,
}

impl Default for Adaptive {
    fn default() -> Self {
        Self {
            floor: 60,
            ceiling: 75,
            every: Duration::from_secs(60),
            step: 0.05,
            raise_above: 0.98,
            raise_below: Duration::from_secs(3),
            lower_below: 0.95,
            lower_above: Duration::from_secs(8),
            burst: 5,
            smoothing: 0.9,
        }
    }
}

impl Adaptive {
    /// What is wrong with it under a limit of `requests`, and in which field.
    pub(crate) fn wrong(&self, requests: u32) -> Option<(&'static str, &'static str)> {
        let share = |value: f64| (0.0..=1.0).contains(&value);
        if self.floor == 0 || self.floor > self.ceiling || self.ceiling > requests {
            return Some((
                "adaptive.floor",
                "must be at least 1 and at most the ceiling, which is at most `requests`",
            ));
        }
        if !share(self.step) || !share(self.raise_above) || !share(self.lower_below) || !share(self.smoothing)
        {
            return Some(("adaptive", "must have shares between 0 and 1"));
        }
        (self.every < Duration::from_millis(1)).then_some(("adaptive.every", "must be at least 1 ms"))
    }
}

/// The strategy at work on one limit.
#[derive(Debug)]
pub(crate) struct Adapting {
    rules: Adaptive,
    success: f64,
    latency_s: f64,
    seen: bool,
    decide_at: u64,
}

impl Adapting {
    pub(crate) fn new(rules: &Adaptive) -> Self {
        let decide_at = crate::learn::nanos(rules.every);
        Self { rules: rules.clone(), success: 1.0, latency_s: 0.0, seen: false, decide_at }
    }

    /// Takes in an answer; the new size when it is time for one, from the `current`.
    pub(crate) fn observe(&mut self, now: u64, success: bool, latency_ns: u64, current: u32) -> Option<u32> {
        let latency_s = latency_ns as f64 * 1e-9;
        let fresh = if self.seen { 1.0 - self.rules.smoothing } else { 1.0 };
        self.latency_s += fresh * (latency_s - self.latency_s);
        self.success += (1.0 - self.rules.smoothing) * (f64::from(u8::from(success)) - self.success);
        self.seen = true;
        if now < self.decide_at {
            return None;
        }
        let Adaptive { floor, ceiling, step, .. } = self.rules;
        self.decide_at = now.saturating_add(crate::learn::nanos(self.rules.every));
        let by = ((f64::from(current) * step).round() as u32).max(1);
        let slow = self.latency_s > self.rules.lower_above.as_secs_f64();
        let fast = self.latency_s < self.rules.raise_below.as_secs_f64();
        if self.success < self.rules.lower_below || slow {
            Some(current.saturating_sub(by).max(floor))
        } else if self.success > self.rules.raise_above && fast {
            Some((current + by).clamp(floor, ceiling))
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    /// The sizes after `minutes` of one answer a second.
    fn sizes(minutes: u64, success: impl Fn(u64) -> bool, latency_ns: u64) -> Vec<u32> {
        let mut adapting = Adapting::new(&Adaptive::default());
        let mut current = 60;
        let mut sizes = Vec::new();
        for second in 1..=minutes * 60 {
            if let Some(next) = adapting.observe(second * S, success(second), latency_ns, current) {
                current = next;
            }
            if second % 60 == 0 {
                sizes.push(current);
            }
        }
        sizes
    }

    #[test]
    fn it_rises_by_a_twentieth_a_minute_and_stops_at_the_ceiling() {
        assert_eq!(sizes(6, |_| true, S), [63, 66, 69, 72, 75, 75]);
        assert_eq!(sizes(3, |_| true, 4 * S), [60, 60, 60], "between the two latencies nothing moves");
    }

    #[test]
    fn it_falls_with_failures_or_latency_and_stops_at_the_floor() {
        let fails_late = |second: u64| second < 300 || !second.is_multiple_of(5);
        // 60, 63, 66, 69, 72, and from there on one answer in five fails.
        assert_eq!(sizes(10, fails_late, S)[4..], [68, 65, 62, 60, 60, 60]);
        let mut adapting = Adapting::new(&Adaptive::default());
        assert_eq!(adapting.observe(60 * S, true, 9 * S, 70), Some(66));
    }

    #[test]
    fn what_is_out_of_bounds_is_named() {
        assert_eq!(Adaptive::default().wrong(75), None);
        assert_eq!(Adaptive::default().wrong(70).unwrap().0, "adaptive.floor");
        assert!(Adaptive { step: f64::NAN, ..Adaptive::default() }.wrong(75).is_some());
    }
}
