//! A slower pace than the quota allows: sends are spaced out, a share of the quota stays unused.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tidemill_rate_limit::{Limit, Scope};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::config::Provider;

/// Longest sleep between two looks at the share, so that a new one is felt soon.
const LOOK: Duration = Duration::from_secs(1);

/// Who asks waits here, first come, first served, before it asks for a permit.
#[derive(Debug)]
pub struct Pace {
    /// Requests a second that the quota allows; none where nothing is limited, and then nothing is spaced out.
    full: Option<f64>,
    /// Of the quota, as the bits of a number above 0; 1 or more: no spacing at all.
    share: AtomicU64,
    last: Mutex<Option<Instant>>,
}

impl Pace {
    /// Windows beyond this say how much in a day, not how fast.
    pub const LONGEST: Duration = Duration::from_secs(3600);

    /// Of a quota of so many requests a second.
    pub fn new(full: Option<f64>) -> Self {
        let full = full.filter(|full| full.is_finite() && *full > 0.0);
        Self { full, share: AtomicU64::new(1.0_f64.to_bits()), last: Mutex::default() }
    }

    /// Whether there is a quota to take a share of.
    pub fn is_limited(&self) -> bool {
        self.full.is_some()
    }

    /// The share of the quota that may be used.
    pub fn share(&self) -> f64 {
        f64::from_bits(self.share.load(Ordering::Relaxed))
    }

    /// Changes it; 0.01 at least.
    pub fn set_share(&self, share: f64) {
        self.share.store(share.clamp(0.01, 1.0).to_bits(), Ordering::Relaxed);
    }

    /// Whether sends are spaced out now.
    pub fn is_slower(&self) -> bool {
        self.between().is_some()
    }

    /// Waits for the next turn; false when there was no turn to wait for.
    pub async fn turn(&self) -> bool {
        if !self.is_slower() {
            return false;
        }
        let mut last = self.last.lock().await;
        loop {
            let now = Instant::now();
            let due = last.zip(self.between()).map_or(now, |(last, between)| last + between);
            if due <= now {
                *last = Some(now);
                return true;
            }
            tokio::time::sleep_until(due.min(now + LOOK)).await;
        }
    }

    /// Time between two sends; none at the full pace.
    fn between(&self) -> Option<Duration> {
        let share = self.share();
        let full = self.full.filter(|_| share < 1.0)?;
        Duration::try_from_secs_f64(1.0 / (full * share)).ok()
    }
}

/// Requests a second that the tightest limit allows with so many keys, of windows up to `longest`; none without a limit.
pub fn per_second(provider: &Provider, keys: usize, longest: Duration) -> Option<f64> {
    let cost = f64::from(provider.cost.unwrap_or(1).max(1));
    let of = |limit: &Limit| {
        let shares = if limit.scope == Scope::Key { keys.max(1) as f64 } else { 1.0 };
        shares * f64::from(limit.requests) / cost / limit.per.as_secs_f64().max(1e-3)
    };
    provider.limits.iter().filter(|limit| limit.per <= longest).map(of).reduce(f64::min)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn half_the_pace_takes_twice_as_long_and_the_full_one_no_time() {
        let pace = Pace::new(Some(10.0));
        let took = async |turns: u32| {
            let begun = Instant::now();
            for _ in 0..turns {
                pace.turn().await;
            }
            begun.elapsed().as_secs_f64()
        };
        assert_eq!(took(1000).await, 0.0);
        pace.set_share(0.5);
        let half = took(101).await;
        assert!((19.9..20.3).contains(&half), "{half}");
        pace.set_share(1.0);
        assert_eq!(took(1000).await, 0.0);
        assert!(!Pace::new(None).is_limited());
    }

    #[tokio::test(start_paused = true)]
    async fn a_faster_pace_is_felt_within_a_second() {
        let pace = std::sync::Arc::new(Pace::new(Some(0.1)));
        pace.set_share(0.01);
        pace.turn().await;
        let waits = tokio::spawn({
            let pace = std::sync::Arc::clone(&pace);
            async move { pace.turn().await }
        });
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert!(!waits.is_finished(), "a thousand seconds between two");
        pace.set_share(1.0);
        tokio::time::timeout(Duration::from_secs(2), waits).await.unwrap().unwrap();
    }
}
