//! When a failed attempt is tried again: exponential backoff with full jitter, and a budget that all jobs share.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::duration;
use crate::error::Error;

/// How often and after which delay one job is tried again. The default of a job is [`Retry::NONE`].
///
/// The delay before retry `n` (from 1) is uniform between 0 and `min(cap, base · 2^(n-1))`: "full jitter", see
/// Marc Brooker, "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// Retries after the first attempt.
    pub max: u32,
    /// The longest delay before the first retry.
    #[serde(with = "duration")]
    pub base: Duration,
    /// The longest delay before any.
    #[serde(with = "duration")]
    pub cap: Duration,
}

impl Retry {
    /// One attempt, no retry.
    pub const NONE: Self = Self { max: 0, base: Duration::ZERO, cap: Duration::ZERO };

    /// Three retries within 0.5, 1 and 2 s.
    pub const STANDARD: Self =
        Self { max: 3, base: Duration::from_millis(500), cap: Duration::from_secs(30) };

    /// The longest delay before retry `n`, counted from 1.
    #[must_use]
    pub fn ceiling(&self, n: u32) -> Duration {
        let doublings = n.saturating_sub(1).min(31);
        self.base.saturating_mul(1 << doublings).min(self.cap)
    }

    /// The delay before retry `n` when `random` is uniform over all `u64`; a known `after` is waited for in
    /// full, with up to `base` on top so that those told the same do not come back together.
    #[must_use]
    pub fn delay(&self, n: u32, after: Option<Duration>, random: u64) -> Duration {
        match after {
            Some(after) => after.saturating_add(scale(self.base.min(self.cap), random)),
            None => scale(self.ceiling(n), random),
        }
    }
}

/// The share of retries among all attempts of a pool: a token bucket in retries.
///
/// Each accepted job deposits `ratio`, each second deposits `per_second`, each retry takes one; it never
/// holds more than `reserve`. When the provider is down, retries stay near `ratio` of the traffic instead
/// of multiplying it by `max`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Budget {
    /// Retries earned by an accepted job. Default 0.2.
    pub ratio: f64,
    /// Retries earned by a second. Default 1.
    pub per_second: f64,
    /// The most that can be saved, and what a new pool starts with. Default 100.
    pub reserve: f64,
}

impl Default for Budget {
    fn default() -> Self {
        Self { ratio: 0.2, per_second: 1.0, reserve: 100.0 }
    }
}

impl Budget {
    /// No limit but each job's own.
    pub const UNLIMITED: Self = Self { ratio: 0.0, per_second: 0.0, reserve: 1e18 };

    pub(crate) fn check(&self) -> Result<(), Error> {
        for (field, value) in [
            ("retry_budget.ratio", self.ratio),
            ("retry_budget.per_second", self.per_second),
            ("retry_budget.reserve", self.reserve),
        ] {
            if !(0.0..=1e18).contains(&value) {
                return Err(Error::config(field, format!("{value} is not within 0 to 1e18")));
            }
        }
        Ok(())
    }
}

/// What is left of a [`Budget`].
#[derive(Debug)]
pub(crate) struct Purse {
    budget: Budget,
    left: f64,
    at: Duration,
}

impl Purse {
    pub(crate) fn new(budget: Budget) -> Self {
        Self { budget, left: budget.reserve, at: Duration::ZERO }
    }

    pub(crate) fn earn(&mut self) {
        self.left = (self.left + self.budget.ratio).min(self.budget.reserve);
    }

    pub(crate) fn spend(&mut self, now: Duration) -> bool {
        let passed = now.saturating_sub(self.at).as_secs_f64();
        self.at = self.at.max(now);
        self.left = (self.left + passed * self.budget.per_second).min(self.budget.reserve);
        if self.left < 1.0 {
            return false;
        }
        self.left -= 1.0;
        true
    }

    pub(crate) fn left(&self) -> f64 {
        self.left
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): small, seeded, good enough for jitter.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

/// `longest` times the fraction that `random` is of all `u64`.
fn scale(longest: Duration, random: u64) -> Duration {
    let nanos = (longest.as_nanos().min(u128::from(u64::MAX)) * u128::from(random)) >> 64;
    Duration::from_nanos(nanos as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RETRY: Retry = Retry { max: 5, base: Duration::from_millis(100), cap: Duration::from_millis(700) };

    #[test]
    fn the_ceiling_doubles_up_to_the_cap() {
        let ceilings: Vec<_> = (1..=5).map(|n| RETRY.ceiling(n).as_millis()).collect();
        assert_eq!(ceilings, [100, 200, 400, 700, 700]);
        assert_eq!(RETRY.ceiling(u32::MAX), RETRY.cap);
    }

    #[test]
    fn jitter_fills_the_whole_range_evenly() {
        let mut random = Random::new(7);
        let delays: Vec<f64> =
            (0..20_000).map(|_| RETRY.delay(3, None, random.next()).as_secs_f64()).collect();
        assert!(delays.iter().all(|&d| (0.0..0.4).contains(&d)));
        for quarter in 0..4 {
            let low = f64::from(quarter) * 0.1;
            let share = delays.iter().filter(|&&d| d >= low && d < low + 0.1).count() as f64 / 20_000.0;
            assert!((share - 0.25).abs() < 0.02, "quarter {quarter} has {share}");
        }
    }

    #[test]
    fn a_known_wait_is_kept_in_full() {
        let after = Some(Duration::from_secs(3));
        assert_eq!(RETRY.delay(1, after, 0), Duration::from_secs(3));
        assert!(RETRY.delay(1, after, u64::MAX) < Duration::from_millis(3100));
        assert!(RETRY.delay(1, after, u64::MAX) > Duration::from_millis(3099));
    }

    #[test]
    fn the_budget_lets_through_its_ratio() {
        let mut purse = Purse::new(Budget { ratio: 0.25, per_second: 0.0, reserve: 2.0 });
        assert!(purse.spend(Duration::ZERO) && purse.spend(Duration::ZERO) && !purse.spend(Duration::ZERO));
        let retried = (0..1000).filter(|_| {
            purse.earn();
            purse.spend(Duration::ZERO)
        });
        assert_eq!(retried.count(), 250);
        let mut timed = Purse::new(Budget { ratio: 0.0, per_second: 2.0, reserve: 1.0 });
        assert!(timed.spend(Duration::ZERO) && !timed.spend(Duration::from_millis(499)));
        assert!(timed.spend(Duration::from_secs(1)));
    }
}
