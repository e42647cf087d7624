//! What the workers of one pool share: the queue, the delayed jobs, who is idle, and how it ends.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::config::Config;
use crate::error::Error;
use crate::event::{Event, EventKind, JobInfo};
use crate::handle::Status;
use crate::priority::Priority;
use crate::queue::{Queue, Rules, Taken, nanos};
use crate::retry::{Purse, Random};
use crate::stats::{GroupStats, Priorities, Stats};
use crate::task::Task;
use crate::ticks::Recent;
use crate::worker::Worker;

pub(crate) type Listener = Box<dyn Fn(&Event) + Send + Sync>;
pub(crate) type Work = Taken<Arc<dyn Task>>;

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
}

pub(crate) struct State {
    pub(crate) queue: Queue<Arc<dyn Task>>,
    pub(crate) delayed: BinaryHeap<Reverse<Delayed>>,
    pub(crate) idle: Vec<(u64, Waker)>,
    /// A woken worker has not looked yet: it will take what came meanwhile, and wake the next if there is more.
    pub(crate) waking: bool,
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
    /// The number of the last job.
    pub(crate) last_job: u64,
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
                delayed: BinaryHeap::new(),
                idle: Vec::new(),
                waking: false,
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
                last_job: 0,
                debt: 0,
            }),
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
    pub(crate) fn lately(&self) -> u64 {
        nanos(Recent::now().saturating_duration_since(self.origin))
    }

    pub(crate) fn now(&self) -> u64 {
        nanos(self.origin.elapsed())
    }

    pub(crate) fn instant(&self, at: u64) -> Instant {
        self.origin + Duration::from_nanos(at)
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // No code of a user runs under this lock, so that it cannot be poisoned.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts an accepted job into the queue; the caller holds a permit of `room`, which this keeps.
    pub(crate) fn accept(&self, task: Arc<dyn Task>, group: Option<&str>, priority: Priority) {
        let mut state = self.lock();
        state.last_job += 1;
        task.header().set_id(state.last_job);
        if state.phase >= Phase::Closed {
            let group = state.queue.group(group);
            let counts = state.queue.counts(group, priority);
            counts.accepted += 1;
            counts.returned += 1;
            drop(state);
            if task.header().life.seize() {
                // SAFETY: it was seized.
                unsafe { task.fail(Error::closed("the job did not run")) };
            }
            return;
        }
        let group = state.queue.group(group);
        state.purse.earn();
        state.queue.counts(group, priority).accepted += 1;
        state.queue.push(group, priority, task);
        let waker = if state.waking { None } else { state.next_idle() };
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
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
            let Work { job, group, priority, .. } = work;
            if job.header().due(due) {
                state.queue.push(group, priority, job);
                moved += 1;
            } else {
                state.queue.counts(group, priority).cancelled += 1;
                self.free(state, 1);
            }
        }
        moved
    }

    pub(crate) fn info(&self, state: &State, work: &Work) -> JobInfo {
        info(work, Arc::clone(&state.queue.groups()[work.group as usize].name))
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
            idle: state.idle.len(),
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
        let left =
            |Reverse(delayed): &Reverse<Delayed>| delayed.work.job.header().status() == Status::Delayed;
        self.queue.ready() == 0 && self.queue.running() == 0 && !self.delayed.iter().any(left)
    }

    /// A worker leaves; somebody has to be woken for what it did not take.
    pub(crate) fn leave(&mut self, worker: u64) -> Option<Waker> {
        self.live -= 1;
        self.idle.retain(|(id, _)| *id != worker);
        self.aborts.retain(|(id, _)| *id != worker);
        self.waking = false;
        if self.queue.ready() > 0 { self.next_idle() } else { None }
    }

    /// Whom to wake for a job; they clear `waking` when they look.
    pub(crate) fn next_idle(&mut self) -> Option<Waker> {
        let (_, waker) = self.idle.pop()?;
        self.waking = true;
        Some(waker)
    }

    pub(crate) fn take_idle(&mut self) -> Vec<(u64, Waker)> {
        std::mem::take(&mut self.idle)
    }
}

fn info(work: &Work, group: Arc<str>) -> JobInfo {
    let header = work.job.header();
    JobInfo {
        id: header.id(),
        label: header.options().and_then(|options| options.label.clone()),
        group,
        priority: work.priority,
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
        (self.due, self.work.job.header().id()).cmp(&(other.due, other.work.job.header().id()))
    }
}
