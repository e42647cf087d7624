//! As many as the load asks for: value × measured / target, with a dead band and a slow way down.

use std::collections::VecDeque;
use std::time::Duration;

use crate::controller::{Control, Fresh};
use crate::decision::number;
use crate::signal::Signals;

/// The law of Kubernetes' horizontal pod autoscaler: `ceil(value × measured / target)`, silent within `tolerance` of the
/// target; on the way down the largest wish of the last `window` counts, so that a short lull shrinks nothing.
#[derive(Clone, Debug)]
pub struct Ratio {
    signal: Fresh,
    target: f64,
    tolerance: f64,
    window: Duration,
    wishes: VecDeque<(Duration, f64)>,
    last: f64,
}

impl Ratio {
    /// Keeps `signal` (a utilisation: it falls when the knob rises) at `target`; tolerance 10 %, window 300 s.
    #[must_use]
    pub fn new(signal: &str, target: f64) -> Self {
        let window = Duration::from_secs(300);
        Self {
            signal: Fresh::new(signal),
            target,
            tolerance: 0.1,
            window,
            wishes: VecDeque::new(),
            last: 0.0,
        }
    }

    /// How far from the target nothing happens, as a share of it.
    #[must_use]
    pub fn tolerance(mut self, tolerance: f64) -> Self {
        self.tolerance = tolerance.max(0.0);
        self
    }

    /// How long a wish holds back the way down.
    #[must_use]
    pub fn window(mut self, window: Duration) -> Self {
        self.window = window;
        self
    }
}

impl Control for Ratio {
    fn name(&self) -> &'static str {
        "ratio controller"
    }

    fn step(&mut self, now: Duration, signals: &Signals, value: f64) -> Option<f64> {
        let measured = self.signal.take(signals)?;
        self.last = measured;
        let ratio = measured / self.target;
        if !ratio.is_finite() {
            return None;
        }
        let quiet = (ratio - 1.0).abs() <= self.tolerance;
        let wish = if quiet { value } else { (value * ratio - 1e-9).ceil() };
        while self.wishes.front().is_some_and(|(at, _)| now.saturating_sub(*at) > self.window) {
            self.wishes.pop_front();
        }
        // A wish that a later, larger one outlives is never the largest again.
        while self.wishes.back().is_some_and(|(_, earlier)| *earlier <= wish) {
            self.wishes.pop_back();
        }
        self.wishes.push_back((now, wish));
        let largest = self.wishes.front().map_or(wish, |(_, wish)| *wish);
        Some(if wish < value { largest.min(value) } else { wish })
    }

    fn evidence(&self) -> String {
        format!("{} = {}, target {}", self.signal.signal, number(self.last), number(self.target))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A load spread over workers: utilisation = load / workers.
    fn settle(control: &mut Ratio, load: impl Fn(u64) -> f64, steps: u64) -> Vec<f64> {
        let (mut signals, mut workers, mut seen) = (Signals::new(1, 100), 4.0, Vec::new());
        for step in 0..steps {
            let now = Duration::from_secs(10 * step);
            signals.push("busy", now, load(step) / workers);
            workers = control.step(now, &signals, workers).unwrap_or(workers).clamp(2.0, 64.0);
            seen.push(workers);
        }
        seen
    }

    #[test]
    fn it_finds_the_number_and_is_quiet_there() {
        let seen = settle(&mut Ratio::new("busy", 0.7), |_| 7.0, 20);
        assert_eq!(seen[0], 10.0);
        assert!(seen.iter().all(|workers| *workers == 10.0), "{seen:?}");
    }

    #[test]
    fn a_short_lull_shrinks_nothing_and_a_long_one_does() {
        let seen = settle(
            &mut Ratio::new("busy", 0.7),
            |step| if (5..8).contains(&step) || step > 20 { 2.1 } else { 7.0 },
            80,
        );
        assert!(seen[..45].iter().all(|workers| *workers == 10.0), "{seen:?}");
        assert_eq!(*seen.last().unwrap(), 3.0, "{seen:?}");
    }

    #[test]
    fn without_the_window_it_flaps() {
        let mut control = Ratio::new("busy", 0.7).window(Duration::ZERO);
        let seen = settle(&mut control, |step| if step % 2 == 0 { 7.0 } else { 2.1 }, 20);
        assert!(seen.windows(2).filter(|pair| pair[0] != pair[1]).count() > 15, "the control: {seen:?}");
    }
}
