//! How long so many more requests will take.

use std::time::Duration;

use super::Core;
use crate::learn::nanos;

impl Core {
    /// How long it takes from `now` until `requests` more of cost 1 could be finished, by the quotas and the slots
    /// as they are. An estimate: it assumes the mean latency seen so far.
    pub fn forecast(&mut self, now: Duration, requests: u64) -> Duration {
        let now = nanos(now);
        let active = self.keys.iter().filter(|key| key.gone.is_none());
        let (count, total) =
            active.fold((0u32, Duration::ZERO), |(n, sum), key| (n + 1, sum + key.health.latency()));
        if requests == 0 {
            return Duration::ZERO;
        }
        if count == 0 {
            return Duration::MAX;
        }
        let round_trip = nanos(total / count);
        let (mut low, mut high) = (0u64, 1_000_000_000u64);
        while self.possible(now, now.saturating_add(high), round_trip) < requests {
            if high > u64::MAX / 4 {
                return Duration::MAX;
            }
            (low, high) = (high, high * 2);
        }
        while high - low > 1_000_000 {
            let middle = low + (high - low) / 2;
            if self.possible(now, now.saturating_add(middle), round_trip) < requests {
                low = middle;
            } else {
                high = middle;
            }
        }
        let done = self.possible(now, now, round_trip) >= requests;
        Duration::from_nanos(if done { 0 } else { high } + round_trip)
    }

    fn possible(&mut self, now: u64, until: u64, round_trip: u64) -> u64 {
        let rules = &self.rules;
        let mut total = 0u64;
        for key in self.keys.iter_mut().filter(|key| key.gone.is_none()) {
            let from = now.max(key.hold);
            let quotas = key.quotas.iter_mut();
            let least = quotas.map(|quota| quota.forecast(from, until, round_trip, &rules[quota.rule])).min();
            let sends = least.unwrap_or(u64::MAX);
            total = total.saturating_add(if until < from { 0 } else { sends });
        }
        for quota in &mut self.shared {
            total = total.min(quota.forecast(now, until, round_trip, &rules[quota.rule]));
        }
        if let Some(cap) = self.concurrency {
            let turns = (until - now) / round_trip.max(1);
            total = total.min(u64::from(cap).saturating_mul(turns.saturating_add(1)));
        }
        total
    }
}
