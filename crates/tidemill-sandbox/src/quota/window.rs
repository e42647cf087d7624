//! Quotas that count by window: fixed, weighted over two windows, and by day.

use std::time::Duration;

use super::{Quota, Verdict, nanos, wait};

const DAY: Duration = Duration::from_secs(86_400);

/// At most `requests` in each window of `per`; windows start at `phase`, `phase + per`, and so on.
///
/// Two full windows may touch: a span of `per` that straddles a boundary can see twice the number.
#[derive(Clone, Debug)]
pub struct FixedWindow {
    limit: u64,
    windows: Windows,
    /// Index of the window `count` belongs to.
    current: u64,
    count: u64,
}

impl FixedWindow {
    /// A quota of `requests` (at least 1) in each window of `per` (at least 1 ns).
    pub fn new(requests: u32, per: Duration, phase: Duration) -> Self {
        let limit = u64::from(requests.max(1));
        Self { limit, windows: Windows::new(per, phase), current: 0, count: 0 }
    }

    /// Decides and remembers, as [`Quota::admit`].
    pub fn admit(&mut self, now: Duration, cost: u32) -> Verdict {
        Quota::admit(self, now, cost)
    }
}

impl Quota for FixedWindow {
    fn check(&self, now: Duration, cost: u32) -> Verdict {
        let (index, elapsed) = self.windows.locate(now, self.current);
        let cost = u64::from(cost);
        if cost > self.limit {
            return Verdict::Refused { retry_after: Duration::MAX };
        }
        let count = if index == self.current { self.count } else { 0 };
        if count + cost <= self.limit {
            return Verdict::Admitted { remaining: (self.limit - count - cost) as u32 };
        }
        Verdict::Refused { retry_after: wait(u128::from(self.windows.per - elapsed)) }
    }

    fn record(&mut self, now: Duration, cost: u32, admitted: bool) {
        let (index, _) = self.windows.locate(now, self.current);
        if index != self.current {
            (self.current, self.count) = (index, 0);
        }
        if admitted {
            self.count += u64::from(cost);
        }
    }

    fn window(&self) -> Duration {
        Duration::from_nanos(self.windows.per)
    }
}

/// At most `requests` a day, reset once a day at a known instant.
#[derive(Clone, Debug)]
pub struct Daily(FixedWindow);

impl Daily {
    /// A quota of `requests` (at least 1) in each 24 hours; `reset` is when some day begins, since the origin.
    pub fn new(requests: u32, reset: Duration) -> Self {
        Self::with_length(requests, DAY, reset)
    }

    /// As [`new`](Self::new) with a day of another length, to test a client against a day in seconds.
    pub fn with_length(requests: u32, day: Duration, reset: Duration) -> Self {
        Self(FixedWindow::new(requests, day, reset))
    }

    /// Decides and remembers, as [`Quota::admit`].
    pub fn admit(&mut self, now: Duration, cost: u32) -> Verdict {
        Quota::admit(self, now, cost)
    }
}

impl Quota for Daily {
    fn check(&self, now: Duration, cost: u32) -> Verdict {
        self.0.check(now, cost)
    }

    fn record(&mut self, now: Duration, cost: u32, admitted: bool) {
        self.0.record(now, cost, admitted);
    }

    fn window(&self) -> Duration {
        self.0.window()
    }
}

/// The sliding counter of content networks and proxies: this window's count plus the share of the last window's that
/// still overlaps the span `per` before now, taken as if it had been spread evenly.
///
/// Admits when `last * (per - elapsed) / per + this + cost <= requests`, computed exactly. The estimate is wrong for
/// uneven use in both directions, which is what clients stumble over. Cloudflare described it in 2017 ("How we built
/// rate limiting capable of scaling to millions of domains"); HAProxy's stick tables decay the same way and count
/// refusals too: see [`penalising`](Self::penalising).
#[derive(Clone, Debug)]
pub struct SlidingCounter {
    limit: u64,
    windows: Windows,
    refusals_count: bool,
    current: u64,
    count: u64,
    before: u64,
}

impl SlidingCounter {
    /// A quota of about `requests` (at least 1) in `per` (at least 1 ns); windows start at the origin.
    pub fn new(requests: u32, per: Duration) -> Self {
        let windows = Windows::new(per, Duration::ZERO);
        let limit = u64::from(requests.max(1));
        Self { limit, windows, refusals_count: false, current: 0, count: 0, before: 0 }
    }

    /// Counts refused requests as well.
    #[must_use]
    pub fn penalising(mut self) -> Self {
        self.refusals_count = true;
        self
    }

    /// Decides and remembers, as [`Quota::admit`].
    pub fn admit(&mut self, now: Duration, cost: u32) -> Verdict {
        Quota::admit(self, now, cost)
    }

    /// The counts of this window and the one before, seen from window `index`.
    fn counts(&self, index: u64) -> (u64, u64) {
        match index - self.current {
            0 => (self.count, self.before),
            1 => (0, self.count),
            _ => (0, 0),
        }
    }
}

impl Quota for SlidingCounter {
    fn check(&self, now: Duration, cost: u32) -> Verdict {
        let (index, elapsed) = self.windows.locate(now, self.current);
        let cost = u64::from(cost);
        if cost > self.limit {
            return Verdict::Refused { retry_after: Duration::MAX };
        }
        let (count, before) = self.counts(index);
        let per = u128::from(self.windows.per);
        let [limit, count, before, cost] = [self.limit, count, before, cost].map(u128::from);
        // Everything times `per`, so that no share is rounded.
        let used = before * (per - u128::from(elapsed)) + count * per;
        if cost == 0 || used + cost * per <= limit * per {
            let room = (limit * per).saturating_sub(used);
            return Verdict::Admitted { remaining: (room / per - cost) as u32 };
        }
        let count = if self.refusals_count { count + cost } else { count };
        let elapsed = u128::from(elapsed);
        // Within this window the last one fades; after it this one does, then nothing is left of either.
        let here = fades_to(before, per, limit as i128 - (count + cost) as i128).filter(|&at| at < per);
        let until = here
            .or_else(|| {
                fades_to(count, per, limit as i128 - cost as i128).filter(|&at| at < per).map(|at| per + at)
            })
            .unwrap_or(2 * per);
        Verdict::Refused { retry_after: wait(until - elapsed) }
    }

    fn record(&mut self, now: Duration, cost: u32, admitted: bool) {
        let (index, _) = self.windows.locate(now, self.current);
        let (count, before) = self.counts(index);
        let charge = if admitted || self.refusals_count { u64::from(cost) } else { 0 };
        (self.current, self.count, self.before) = (index, count + charge, before);
    }

    fn window(&self) -> Duration {
        Duration::from_nanos(self.windows.per)
    }
}

/// The first instant of a window at which the last window's `count` weighs at most `room`.
fn fades_to(count: u128, per: u128, room: i128) -> Option<u128> {
    let room = u128::try_from(room).ok()?;
    if count <= room {
        return Some(0);
    }
    Some(((count - room) * per).div_ceil(count))
}

/// A row of equal windows, and which of them an instant falls into.
#[derive(Clone, Copy, Debug)]
struct Windows {
    per: u64,
    /// What is added to an instant so that a window starts at a multiple of `per`.
    shift: u64,
}

impl Windows {
    fn new(per: Duration, phase: Duration) -> Self {
        let per = nanos(per).max(1);
        Self { per, shift: (per - nanos(phase) % per) % per }
    }

    /// The window's index and the time since its start; never a window before `earliest`.
    fn locate(&self, now: Duration, earliest: u64) -> (u64, u64) {
        let now = nanos(now).saturating_add(self.shift);
        let index = now / self.per;
        if index < earliest { (earliest, 0) } else { (index, now % self.per) }
    }
}
