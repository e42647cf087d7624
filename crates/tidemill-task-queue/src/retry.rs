//! How long after a failed attempt the next one comes.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::span;

/// Exponential backoff with full jitter: the delay before retry `n` (from 1) is uniform between zero and
/// `min(cap, base · 2^(n-1))` (Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backoff {
    /// The longest delay before the first retry.
    #[serde(with = "span")]
    pub base: Duration,
    /// The longest delay before any.
    #[serde(with = "span")]
    pub cap: Duration,
}

impl Backoff {
    /// Within 2, 4, 8 ... s, at most 5 minutes.
    pub const STANDARD: Self = Self { base: Duration::from_secs(2), cap: Duration::from_secs(300) };
    /// At once.
    pub const NONE: Self = Self { base: Duration::ZERO, cap: Duration::ZERO };

    /// The longest delay before retry `n`, counted from 1.
    #[must_use]
    pub fn ceiling(&self, n: u32) -> Duration {
        self.base.saturating_mul(1 << n.saturating_sub(1).min(31)).min(self.cap)
    }

    /// The delay before retry `n` when `random` is uniform over all `u64`. A known `after` is waited for in full, with
    /// up to `base` on top so that those told the same do not come back together.
    #[must_use]
    pub fn delay(&self, n: u32, after: Option<Duration>, random: u64) -> Duration {
        match after {
            Some(after) => after.saturating_add(share(self.base.min(self.cap), random)),
            None => share(self.ceiling(n), random),
        }
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::STANDARD
    }
}

/// `whole` times the fraction that `random` is of all `u64`.
fn share(whole: Duration, random: u64) -> Duration {
    let nanos = (whole.as_nanos().min(u128::from(u64::MAX)) * u128::from(random)) >> 64;
    Duration::from_nanos(nanos as u64)
}

/// SplitMix64 (Steele, Lea, Flood 2014): one number for each place, good enough for jitter.
pub(crate) fn scramble(seed: u64, place: u64) -> u64 {
    let mut z = seed.wrapping_add(place.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff { base: Duration::from_millis(100), cap: Duration::from_millis(700) };

    #[test]
    fn the_ceiling_doubles_up_to_the_cap() {
        let ceilings: Vec<_> = (1..=5).map(|n| BACKOFF.ceiling(n).as_millis()).collect();
        assert_eq!(ceilings, [100, 200, 400, 700, 700]);
        assert_eq!(BACKOFF.ceiling(u32::MAX), BACKOFF.cap);
    }

    #[test]
    fn jitter_fills_the_whole_range_evenly() {
        let delays: Vec<f64> =
            (0..20_000).map(|n| BACKOFF.delay(3, None, scramble(7, n)).as_secs_f64()).collect();
        for quarter in 0..4 {
            let low = f64::from(quarter) * 0.1;
            let within = delays.iter().filter(|&&d| d >= low && d < low + 0.1).count() as f64 / 20_000.0;
            assert!((within - 0.25).abs() < 0.02, "quarter {quarter} has {within}");
        }
    }

    #[test]
    fn a_known_wait_is_kept_in_full() {
        let after = Some(Duration::from_secs(3));
        assert_eq!(BACKOFF.delay(1, after, 0), Duration::from_secs(3));
        assert!(BACKOFF.delay(1, after, u64::MAX) < Duration::from_millis(3100));
    }
}
