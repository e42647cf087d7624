//! Quotas that refill evenly: the token bucket and the leaky bucket of nginx.

use std::time::Duration;

use super::{Quota, Verdict, nanos, wait};

/// A bucket of tokens, full at first, refilled evenly with `requests` in `per`; a request takes its cost.
///
/// After a pause it admits the whole bucket at once and the refill on top: up to `capacity + requests` in one `per`.
/// Exact in integers: a token is `per` nanoseconds' worth of parts, and `requests` parts flow in each nanosecond.
#[derive(Clone, Debug)]
pub struct TokenBucket {
    flow: Flow,
    capacity: u128,
    /// Parts in the bucket at `flow.at`.
    level: u128,
}

impl TokenBucket {
    /// A bucket that holds `capacity` tokens and gains `requests` in each `per`; each at least 1, `per` at least 1 ns.
    pub fn new(requests: u32, per: Duration, capacity: u32) -> Self {
        let flow = Flow::new(requests, per);
        let capacity = flow.parts(capacity.max(1));
        Self { flow, capacity, level: capacity }
    }

    /// Decides and remembers, as [`Quota::admit`].
    pub fn admit(&mut self, now: Duration, cost: u32) -> Verdict {
        Quota::admit(self, now, cost)
    }

    fn level_at(&self, now: Duration) -> u128 {
        self.capacity.min(self.level + self.flow.since(now))
    }
}

impl Quota for TokenBucket {
    fn check(&self, now: Duration, cost: u32) -> Verdict {
        let (level, cost) = (self.level_at(now), self.flow.parts(cost));
        if cost > self.capacity {
            return Verdict::Refused { retry_after: Duration::MAX };
        }
        match level.checked_sub(cost) {
            Some(left) => Verdict::Admitted { remaining: self.flow.whole(left) },
            None => Verdict::Refused { retry_after: self.flow.time_for(cost - level) },
        }
    }

    fn record(&mut self, now: Duration, cost: u32, admitted: bool) {
        self.level = self.level_at(now);
        self.flow.advance(now);
        if admitted {
            self.level = self.level.saturating_sub(self.flow.parts(cost));
        }
    }

    fn window(&self) -> Duration {
        Duration::from_nanos(self.flow.per)
    }
}

/// nginx's `limit_req` with `nodelay`: requests pour in, `requests` in `per` leak out, and `burst` may stand above the
/// one being served. With a burst of 0 requests must be at least `per / requests` apart.
///
/// nginx keeps milliseconds and thousandths of a request; this is exact to the nanosecond. Both count as
/// `ngx_http_limit_req_module` does: `excess = max(0, excess - leaked + 1)`, refused when it exceeds `burst`, and a
/// refusal leaves it as it was.
#[derive(Clone, Debug)]
pub struct Leaky {
    flow: Flow,
    burst: u128,
    /// Parts above an empty bucket at `flow.at`: nginx's excess plus one request.
    filled: u128,
}

impl Leaky {
    /// A bucket that leaks `requests` (at least 1) in each `per` (at least 1 ns) and lets `burst` wait above.
    pub fn new(requests: u32, per: Duration, burst: u32) -> Self {
        let flow = Flow::new(requests, per);
        Self { flow, burst: flow.parts(burst), filled: 0 }
    }

    /// Decides and remembers, as [`Quota::admit`].
    pub fn admit(&mut self, now: Duration, cost: u32) -> Verdict {
        Quota::admit(self, now, cost)
    }

    fn filled_at(&self, now: Duration) -> u128 {
        self.filled.saturating_sub(self.flow.since(now))
    }
}

impl Quota for Leaky {
    fn check(&self, now: Duration, cost: u32) -> Verdict {
        let rim = self.burst + self.flow.parts(1);
        let (filled, cost) = (self.filled_at(now), self.flow.parts(cost));
        if cost > rim {
            return Verdict::Refused { retry_after: Duration::MAX };
        }
        match rim.checked_sub(filled + cost) {
            Some(room) => Verdict::Admitted { remaining: self.flow.whole(room) },
            None => Verdict::Refused { retry_after: self.flow.time_for(filled + cost - rim) },
        }
    }

    fn record(&mut self, now: Duration, cost: u32, admitted: bool) {
        self.filled = self.filled_at(now);
        self.flow.advance(now);
        if admitted {
            self.filled += self.flow.parts(cost);
        }
    }

    fn window(&self) -> Duration {
        Duration::from_nanos(self.flow.per)
    }
}

/// An even flow of `rate` parts a nanosecond, where one request is worth `per` parts.
#[derive(Clone, Copy, Debug)]
struct Flow {
    rate: u32,
    per: u64,
    at: u64,
}

impl Flow {
    fn new(requests: u32, per: Duration) -> Self {
        Self { rate: requests.max(1), per: nanos(per).max(1), at: 0 }
    }

    fn parts(&self, requests: u32) -> u128 {
        u128::from(requests) * u128::from(self.per)
    }

    fn whole(&self, parts: u128) -> u32 {
        u32::try_from(parts / u128::from(self.per)).unwrap_or(u32::MAX)
    }

    /// What has flowed since the last `advance`.
    fn since(&self, now: Duration) -> u128 {
        u128::from(nanos(now).saturating_sub(self.at)) * u128::from(self.rate)
    }

    fn advance(&mut self, now: Duration) {
        self.at = self.at.max(nanos(now));
    }

    fn time_for(&self, parts: u128) -> Duration {
        wait(parts.div_ceil(u128::from(self.rate)))
    }
}
