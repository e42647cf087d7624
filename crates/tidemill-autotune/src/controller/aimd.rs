//! A little more while all is well, a good part less when it is not.

use std::time::Duration;

use crate::controller::{Control, Fresh};
use crate::decision::number;
use crate::signal::Signals;

/// Additive increase, multiplicative decrease (Chiu and Jain 1989) on a signal that must stay below a bound.
#[derive(Clone, Debug)]
pub struct Aimd {
    signal: Fresh,
    bound: f64,
    add: f64,
    times: f64,
    hold: u32,
    wait: u32,
    last: f64,
}

impl Aimd {
    /// Keeps `signal` below `bound`: plus `add` each reading, times 0.7 when it is above, and then three readings of rest, in
    /// which the decrease is felt.
    #[must_use]
    pub fn new(signal: &str, bound: f64, add: f64) -> Self {
        Self { signal: Fresh::new(signal), bound, add, times: 0.7, hold: 3, wait: 0, last: 0.0 }
    }

    /// The factor of a decrease, between 0 and 1.
    #[must_use]
    pub fn times(mut self, times: f64) -> Self {
        self.times = times.clamp(0.01, 0.99);
        self
    }

    /// Readings of rest after a decrease.
    #[must_use]
    pub fn hold(mut self, readings: u32) -> Self {
        self.hold = readings;
        self
    }
}

impl Control for Aimd {
    fn name(&self) -> &'static str {
        "aimd controller"
    }

    fn step(&mut self, _now: Duration, signals: &Signals, value: f64) -> Option<f64> {
        self.last = self.signal.take(signals)?;
        if self.wait > 0 {
            self.wait -= 1;
            return None;
        }
        if self.last > self.bound {
            self.wait = self.hold;
            return Some(value * self.times);
        }
        Some(value + self.add)
    }

    fn evidence(&self) -> String {
        format!("{} = {}, bound {}", self.signal.signal, number(self.last), number(self.bound))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_saws_below_the_bound_and_one_overload_is_one_decrease() {
        let (mut control, mut signals) = (Aimd::new("latency", 100.0, 1.0), Signals::new(1, 10));
        let mut value = 10.0;
        let mut seen = Vec::new();
        for step in 0..200 {
            signals.push("latency", Duration::from_secs(step), value * 2.0);
            value = control.step(Duration::from_secs(step), &signals, value).unwrap_or(value);
            seen.push(value);
        }
        let late = &seen[60..];
        assert!(late.iter().all(|value| (34.0..52.0).contains(value)), "{late:?}");
        let mean = late.iter().sum::<f64>() / late.len() as f64;
        assert!((40.0..50.0).contains(&mean), "{mean}");
    }
}
