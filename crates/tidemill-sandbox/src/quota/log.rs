//! Quotas that remember when each request came: the sliding log, and the one that also counts what it refused.

use std::collections::VecDeque;
use std::time::Duration;

use super::{Quota, Verdict, nanos, wait};

/// At most `requests` admitted in any span of `per`; a refusal costs nothing.
///
/// Exact: a request at time `a` counts at `t` while `a <= t < a + per`. Holds at most `requests` stamps of 8 bytes.
#[derive(Clone, Debug)]
pub struct SlidingLog {
    stamps: Stamps,
}

impl SlidingLog {
    /// A quota of `requests` (at least 1) in any `per` (at least 1 ns).
    pub fn new(requests: u32, per: Duration) -> Self {
        Self { stamps: Stamps::new(requests, per) }
    }

    /// Decides and remembers, as [`Quota::admit`].
    pub fn admit(&mut self, now: Duration, cost: u32) -> Verdict {
        Quota::admit(self, now, cost)
    }
}

impl Quota for SlidingLog {
    fn check(&self, now: Duration, cost: u32) -> Verdict {
        self.stamps.check(now, cost, 0)
    }

    fn record(&mut self, now: Duration, cost: u32, admitted: bool) {
        if admitted {
            self.stamps.push(now, cost);
        }
    }

    fn window(&self) -> Duration {
        Duration::from_nanos(self.stamps.per)
    }
}

/// At most `requests` *arrived* in any span of `per`: a refused request counts like an admitted one, so a client that
/// keeps knocking stays outside.
///
/// Only the last `requests` arrivals can matter, so it holds at most that many stamps of 8 bytes.
#[derive(Clone, Debug)]
pub struct PenalisingLog {
    stamps: Stamps,
}

impl PenalisingLog {
    /// A quota of `requests` (at least 1) in any `per` (at least 1 ns), refusals counted.
    pub fn new(requests: u32, per: Duration) -> Self {
        Self { stamps: Stamps::new(requests, per) }
    }

    /// Decides and remembers, as [`Quota::admit`].
    pub fn admit(&mut self, now: Duration, cost: u32) -> Verdict {
        Quota::admit(self, now, cost)
    }
}

impl Quota for PenalisingLog {
    fn check(&self, now: Duration, cost: u32) -> Verdict {
        self.stamps.check(now, cost, cost)
    }

    fn record(&mut self, now: Duration, cost: u32, _admitted: bool) {
        self.stamps.push(now, cost);
    }

    fn window(&self) -> Duration {
        Duration::from_nanos(self.stamps.per)
    }
}

/// The last arrivals that count, oldest first; at most `limit` of them.
#[derive(Clone, Debug)]
struct Stamps {
    limit: usize,
    per: u64,
    at: VecDeque<u64>,
}

impl Stamps {
    fn new(requests: u32, per: Duration) -> Self {
        Self { limit: requests.max(1) as usize, per: nanos(per).max(1), at: VecDeque::new() }
    }

    /// `penalty` stamps are taken to stand at `now` when the answer is a refusal.
    fn check(&self, now: Duration, cost: u32, penalty: u32) -> Verdict {
        let now = self.at_or_after_last(now);
        let (cost, penalty) = (cost as usize, penalty as usize);
        if cost > self.limit {
            return Verdict::Refused { retry_after: Duration::MAX };
        }
        let gone = self.at.partition_point(|&at| self.per <= now - at);
        let counted = self.at.len() - gone;
        if counted + cost <= self.limit {
            return Verdict::Admitted { remaining: (self.limit - counted - cost) as u32 };
        }
        // The request passes once only `limit - cost` are left, so this one has to leave first.
        let last_to_leave = gone + (counted + penalty + cost - self.limit) - 1;
        let leaves = self.at.get(last_to_leave).copied().unwrap_or(now).saturating_add(self.per);
        Verdict::Refused { retry_after: wait(u128::from(leaves - now)) }
    }

    fn push(&mut self, now: Duration, cost: u32) {
        let now = self.at_or_after_last(now);
        while self.at.front().is_some_and(|&at| self.per <= now - at) {
            self.at.pop_front();
        }
        for _ in 0..(cost as usize).min(self.limit) {
            if self.at.len() == self.limit {
                self.at.pop_front();
            }
            self.at.push_back(now);
        }
    }

    fn at_or_after_last(&self, now: Duration) -> u64 {
        nanos(now).max(self.at.back().copied().unwrap_or(0))
    }
}
