//! The async front: callers wait here, in order, for a permit on the best key.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::builder::Builder;
use crate::config::Config;
use crate::core::{Core, Cost, Poll, Priority, Ticket};
use crate::error::{Cause, Error};
use crate::key::KeyIndex;
use crate::learn::nanos;
use crate::outcome::{Hints, Outcome};
use crate::permit::Permit;
use crate::queue::{Place, Queue, Waiter};
use crate::stamps::{Record, Stamps};
use crate::stats::Stats;

/// Keys and their quotas, shared by all who send requests; a clone is a handle to the same pool.
///
/// It starts no task and no thread: who waits first also watches the clock.
#[derive(Debug, Clone)]
pub struct KeyPool {
    pub(crate) shared: Arc<Shared>,
}

/// What [`KeyPool::close`] found at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Report {
    /// Callers that were waiting and got [`Closed`](crate::ErrorKind::Closed).
    pub turned_away: usize,
    /// Requests and permits still out when the deadline passed; 0 is a clean end.
    pub left: u32,
}

impl KeyPool {
    /// Starts from a configuration.
    pub fn builder(config: Config) -> Builder {
        Builder::new(config)
    }

    /// Waits for a permit to send one request of `cost`.
    ///
    /// Callers are served by priority, first come first served within one, and grow more urgent as they wait.
    /// Dropping the future leaves the queue and costs nothing.
    ///
    /// # Errors
    /// `QueueFull` at [`Config::max_waiters`], `NoKeys` when every key is quarantined or removed, `TooLarge` when the
    /// cost exceeds a whole window, `Closed` after [`close`](Self::close).
    pub async fn acquire(&self, cost: Cost, priority: Priority) -> Result<Permit, Error> {
        let mut waiting = match self.join(cost, priority)? {
            Join::Granted(permit) => return Ok(permit),
            Join::Waiting(waiting) => waiting,
        };
        loop {
            match waiting.step()? {
                Step::Granted(permit) => return Ok(permit),
                Step::Until(at) => {
                    let until = self.shared.origin + at;
                    // An early wake-up and a passed time are the same to the next step.
                    let _ = tokio::time::timeout_at(until, waiting.wake.notified()).await;
                }
                Step::Woken => waiting.wake.notified().await,
            }
        }
    }

    /// A permit if one is free now and nobody waits for it.
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire), but never `QueueFull`.
    pub fn try_acquire(&self, cost: Cost, priority: Priority) -> Result<Option<Permit>, Error> {
        let mut state = self.shared.state();
        self.shared.check(&state, cost)?;
        if let Some((then, key)) = state.free_already(cost, priority) {
            return Ok(Some(self.grant(&mut state, then, key, cost)));
        }
        let now = self.shared.look(&mut state);
        let place = state.queue.place(nanos(now), priority);
        if !state.queue.leads(place) {
            return Ok(None);
        }
        match state.core.poll(now, cost, priority) {
            Poll::Ready(key) => Ok(Some(self.grant(&mut state, now, key, cost))),
            Poll::NoKeys => Err(Cause::NoKeys.into()),
            _ => Ok(None),
        }
    }

    /// When a request of `cost` could be sent if nobody waited, without taking anything. Times count from now.
    pub fn peek(&self, cost: Cost, priority: Priority) -> Poll {
        let mut state = self.shared.state();
        let now = self.shared.look(&mut state);
        match state.core.poll(now, cost, priority) {
            Poll::At(at) => Poll::At(at.saturating_sub(now)),
            other => other,
        }
    }

    /// How long `requests` more of cost 1 would take, by the quotas and the slots as they are;
    /// [`Duration::MAX`] without a key.
    pub fn forecast(&self, requests: u64) -> Duration {
        let mut state = self.shared.state();
        let now = self.shared.look(&mut state);
        state.core.forecast(now, requests)
    }

    /// What has happened, and how things stand.
    pub fn stats(&self) -> Stats {
        let mut state = self.shared.state();
        let now = self.shared.look(&mut state);
        let mut stats = state.core.stats(now);
        stats.waiters = state.queue.len();
        stats.turned_away = state.turned_away;
        stats
    }

    /// Adds a fresh key and tells its index, the next place in the caller's list.
    pub fn add_key(&self) -> KeyIndex {
        self.change(|core, now| core.add_key(now))
    }

    /// Takes a key out; what it has in flight is still accounted for. False when it was not in use.
    pub fn remove_key(&self, key: KeyIndex) -> bool {
        self.change(|core, _| core.remove_key(key))
    }

    /// Holds a key back for a while, for instance because its quota is known to be drained.
    pub fn park(&self, key: KeyIndex, how_long: Duration) {
        self.change(|core, now| core.park(key, now + how_long));
    }

    /// Sets the size of limit number `limit` of the configuration; what was learned about it is forgotten.
    pub fn set_requests(&self, limit: usize, requests: u32) {
        self.change(|core, _| core.set_requests(limit, requests));
    }

    /// Sets the most requests in flight over all keys.
    pub fn set_concurrency(&self, concurrency: Option<u32>) {
        self.change(|core, _| core.set_concurrency(concurrency));
    }

    /// Sets the most callers that may wait.
    pub fn set_max_waiters(&self, max_waiters: usize) {
        self.shared.state().max_waiters = max_waiters;
    }

    /// Turns all waiters away, grants nothing more, and waits for what is out, at most for `deadline`.
    pub async fn close(&self, deadline: Duration) -> Report {
        let turned_away = {
            let mut state = self.shared.state();
            state.closed = true;
            state.queue.wake_all();
            state.queue.len()
        };
        let until = Instant::now() + deadline;
        loop {
            let idle = self.shared.idle.notified();
            let left = self.shared.state().core.outstanding();
            if left == 0 || tokio::time::timeout_at(until, idle).await.is_err() {
                return Report { turned_away, left };
            }
        }
    }

    fn change<T>(&self, act: impl FnOnce(&mut Core, Duration) -> T) -> T {
        let mut state = self.shared.state();
        let now = self.shared.look(&mut state);
        let result = act(&mut state.core, now);
        state.queue.wake_leaders();
        result
    }

    fn join(&self, cost: Cost, priority: Priority) -> Result<Join<'_>, Error> {
        let mut state = self.shared.state();
        self.shared.check(&state, cost)?;
        if let Some((then, key)) = state.free_already(cost, priority) {
            return Ok(Join::Granted(self.grant(&mut state, then, key, cost)));
        }
        let now = self.shared.look(&mut state);
        let place = state.queue.place(nanos(now), priority);
        let mut retry_after = None;
        if state.queue.leads(place) {
            match state.core.poll(now, cost, priority) {
                Poll::Ready(key) => return Ok(Join::Granted(self.grant(&mut state, now, key, cost))),
                Poll::NoKeys => return Err(Cause::NoKeys.into()),
                Poll::At(at) => retry_after = Some(at.saturating_sub(now)),
                Poll::OnResponse => {}
            }
        }
        let waiters = state.queue.len();
        if waiters >= state.max_waiters {
            state.turned_away += 1;
            return Err(Cause::QueueFull { waiters, retry_after }.into());
        }
        let wake = Arc::new(Notify::new());
        let place = state.queue.push(nanos(now), Waiter { cost, priority, wake: Arc::clone(&wake) });
        Ok(Join::Waiting(Waiting { pool: self, place, cost, priority, wake }))
    }

    fn grant(&self, state: &mut State, now: Duration, key: KeyIndex, cost: Cost) -> Permit {
        Permit::new(Arc::clone(&self.shared), state.core.take(now, key, cost))
    }
}

#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    origin: Instant,
    wall_origin: SystemTime,
    stamps: Option<Box<dyn Stamps>>,
    idle: Notify,
}

#[derive(Debug)]
struct State {
    core: Core,
    queue: Queue,
    max_waiters: usize,
    turned_away: u64,
    closed: bool,
    tickets: u16,
    /// The latest time that was read under the lock.
    seen: Duration,
}

impl State {
    /// A key that was free at the latest time seen is free now: most permits need no look at the clock.
    #[inline]
    fn free_already(&mut self, cost: Cost, priority: Priority) -> Option<(Duration, KeyIndex)> {
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
        hints: Hints,
    ) -> Result<(), Error> {
        if self.stamps.is_none() {
            let mut state = self.state();
            // Read under the lock, so that the core never sees time go back.
            let now = self.look(&mut state);
            state.core.answered_with(now, ticket, outcome, hints);
            state.after_release(&self.idle);
            return Ok(());
        }
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

    fn check(&self, state: &State, cost: Cost) -> Result<(), Error> {
        if state.closed {
            return Err(Cause::Closed.into());
        }
        match state.core.largest() {
            Some(limit) if cost.get() > limit => Err(Cause::TooLarge { cost: cost.get(), limit }.into()),
            _ => Ok(()),
        }
    }

    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    #[inline]
    fn look(&self, state: &mut State) -> Duration {
        state.seen = self.now();
        state.seen
    }

    // A panic while the lock was held can only come from a bug here; what is counted stays on the safe side.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Time, key, units and ticket of a stamp.
type Stamp = (SystemTime, u32, u32, u16);

enum Join<'a> {
    Granted(Permit),
    Waiting(Waiting<'a>),
}

enum Step {
    Granted(Permit),
    /// Ask again at this time since the origin, or when woken.
    Until(Duration),
    /// Ask again when woken.
    Woken,
}

/// A place in the queue; dropping it leaves the queue.
struct Waiting<'a> {
    pool: &'a KeyPool,
    place: Place,
    cost: Cost,
    priority: Priority,
    wake: Arc<Notify>,
}

impl Waiting<'_> {
    fn step(&mut self) -> Result<Step, Error> {
        let shared = &self.pool.shared;
        let mut state = shared.state();
        if state.closed {
            return Err(Cause::Closed.into());
        }
        let now = shared.look(&mut state);
        if !state.queue.leads(self.place) {
            if !state.queue.leads_urgent(self.place) {
                return Ok(Step::Woken);
            }
            // Urgent, but behind one that has waited long: only what that one cannot use may be taken.
            let first = state.queue.first().map(|(_, first)| (first.cost, first.priority));
            if let Some((cost, priority)) = first
                && matches!(state.core.poll(now, cost, priority), Poll::Ready(_))
            {
                return Ok(Step::Woken);
            }
        }
        match state.core.poll(now, self.cost, self.priority) {
            Poll::Ready(key) => Ok(Step::Granted(self.pool.grant(&mut state, now, key, self.cost))),
            Poll::NoKeys => Err(Cause::NoKeys.into()),
            Poll::At(at) => Ok(Step::Until(at)),
            Poll::OnResponse => Ok(Step::Woken),
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.pool.shared.state();
        state.queue.remove(self.place);
        state.queue.wake_leaders();
    }
}
