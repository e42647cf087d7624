//! The servers we are tested against, each written as its documentation describes it and as naively as can be.

use std::cell::Cell;
use std::rc::Rc;

/// Nanoseconds of a second.
pub(crate) const S: u64 = 1_000_000_000;
/// Nanoseconds of a millisecond.
pub(crate) const MS: u64 = 1_000_000;

/// Counts the requests of one key.
pub(crate) trait Server {
    /// A request arrives at `at` ns; arrivals come in order. True when it is let in.
    fn admit(&mut self, at: u64) -> bool;

    /// What is counted of the present window, where the server tells it.
    fn used(&self) -> u64 {
        0
    }
}

/// Any window of `per` holds at most `n`.
pub(crate) struct SlidingLog {
    pub(crate) n: usize,
    pub(crate) per: u64,
    /// Whether refused requests count too.
    pub(crate) penalising: bool,
    pub(crate) log: Vec<u64>,
}

impl SlidingLog {
    pub(crate) fn new(n: usize, per: u64) -> Self {
        Self { n, per, penalising: false, log: Vec::new() }
    }

    pub(crate) fn penalising(n: usize, per: u64) -> Self {
        Self { penalising: true, ..Self::new(n, per) }
    }
}

impl Server for SlidingLog {
    fn admit(&mut self, at: u64) -> bool {
        self.log.retain(|earlier| earlier + self.per > at);
        let free = self.log.len() < self.n;
        if free || self.penalising {
            self.log.push(at);
        }
        free
    }

    fn used(&self) -> u64 {
        self.log.len() as u64
    }
}

/// A server on which somebody else spends the same quota, once every `gap` ns.
pub(crate) struct Crowded {
    pub(crate) server: SlidingLog,
    pub(crate) gap: u64,
    pub(crate) next: u64,
    /// How often the other one was refused.
    pub(crate) refused: Rc<Cell<u64>>,
}

impl Server for Crowded {
    fn admit(&mut self, at: u64) -> bool {
        while self.next <= at {
            let free = self.server.admit(self.next);
            self.refused.set(self.refused.get() + u64::from(!free));
            self.next += self.gap;
        }
        self.server.admit(at)
    }

    fn used(&self) -> u64 {
        self.server.used()
    }
}

/// Counts anew every `per`, at `phase`.
pub(crate) struct Fixed {
    pub(crate) n: usize,
    pub(crate) per: u64,
    pub(crate) phase: u64,
    window: u64,
    count: usize,
}

impl Fixed {
    pub(crate) fn new(n: usize, per: u64, phase: u64) -> Self {
        Self { n, per, phase, window: 0, count: 0 }
    }
}

impl Server for Fixed {
    fn admit(&mut self, at: u64) -> bool {
        let window = (at + self.phase) / self.per;
        if window != self.window {
            (self.window, self.count) = (window, 0);
        }
        self.count += 1;
        self.count <= self.n
    }
}

/// A token bucket of `depth` that gains `n` in `per`; tokens are counted in `n` parts of a nanosecond of refill.
pub(crate) struct Bucket {
    pub(crate) n: u64,
    pub(crate) per: u64,
    pub(crate) depth: u64,
    level: u128,
    last: u64,
}

impl Bucket {
    pub(crate) fn full(n: u64, per: u64, depth: u64) -> Self {
        Self { n, per, depth, level: u128::from(depth) * u128::from(per), last: 0 }
    }

    pub(crate) fn empty(n: u64, per: u64, depth: u64) -> Self {
        Self { level: 0, ..Self::full(n, per, depth) }
    }
}

impl Server for Bucket {
    fn admit(&mut self, at: u64) -> bool {
        let gained = u128::from(at - self.last) * u128::from(self.n);
        let token = u128::from(self.per);
        self.level = (self.level + gained).min(u128::from(self.depth) * token);
        self.last = at;
        let free = self.level >= token;
        if free {
            self.level -= token;
        }
        free
    }
}

/// nginx `limit_req rate=Nr/per burst=B nodelay`: integer milliseconds, thousandths of a request, refused ones do not
/// count.
pub(crate) struct Leaky {
    rate: u64,
    burst: u64,
    excess: u64,
    last: Option<u64>,
}

impl Leaky {
    /// `n` requests in `per` and `burst` more at once.
    pub(crate) fn new(n: u64, per: u64, burst: u64) -> Self {
        // nginx keeps thousandths of a request a second. Rounded up: rounded down, a slow rate would be less than was declared.
        Self { rate: (n * 1000 * S).div_ceil(per), burst: burst * 1000, excess: 0, last: None }
    }
}

impl Server for Leaky {
    fn admit(&mut self, at: u64) -> bool {
        let now = at / MS;
        let Some(last) = self.last else {
            self.last = Some(now);
            return true;
        };
        let excess = (self.excess + 1000).saturating_sub(self.rate * (now - last) / 1000);
        if excess > self.burst {
            return false;
        }
        (self.excess, self.last) = (excess, Some(now));
        true
    }
}

/// HAProxy's `http_req_rate(per)`: this period's count and the share of the last one that still overlaps; refused
/// requests do not count.
pub(crate) struct Counter {
    n: u64,
    per: u64,
    start: Option<u64>,
    current: u64,
    previous: u64,
}

impl Counter {
    pub(crate) fn new(n: u64, per: u64) -> Self {
        Self { n, per: per / MS, start: None, current: 0, previous: 0 }
    }
}

impl Server for Counter {
    fn admit(&mut self, at: u64) -> bool {
        let now = at / MS;
        // The first period starts with the first request.
        let mut start = *self.start.get_or_insert(now);
        if now >= start + 2 * self.per {
            (self.previous, self.current, start) = (0, 0, now);
        } else if now >= start + self.per {
            (self.previous, self.current) = (self.current, 0);
            start += self.per;
        }
        self.start = Some(start);
        let left = start + self.per - now;
        let rate = if self.previous <= 1 && self.current == 0 {
            self.previous
        } else {
            (self.current * self.per + self.previous * left) / self.per
        };
        if rate >= self.n {
            return false;
        }
        self.current += 1;
        true
    }
}

/// A server that has seen requests which the client knows nothing of.
pub(crate) fn with_past(mut server: SlidingLog, count: u64, until: u64) -> SlidingLog {
    for i in 0..count {
        server.log.push(until - (count - i) * MS);
    }
    server
}

#[test]
fn the_models_refuse_what_they_should() {
    let count = |server: &mut dyn Server, at: &[u64]| at.iter().filter(|at| server.admit(**at * MS)).count();
    assert_eq!(count(&mut SlidingLog::new(2, S), &[0, 1, 2, 999, 1000, 1001]), 4);
    assert_eq!(count(&mut SlidingLog::penalising(2, S), &[0, 1, 2, 999, 1000, 1001]), 2);
    assert_eq!(count(&mut Fixed::new(2, S, 0), &[998, 999, 1000, 1001, 1002]), 4);
    assert_eq!(count(&mut Bucket::full(2, S, 2), &[0, 0, 0, 499, 500, 1000]), 4);
    assert_eq!(count(&mut Bucket::empty(2, S, 2), &[0, 499, 500]), 1);
    assert_eq!(count(&mut Leaky::new(75, 60 * S, 0), &[0, 799, 800, 1599, 1600]), 3);
    assert_eq!(count(&mut Leaky::new(75, 60 * S, 2), &[0, 0, 0, 0]), 3);
    assert_eq!(count(&mut Counter::new(2, S), &[0, 1, 2, 1000, 1001, 1002, 1501]), 4);
}
