//! How long an answer takes, and how much of that lies before the server counts.

use std::f64::consts::TAU;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::duration_text;
use crate::random::{Purpose, bits, unit};

/// The distribution of the time between a request's arrival at the socket and the first byte of its answer.
///
/// In TOML: `latency = { kind = "uniform", min = "20ms", max = "80ms" }`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Latency {
    /// No delay at all.
    None,
    /// Always the same.
    Fixed {
        /// The delay.
        #[serde(with = "duration_text")]
        delay: Duration,
    },
    /// Evenly between two bounds.
    Uniform {
        /// The shortest.
        #[serde(with = "duration_text")]
        min: Duration,
        /// The longest.
        #[serde(with = "duration_text")]
        max: Duration,
    },
    /// Lognormal, as measured over the internet: mostly near the median, with a long tail cut at `cap`.
    Lognormal {
        /// Half of the answers are faster.
        #[serde(with = "duration_text")]
        median: Duration,
        /// Standard deviation of the logarithm; 0.5 puts 2 % beyond 2.8 times the median.
        sigma: f64,
        /// The longest.
        #[serde(with = "duration_text")]
        cap: Duration,
    },
}

/// One request's latency in its two parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delay {
    /// From arrival at the socket until the server counts the request.
    pub uplink: Duration,
    /// From counting until the answer begins.
    pub downlink: Duration,
}

impl Latency {
    /// The delay of the `request`-th request; a function of its arguments alone.
    ///
    /// The server counts at a point drawn evenly from the middle half of the delay, independently for each request:
    /// the jitter between sending and counting is what breaks limiters that trust their own clock.
    pub fn draw(&self, seed: u64, request: u64) -> Delay {
        let share = |lane| unit(bits(seed, Purpose::Latency, request, lane));
        let total = match *self {
            Self::None => return Delay::default(),
            Self::Fixed { delay } => delay,
            Self::Uniform { min, max } => min + max.saturating_sub(min).mul_f64(share(0)),
            Self::Lognormal { median, sigma, cap } => {
                // Box and Muller; 1 - u keeps the logarithm finite.
                let normal = (-2.0 * (1.0 - share(0)).ln()).sqrt() * (TAU * share(1)).cos();
                let seconds = median.as_secs_f64() * (sigma * normal).exp();
                Duration::try_from_secs_f64(seconds).unwrap_or(cap).min(cap)
            }
        };
        let uplink = total.mul_f64(0.25 + 0.5 * unit(bits(seed, Purpose::Uplink, request, 0)));
        Delay { uplink, downlink: total - uplink }
    }
}

impl Default for Latency {
    /// Uniform, 20 to 80 ms.
    fn default() -> Self {
        Self::Uniform { min: Duration::from_millis(20), max: Duration::from_millis(80) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGNORMAL: Latency =
        Latency::Lognormal { median: Duration::from_millis(100), sigma: 0.5, cap: Duration::from_secs(1) };

    fn totals(latency: Latency, seed: u64) -> Vec<Duration> {
        let mut totals: Vec<_> = (0..4000)
            .map(|request| latency.draw(seed, request))
            .map(|delay| delay.uplink + delay.downlink)
            .collect();
        totals.sort();
        totals
    }

    #[test]
    fn uniform_fills_its_bounds_and_stays_within() {
        let totals = totals(Latency::default(), 7);
        assert!(totals[0] >= Duration::from_millis(20) && totals[0] < Duration::from_millis(21));
        assert!(totals[3999] <= Duration::from_millis(80) && totals[3999] > Duration::from_millis(79));
        assert!((49..=51).contains(&totals[2000].as_millis()), "{:?}", totals[2000]);
    }

    #[test]
    fn lognormal_has_its_median_its_tail_and_its_cap() {
        let totals = totals(LOGNORMAL, 7);
        assert!((96..=104).contains(&totals[2000].as_millis()), "{:?}", totals[2000]);
        // exp(0.5 * 2.054) = 2.79 times the median at the 98th percentile
        assert!((250..=310).contains(&totals[3920].as_millis()), "{:?}", totals[3920]);
        assert!(totals[3999] <= Duration::from_secs(1));
        let capped =
            Latency::Lognormal { median: Duration::from_secs(1), sigma: 40.0, cap: Duration::from_secs(2) };
        assert_eq!(self::totals(capped, 1)[3999], Duration::from_secs(2));
    }

    #[test]
    fn a_seed_fixes_every_draw() {
        assert_eq!(LOGNORMAL.draw(1, 42), LOGNORMAL.draw(1, 42));
        assert_ne!(LOGNORMAL.draw(1, 42), LOGNORMAL.draw(2, 42));
        assert_ne!(LOGNORMAL.draw(1, 42), LOGNORMAL.draw(1, 43));
    }

    #[test]
    fn counting_happens_in_the_middle_half() {
        let fixed = Latency::Fixed { delay: Duration::from_millis(100) };
        let uplinks: Vec<_> = (0..1000).map(|request| fixed.draw(3, request).uplink.as_millis()).collect();
        assert!(uplinks.iter().all(|ms| (25..=75).contains(ms)));
        assert!(uplinks.iter().any(|ms| *ms < 30) && uplinks.iter().any(|ms| *ms > 70));
    }
}
