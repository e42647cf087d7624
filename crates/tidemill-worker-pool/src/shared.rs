//! What the workers of one pool share: the queue, the delayed jobs, who lives, and how it ends.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::config::Config;
use crate::error::Error;
use crate::event::{Event, EventKind, JobInfo};
use crate::handle::Status;
use crate::inbox::{Inbox, Left};
use crate::priority::Priority;
use crate::queue::{Queue, Rules, Waits, nanos};
use crate::retry::{Purse, Random};
use crate::stats::{GroupStats, Priorities, Stats};
use crate::task::Work;
use crate::ticks::Recent;
use crate::worker::Worker;

pub(crate) type Listener = Box<dyn Fn(&Event) + Send + Sync>;

pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) listener: Option<Listener>,
    /// One permit for each job that may wait.
    pub(crate) room: Semaphore,
    pub(crate) blocking: Arc<Semaphore>,
    /// Wakes the timekeeper: an earlier job is delayed, or the pool ends.
    pub(crate) alarm: Notify,
    pub(crate) progress: watch::Sender<Phase>,
    pub(crate) runtime: Handle,
    origin: Instant,
    state: Mutex<State>,
    pub(crate) inbox: Inbox<Work>,
    /// Numbers of the groups that are known by name, so that a job of theirs needs no lock of the queue.
    groups: RwLock<HashMap<Arc<str>, u32>>,
}

pub(crate) struct State {
    pub(crate) queue: Queue<Work>,
    /// The inbox's other half: empty but while it is sorted in.
    arrived: Vec<Work>,
    pub(crate) delayed: BinaryHeap<Reverse<Delayed>>,
    pub(crate) purse: Purse,
    pub(crate) random: Random,
    pub(crate) live: usize,
    pub(crate) target: usize,
    pub(crate) phase: Phase,
    pub(crate) unfinished: Vec<JobInfo>,
    pub(crate) returned: Vec<JobInfo>,
    pub(crate) aborts: Vec<(u64, AbortHandle)>,
    pub(crate) next_worker: u64,
    /// Workers that made room for new ones.
    pub(crate) recycled: u64,
    /// Waiting jobs beyond the bound: retries that found no permit.
    pub(crate) debt: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Open,
    /// Takes nothing new, works off what it has.
    Closing,
    /// Has nothing left to run.
    Closed,
    /// Its workers are gone.
    Gone,
}

/// A job between two attempts.
pub(crate) struct Delayed {
    pub(crate) due: u64,
    pub(crate) work: Work,
}

impl Shared {
    pub(crate) fn new(config: Config, listener: Option<Listener>, runtime: Handle) -> Self {
        Self {
            room: Semaphore::new(config.queue),
            blocking: Arc::new(Semaphore::new(config.blocking_limit())),
            alarm: Notify::new(),
            progress: watch::Sender::new(Phase::Open),
            runtime,
            origin: Instant::now(),
            state: Mutex::new(State {
                queue: Queue::new(Rules::new(&config)),
                arrived: Vec::new(),
                delayed: BinaryHeap::new(),
                purse: Purse::new(config.retry_budget),
                random: Random::new(config.seed),
                live: 0,
                target: config.workers,
                phase: Phase::Open,
                unfinished: Vec::new(),
                returned: Vec::new(),
                aborts: Vec::new(),
                next_worker: 0,
                recycled: 0,
                debt: 0,
            }),
            inbox: Inbox::new(),
            groups: RwLock::default(),
            config,
            listener,
        }
    }

    /// Starts one more worker.
    pub(crate) fn hire(self: &Arc<Self>, state: &mut State) {
        state.live += 1;
        state.next_worker += 1;
        let id = state.next_worker;
        let task = self.runtime.spawn(Worker::new(Arc::clone(self), id).work());
        state.aborts.push((id, task.abort_handle()));
    }

    /// As `now`, at most 2 us ago; for what happens again and again on one thread.
    #[inline]
    pub(crate) fn lately(&self) -> u64 {
        nanos(Recent::now().saturating_duration_since(self.origin))
    }

    pub(crate) fn now(&self) -> u64 {
        nanos(self.origin.elapsed())
    }

    pub(crate) fn instant(&self, at: u64) -> Instant {
        self.origin + Duration::from_nanos(at)
    }

    /// The pool's lock; the queue then holds everything that was handed in.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        let mut state = self.lock_unsorted();
        self.sort_in(&mut state);
        state
    }

    /// Brings what was handed in since the lock was taken into the queue.
    #[inline]
    pub(crate) fn sort_in(&self, state: &mut State) {
        self.inbox.take(&mut state.arrived);
        state.sort_in();
    }

    /// As [`lock`](Self::lock), for a worker that looks for work; says whether others rest.
    pub(crate) fn enter(&self, worker: u64) -> (MutexGuard<'_, State>, bool) {
        let mut state = self.lock_unsorted();
        let others = self.inbox.enter(worker, &mut state.arrived);
        state.sort_in();
        (state, others)
    }

    /// As [`lock`](Self::lock), after which nothing more is taken in.
    pub(crate) fn shut(&self) -> MutexGuard<'_, State> {
        let mut state = self.lock_unsorted();
        state.phase = state.phase.max(Phase::Closed);
        self.inbox.shut(&mut state.arrived);
        state.sort_in();
        state
    }

    fn lock_unsorted(&self) -> MutexGuard<'_, State> {
        // No code of a user runs under this lock, so that it cannot be poisoned.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of a group, for a job that is to be made.
    #[inline]
    pub(crate) fn group(&self, name: Option<&Arc<str>>) -> u32 {
        let Some(name) = name else { return 0 };
        if let Some(&known) = self.groups.read().unwrap_or_else(PoisonError::into_inner).get(name) {
            return known;
        }
        let mut state = self.lock();
        let number = state.queue.group(Some(name));
        // Names beyond the bound share a group and are not remembered.
        if *state.queue.groups()[number as usize].name == **name {
            let mut groups = self.groups.write().unwrap_or_else(PoisonError::into_inner);
            groups.insert(Arc::clone(name), number);
        }
        number
    }

    /// Takes in an accepted job; the caller holds a permit of `room`, which this keeps.
    #[inline]
    pub(crate) fn accept(&self, work: Work) {
        match self.inbox.put(work, |work, number| work.header().set_id(number)) {
            Ok(left) => self.see_to(left),
            Err(work) => self.turn_away(&work),
        }
    }

    /// As [`accept`](Self::accept), for several.
    pub(crate) fn accept_all(&self, jobs: &mut Vec<Work>) {
        match self.inbox.put_all(jobs, |work, number| work.header().set_id(number)) {
            Some(left) => self.see_to(left),
            None => jobs.drain(..).for_each(|work| self.turn_away(&work)),
        }
    }

    #[inline]
    fn see_to(&self, Left { wake, full }: Left) {
        if full {
            drop(self.lock());
        }
        if let Some(waker) = wake {
            waker.wake();
        }
    }

    /// A job that was accepted and meets the end of the pool.
    #[cold]
    fn turn_away(&self, work: &Work) {
        let mut state = self.lock();
        let counts = state.queue.counts(work.group(), work.priority());
        counts.accepted += 1;
        counts.returned += 1;
        drop(state);
        if work.header().life.seize() {
            // SAFETY: it was seized.
            unsafe { work.fail(Error::closed("the job did not run")) };
        }
    }

    /// Gives back the permits of jobs that no longer wait, less what retries owe.
    pub(crate) fn free(&self, state: &mut State, permits: usize) {
        let paid = permits.min(state.debt);
        state.debt -= paid;
        if permits > paid {
            self.room.add_permits(permits - paid);
        }
    }

    /// Takes the permit of a job that waits again; it may not be refused, so that it may owe it.
    pub(crate) fn occupy(&self, state: &mut State) {
        if self.room.forget_permits(1) == 0 {
            state.debt += 1;
        }
    }

    /// Moves delayed jobs that are due into the queue; says how many there were.
    pub(crate) fn promote(&self, state: &mut State, now: u64) -> usize {
        let mut moved = 0;
        while state.delayed.peek().is_some_and(|Reverse(first)| first.due <= now) {
            let Some(Reverse(Delayed { due, work })) = state.delayed.pop() else { break };
            if work.header().due(due) {
                state.queue.push(work);
                moved += 1;
            } else {
                state.queue.counts(work.group(), work.priority()).cancelled += 1;
                self.free(state, 1);
            }
        }
        moved
    }

    pub(crate) fn info(&self, state: &State, work: &Work) -> JobInfo {
        info(work, Arc::clone(&state.queue.groups()[work.group() as usize].name))
    }

    pub(crate) fn tell(&self, work: &Work, kind: EventKind) {
        if let Some(listener) = &self.listener {
            let job = self.info(&self.lock(), work);
            let event = Event { job, kind };
            // A listener that panics is not the job's fault.
            drop(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| listener(&event))));
        }
    }

    pub(crate) fn stats(&self) -> Stats {
        let state = self.lock();
        let mut stats = Stats {
            workers: state.live,
            target: state.target,
            idle: self.inbox.idle(),
            recycled: state.recycled,
            waiting: state.queue.ready(),
            delayed: state.delayed.len(),
            running: state.queue.running(),
            queue: self.config.queue,
            retry_budget: state.purse.left(),
            ..Stats::default()
        };
        for group in state.queue.groups() {
            let priorities = Priorities::new(group.counts);
            stats.priorities.add(&priorities);
            let waiting = Priority::ALL.into_iter().map(|priority| group.waiting(priority)).sum();
            let entry = GroupStats { waiting, running: group.running(), priorities };
            stats.groups.insert(group.name.to_string(), entry);
        }
        stats
    }
}

impl State {
    /// Whether a closing pool has nothing left; delayed jobs that were cancelled do not count.
    pub(crate) fn is_drained(&self) -> bool {
        let left = |Reverse(delayed): &Reverse<Delayed>| delayed.work.header().status() == Status::Delayed;
        self.queue.ready() == 0 && self.queue.running() == 0 && !self.delayed.iter().any(left)
    }

    /// Puts what arrived into the queue.
    fn sort_in(&mut self) {
        let mut arrived = std::mem::take(&mut self.arrived);
        for work in arrived.drain(..) {
            self.purse.earn();
            self.queue.counts(work.group(), work.priority()).accepted += 1;
            self.queue.push(work);
        }
        self.arrived = arrived;
    }

    /// A worker is no longer among those that live.
    pub(crate) fn bury(&mut self, worker: u64) {
        self.live -= 1;
        self.aborts.retain(|(id, _)| *id != worker);
    }
}

fn info(work: &Work, group: Arc<str>) -> JobInfo {
    let header = work.header();
    JobInfo {
        id: header.id(),
        label: header.options().and_then(|options| options.label.clone()),
        group,
        priority: work.priority(),
        attempt: header.attempt(),
    }
}

impl PartialEq for Delayed {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Delayed {}

impl PartialOrd for Delayed {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Delayed {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due, self.work.header().id()).cmp(&(other.due, other.work.header().id()))
    }
}
