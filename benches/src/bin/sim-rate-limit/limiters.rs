//! The limiters under test: ours, and small models of what others do, each written from its published algorithm.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tidemill_rate_limit::{
    Config, Core, Cost, Error, Hints, History, Outcome, Poll, Priority, Record, Ticket,
};

use crate::world::{MS, S};

/// What a limiter must offer to be simulated; times are ns of the client's clock.
pub(crate) trait Limiter {
    /// Sends now and names the key and a number, or says when to ask again (`u64::MAX`: after an answer).
    fn send(&mut self, now: u64) -> Result<(usize, u64), u64>;
    /// The request of that number ended.
    fn ended(&mut self, now: u64, request: u64, outcome: Outcome, hints: Hints);
    /// The process dies and another takes over.
    fn restart(&mut self, _now: u64) {}
}

/// Ours, with what it would have stamped.
pub(crate) struct Ours {
    core: Core,
    config: Config,
    keys: usize,
    tickets: Vec<Option<Ticket>>,
    free: Vec<usize>,
    origin: u64,
    stamps: Option<Vec<Record>>,
}

impl Ours {
    pub(crate) fn new(config: Config, keys: usize, stamped: bool) -> Result<Self, Error> {
        let core = Core::new(&config, keys)?;
        let stamps = stamped.then(Vec::new);
        Ok(Self { core, config, keys, tickets: Vec::new(), free: Vec::new(), origin: 0, stamps })
    }

    fn since(&self, now: u64) -> Duration {
        Duration::from_nanos(now - self.origin)
    }
}

impl Limiter for Ours {
    fn send(&mut self, now: u64) -> Result<(usize, u64), u64> {
        let at = self.since(now);
        let ticket = self.core.try_send(at, Cost::ONE, Priority::Normal).map_err(|poll| match poll {
            Poll::At(at) => self.origin + at.as_nanos() as u64,
            _ => u64::MAX,
        })?;
        let key = ticket.key().get();
        let place = self.free.pop().unwrap_or_else(|| {
            self.tickets.push(None);
            self.tickets.len() - 1
        });
        self.tickets[place] = Some(ticket);
        if let Some(stamps) = &mut self.stamps {
            stamps.push(Record::Sent { at: wall(now), key: key as u32, units: 1, ticket: place as u16 });
        }
        Ok((key, place as u64))
    }

    fn ended(&mut self, now: u64, request: u64, outcome: Outcome, hints: Hints) {
        let at = self.since(now);
        // A request of the process before is nobody's.
        let Some(ticket) = self.tickets.get_mut(request as usize).and_then(Option::take) else { return };
        if let Some(stamps) = &mut self.stamps
            && !matches!(outcome, Outcome::Unanswered)
        {
            let key = ticket.key().get() as u32;
            stamps.push(Record::Answered { at: wall(now), key, units: 1, ticket: request as u16 });
        }
        self.core.answered_with(at, ticket, outcome, hints);
        self.free.push(request as usize);
    }

    fn restart(&mut self, now: u64) {
        self.origin = now;
        self.core = Core::new(&self.config, self.keys).expect("it was built before");
        // Numbers of dead requests are not used again.
        self.tickets.iter_mut().for_each(|ticket| *ticket = None);
        if let Some(records) = &self.stamps {
            let history = History { records: records.clone(), unknown_until: None };
            self.core.restore(&history, wall(now));
        }
    }
}

fn wall(ns: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(ns)
}

/// governor: the generic cell rate algorithm on send times, `n` in `per` with a burst of `burst`.
pub(crate) struct Gcra {
    pub(crate) n: u64,
    pub(crate) per: u64,
    pub(crate) burst: u64,
    pub(crate) next: u64,
}

impl Limiter for Gcra {
    fn send(&mut self, now: u64) -> Result<(usize, u64), u64> {
        let interval = self.per / self.n;
        let earliest = self.next.saturating_sub(interval * (self.burst - 1));
        if now < earliest {
            return Err(earliest);
        }
        self.next = self.next.max(now) + interval;
        Ok((0, 0))
    }

    fn ended(&mut self, _: u64, _: u64, _: Outcome, _: Hints) {}

    fn restart(&mut self, _: u64) {
        self.next = 0;
    }
}

/// tower's `RateLimit`: `n` calls, then none until `per` after the first of them.
pub(crate) struct Tower {
    pub(crate) n: u64,
    pub(crate) per: u64,
    pub(crate) until: u64,
    pub(crate) left: u64,
}

impl Limiter for Tower {
    fn send(&mut self, now: u64) -> Result<(usize, u64), u64> {
        if now >= self.until {
            (self.until, self.left) = (now + self.per, self.n);
        }
        if self.left == 0 {
            return Err(self.until);
        }
        self.left -= 1;
        Ok((0, 0))
    }

    fn ended(&mut self, _: u64, _: u64, _: Outcome, _: Hints) {}

    fn restart(&mut self, _: u64) {
        self.until = 0;
    }
}

/// The guide's: a deque of send times, looked at once a second by a timer that is up to 50 ms late.
pub(crate) struct Deque {
    pub(crate) n: usize,
    pub(crate) per: u64,
    pub(crate) sends: VecDeque<u64>,
}

impl Limiter for Deque {
    fn send(&mut self, now: u64) -> Result<(usize, u64), u64> {
        while self.sends.front().is_some_and(|sent| sent + self.per <= now) {
            self.sends.pop_front();
        }
        if self.sends.len() >= self.n {
            return Err(now + S + now * 7919 % (50 * MS));
        }
        self.sends.push_back(now);
        Ok((0, 0))
    }

    fn ended(&mut self, _: u64, _: u64, _: Outcome, _: Hints) {}

    fn restart(&mut self, _: u64) {
        self.sends.clear();
    }
}
