//! What the handles of a pool share: the core and the queue behind one lock, the clock, and the stamps.

use std::sync::PoisonError;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::config::Config;
use crate::core::{Core, Cost, Poll, Priority, Ticket};
use crate::error::{Cause, Error};
use crate::key::KeyIndex;
use crate::learn::nanos;
use crate::outcome::{Hints, Outcome};
use crate::queue::Queue;
use crate::stamps::{Record, Stamps};
use crate::sync::{Mutex, MutexGuard, Notify};

/// One for all handles of a pool.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    pub(crate) origin: Instant,
    wall_origin: SystemTime,
    pub(crate) stamps: Option<Box<dyn Stamps>>,
    pub(crate) idle: Notify,
}

/// What the lock guards.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) core: Core,
    pub(crate) queue: Queue,
    pub(crate) max_waiters: usize,
    pub(crate) turned_away: u64,
    pub(crate) closed: bool,
    tickets: u16,
    /// The latest time that was read under the lock.
    pub(crate) seen: Duration,
}

impl State {
    /// A key that was free at the latest time seen is free now: most permits need no look at the clock.
    #[inline]
    pub(crate) fn free_already(&mut self, cost: Cost, priority: Priority) -> Option<(Duration, KeyIndex)> {
        if !self.queue.is_empty() {
            return None;
        }
        match self.core.poll(self.seen, cost, priority) {
            Poll::Ready(key) => Some((self.seen, key)),
            _ => None,
        }
    }

    fn after_release(&self, idle: &Notify) {
        self.queue.wake_leaders();
        if self.closed && self.core.outstanding() == 0 {
            idle.notify_waiters();
        }
    }
}

impl Shared {
    pub(crate) fn new(
        core: Core,
        config: &Config,
        wall_origin: SystemTime,
        stamps: Option<Box<dyn Stamps>>,
    ) -> Self {
        let queue = Queue::new(nanos(config.aging));
        let max_waiters = config.max_waiters;
        let state = State {
            core,
            queue,
            max_waiters,
            turned_away: 0,
            closed: false,
            tickets: 0,
            seen: Duration::ZERO,
        };
        Self { state: Mutex::new(state), origin: Instant::now(), wall_origin, stamps, idle: Notify::new() }
    }

    /// The request leaves: its stamp is written first, so that no send is ever unknown to a later process.
    pub(crate) fn sent(&self, ticket: &mut Ticket) -> Result<u16, Error> {
        if self.stamps.is_none() {
            let mut state = self.state();
            let now = self.look(&mut state);
            state.core.sent(now, ticket);
            return Ok(0);
        }
        let now = self.now();
        let (key, number) = {
            let mut state = self.state();
            state.tickets = state.tickets.wrapping_add(1);
            (state.core.key_id(ticket.key().get()), state.tickets)
        };
        self.write(|at| Record::Sent { at, key, units: ticket.units(), ticket: number }, now)?;
        let mut state = self.state();
        let now = self.look(&mut state);
        state.core.sent(now, ticket);
        Ok(number)
    }

    /// The request ended. That this could not be written only costs time after a restart.
    pub(crate) fn ended(
        &self,
        ticket: Ticket,
        number: u16,
        outcome: Outcome,
        hints: Option<&Hints>,
    ) -> Result<(), Error> {
        if self.stamps.is_some() {
            return self.ended_stamped(ticket, number, outcome, hints.copied().unwrap_or_default());
        }
        let mut state = self.state();
        // Read under the lock, so that the core never sees time go back.
        let now = self.look(&mut state);
        match hints {
            Some(hints) => state.core.answered_with(now, ticket, outcome, *hints),
            None => state.core.answered(now, ticket, outcome),
        }
        state.after_release(&self.idle);
        Ok(())
    }

    fn ended_stamped(
        &self,
        ticket: Ticket,
        number: u16,
        outcome: Outcome,
        hints: Hints,
    ) -> Result<(), Error> {
        let index = ticket.key().get();
        let units = ticket.units();
        let last: Option<fn(Stamp) -> Record> = match outcome {
            Outcome::Unanswered | Outcome::Gateway => None,
            Outcome::Unsent => Some(|(at, key, units, ticket)| Record::Cancelled { at, key, units, ticket }),
            _ => Some(|(at, key, units, ticket)| Record::Answered { at, key, units, ticket }),
        };
        // Only these can hold a key back; the usual answer allocates nothing.
        let may_hold = !matches!(outcome, Outcome::Counted { .. }) || hints.remaining == Some(0);
        let (now, key, held, lessons) = {
            let mut state = self.state();
            let now = self.look(&mut state);
            let lesson = state.core.lessons();
            let before = if may_hold { state.core.holds() } else { Vec::new() };
            state.core.answered_with(now, ticket, outcome, hints);
            state.after_release(&self.idle);
            let after = if may_hold { state.core.holds() } else { Vec::new() };
            let changed =
                before.into_iter().zip(after).enumerate().filter(|(_, (before, after))| after > before);
            let held: Vec<_> = changed.map(|(i, (_, until))| (state.core.key_id(i), until)).collect();
            let lessons = if state.core.lessons() == lesson { Vec::new() } else { state.core.learned() };
            (now, state.core.key_id(index), held, lessons)
        };
        if let Some(record) = last {
            self.write(|at| record((at, key, units, number)), now)?;
        }
        for (key, until) in held {
            self.write(|at| Record::Held { at, key }, Duration::from_nanos(until))?;
        }
        for (limit, requests, strict) in lessons {
            self.write(|at| Record::Learned { at, limit, requests, strict }, now)?;
        }
        Ok(())
    }

    /// Grants nothing more; tells how many are turned away.
    pub(crate) fn close(&self) -> usize {
        let mut state = self.state();
        state.closed = true;
        state.queue.wake_all();
        state.queue.len()
    }

    /// The permit was not used.
    pub(crate) fn refund(&self, ticket: Ticket) {
        let mut state = self.state();
        state.core.refund(ticket);
        state.after_release(&self.idle);
    }

    fn write(&self, record: impl FnOnce(SystemTime) -> Record, at: Duration) -> Result<(), Error> {
        match &self.stamps {
            Some(stamps) => stamps.append(record(self.wall_origin + at)),
            None => Ok(()),
        }
    }

    pub(crate) fn check(&self, state: &State, cost: Cost) -> Result<(), Error> {
        if state.closed {
            return Err(Cause::Closed.into());
        }
        let limit = state.core.largest();
        if cost.get() > limit {
            return Err(Cause::TooLarge { cost: cost.get(), limit }.into());
        }
        Ok(())
    }

    pub(crate) fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    #[inline]
    pub(crate) fn look(&self, state: &mut State) -> Duration {
        state.seen = self.now();
        state.seen
    }

    // A panic while the lock was held can only come from a bug here; what is counted stays on the safe side.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Time, key, units and ticket of a stamp.
type Stamp = (SystemTime, u32, u32, u16);
