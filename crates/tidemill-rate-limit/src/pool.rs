//! The async front: callers wait here, in order, for a permit on the best key.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::builder::Builder;
use crate::config::Config;
use crate::core::{Core, Cost, Poll, Priority};
use crate::error::{Cause, Error};
use crate::key::KeyIndex;
use crate::learn::nanos;
use crate::permit::{InFlight, Permit};
use crate::queue::{Place, Waiter};
use crate::shared::{Shared, State};
use crate::stamps::History;
use crate::stats::Stats;
use crate::sync::Notify;

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

    /// [`acquire`](Self::acquire) and [`Permit::send`] in one step, for callers who send at once: one lock and one look at
    /// the clock where a key is free.
    ///
    /// # Errors
    /// As both.
    pub async fn send(&self, cost: Cost, priority: Priority) -> Result<InFlight, Error> {
        match self.try_send(cost, priority)? {
            Some(flight) => Ok(flight),
            None => self.acquire(cost, priority).await?.send(),
        }
    }

    /// [`try_acquire`](Self::try_acquire) and [`Permit::send`] in one step.
    ///
    /// # Errors
    /// As both.
    pub fn try_send(&self, cost: Cost, priority: Priority) -> Result<Option<InFlight>, Error> {
        let shared = &self.shared;
        if shared.stamps.is_some() {
            return self.try_acquire(cost, priority)?.map(Permit::send).transpose();
        }
        let mut state = shared.state();
        shared.check(&state, cost)?;
        let now = shared.look(&mut state);
        if !state.queue.is_empty() && !state.queue.leads(state.queue.place(nanos(now), priority)) {
            return Ok(None);
        }
        match state.core.try_send(now, cost, priority) {
            Ok(ticket) => {
                drop(state);
                Ok(Some(InFlight::new(Arc::clone(shared), ticket)))
            }
            Err(Poll::NoKeys) => Err(Cause::NoKeys.into()),
            Err(_) => Ok(None),
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

    /// Takes in what another process did with these keys before it handed them on, as the builder does with stamps: its
    /// sends occupy their slots, and an unknown past is waited out. `wall` is what the wall clock shows now.
    pub fn restore(&self, history: &History, wall: SystemTime) {
        self.change(|core, now| core.restore(history, wall.checked_sub(now).unwrap_or(UNIX_EPOCH)));
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
        let turned_away = self.shared.close();
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

    pub(crate) fn join(&self, cost: Cost, priority: Priority) -> Result<Join<'_>, Error> {
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

pub(crate) enum Join<'a> {
    Granted(Permit),
    Waiting(Waiting<'a>),
}

pub(crate) enum Step {
    Granted(Permit),
    /// Ask again at this time since the origin, or when woken.
    Until(Duration),
    /// Ask again when woken.
    Woken,
}

/// A place in the queue; dropping it leaves the queue.
pub(crate) struct Waiting<'a> {
    pool: &'a KeyPool,
    place: Place,
    cost: Cost,
    priority: Priority,
    wake: Arc<Notify>,
}

impl Waiting<'_> {
    pub(crate) fn wake(&self) -> Arc<Notify> {
        Arc::clone(&self.wake)
    }

    pub(crate) fn step(&mut self) -> Result<Step, Error> {
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
