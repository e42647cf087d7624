//! Spares a tier that fails: after some failures in a row nobody asks it, until one may try again.

use std::time::Duration;

/// Closed while it works; open for `rest` after `limit` failures in a row; then one try at a time decides.
#[derive(Clone, Debug)]
pub(crate) struct Breaker {
    limit: u32,
    rest: Duration,
    failures: u32,
    /// No try before.
    until: Duration,
}

impl Breaker {
    pub(crate) fn new(limit: u32, rest: Duration) -> Self {
        Self { limit, rest, failures: 0, until: Duration::ZERO }
    }

    /// Whether to ask the tier at `now`. When it is open and rested, this caller is the one who tries.
    pub(crate) fn admit(&mut self, now: Duration) -> bool {
        if self.failures < self.limit {
            return true;
        }
        if now < self.until {
            return false;
        }
        // The next try, should this one never report.
        self.until = now + self.rest;
        true
    }

    pub(crate) fn succeeded(&mut self) {
        self.failures = 0;
    }

    pub(crate) fn failed(&mut self, now: Duration) {
        self.failures = self.failures.saturating_add(1);
        if self.failures >= self.limit {
            self.until = now + self.rest;
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.failures >= self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_tries_one_by_one_and_closes() {
        let at = Duration::from_millis;
        let mut breaker = Breaker::new(3, at(100));
        for _ in 0..2 {
            breaker.failed(at(0));
        }
        assert!(breaker.admit(at(0)) && !breaker.is_open());
        breaker.succeeded();
        for _ in 0..3 {
            assert!(breaker.admit(at(10)));
            breaker.failed(at(10));
        }
        assert!(!breaker.admit(at(109)) && breaker.is_open());
        assert!(breaker.admit(at(110)), "rested");
        assert!(!breaker.admit(at(111)), "one at a time");
        breaker.failed(at(120));
        assert!(!breaker.admit(at(219)));
        assert!(breaker.admit(at(220)));
        breaker.succeeded();
        assert!(breaker.admit(at(221)) && !breaker.is_open());
    }
}
