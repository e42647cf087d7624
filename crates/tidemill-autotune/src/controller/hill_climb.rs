//! Walks towards better, turns around at worse, takes smaller steps each time, and then stands still.

use std::time::Duration;

use crate::controller::{Control, Fresh};
use crate::decision::number;
use crate::signal::Signals;

/// A climb on a noisy signal: the mean of `samples` readings at each place, compared with a margin of two standard errors.
/// Every turn halves the step; below a hundredth of the value it rests, and looks again after `rest` readings.
#[derive(Clone, Debug)]
pub struct HillClimb {
    signal: Fresh,
    higher: bool,
    samples: u32,
    rest: u32,
    first: f64,
    step: f64,
    seen: Vec<f64>,
    skip: u32,
    best: Option<(f64, f64)>,
    turns: u32,
    resting: u32,
}

impl HillClimb {
    /// Makes `signal` higher (or lower) by steps of at first `share` of the value.
    #[must_use]
    pub fn new(signal: &str, higher: bool, share: f64) -> Self {
        let first = share.clamp(0.01, 1.0);
        Self {
            signal: Fresh::new(signal),
            higher,
            samples: 8,
            rest: 200,
            first,
            step: first,
            seen: Vec::new(),
            skip: 0,
            best: None,
            turns: 0,
            resting: 0,
        }
    }

    /// Readings at each place, at least 2.
    #[must_use]
    pub fn samples(mut self, samples: u32) -> Self {
        self.samples = samples.max(2);
        self
    }

    /// Readings of rest once the top is found.
    #[must_use]
    pub fn rest(mut self, readings: u32) -> Self {
        self.rest = readings;
        self
    }

    fn place(&mut self) -> (f64, f64) {
        let n = self.seen.len() as f64;
        let mean = self.seen.iter().sum::<f64>() / n;
        let variance = self.seen.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0);
        self.seen.clear();
        (if self.higher { mean } else { -mean }, (variance / n).sqrt())
    }
}

impl Control for HillClimb {
    fn name(&self) -> &'static str {
        "hill climb"
    }

    fn step(&mut self, _now: Duration, signals: &Signals, value: f64) -> Option<f64> {
        let reading = self.signal.take(signals)?;
        if self.resting > 0 {
            self.resting -= 1;
            return None;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return None;
        }
        self.seen.push(reading);
        if self.seen.len() < self.samples as usize {
            return None;
        }
        let (mean, error) = self.place();
        let Some((best, at)) = self.best else {
            (self.best, self.skip) = (Some((mean, value)), 1);
            return Some(value * (1.0 + self.step));
        };
        self.skip = 1;
        if mean > best + 2.0 * error {
            self.best = Some((mean, value));
            return Some(value * (1.0 + self.step));
        }
        // Not better: back to the best place, and the other way by half.
        self.turns += 1;
        self.step *= -0.5;
        if self.step.abs() < 0.01 {
            (self.step, self.resting, self.best) = (self.first, self.rest, None);
            return Some(at);
        }
        Some(at * (1.0 + self.step))
    }

    fn evidence(&self) -> String {
        match self.best {
            Some((best, at)) => {
                let best = if self.higher { best } else { -best };
                format!("{} = {} at {}", self.signal.signal, number(best), number(at))
            }
            None => format!("{} is at rest", self.signal.signal),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn it_finds_a_noisy_top_and_stays() {
        let (mut random, mut signals) = (Random::new(5), Signals::new(1, 10));
        let mut control = HillClimb::new("rate", true, 0.4);
        let (mut value, mut late) = (100.0_f64, Vec::new());
        for step in 0..3000 {
            // Its top is at 300; the noise is a fiftieth of it.
            let rate = 1000.0 - 200.0 * (value / 300.0).ln().powi(2) + 5.0 * random.normal();
            signals.push("rate", Duration::from_secs(step), rate);
            value =
                control.step(Duration::from_secs(step), &signals, value).unwrap_or(value).clamp(10.0, 5000.0);
            if step > 600 {
                late.push(rate);
            }
        }
        let mean = late.iter().sum::<f64>() / late.len() as f64;
        assert!(mean > 970.0, "{mean}");
    }
}
