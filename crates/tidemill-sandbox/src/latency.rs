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

/// A time in which every answer takes longer, or shorter, than usual.
///
/// In TOML: `spells = [{ after = "60s", lasts = "5m", times = 3.0 }]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spell {
    /// When it begins, since the start of serving.
    #[serde(with = "duration_text")]
    pub after: Duration,
    /// How long it is.
    #[serde(with = "duration_text")]
    pub lasts: Duration,
    /// What the latency of a request that arrives in it is multiplied with; 0 to 1000.
    pub times: f64,
}

impl Spell {
    /// What the latency is multiplied with at a time since the start of serving; spells that overlap multiply.
    pub(crate) fn factor(spells: &[Self], at: Duration) -> f64 {
        let on = |spell: &&Self| at.checked_sub(spell.after).is_some_and(|into| into < spell.lasts);
        spells.iter().filter(on).map(|spell| spell.times).product()
    }
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

impl Delay {
    /// Both parts multiplied.
    #[must_use]
    pub(crate) fn times(self, factor: f64) -> Self {
        Self { uplink: self.uplink.mul_f64(factor), downlink: self.downlink.mul_f64(factor) }
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
    fn a_spell_begins_and_ends() {
        let s = Duration::from_secs;
        let spells = [
            Spell { after: s(60), lasts: s(300), times: 3.0 },
            Spell { after: s(100), lasts: s(10), times: 0.5 },
        ];
        let factors = [0, 59, 60, 100, 110, 359, 360].map(|at| Spell::factor(&spells, s(at)));
        assert_eq!(factors, [1.0, 1.0, 3.0, 1.5, 3.0, 3.0, 1.0]);
        let delay = Delay { uplink: s(1), downlink: s(2) }.times(3.0);
        assert_eq!((delay.uplink, delay.downlink), (s(3), s(6)));
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
