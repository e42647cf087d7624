//! Bounded access to the disk and the processor: slots by kind of work, urgent work first, small writes in groups.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::batcher::{Batcher, Batching};
use crate::config::duration;
use crate::error::{Error, JobError};
use crate::panic::message;
use crate::priority::Priority;
use crate::queue::{Queue, Rules, Waits, nanos};

/// How much of each kind may run at once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IoLimits {
    /// Writes. Default 10.
    pub writes: usize,
    /// Other operations on the disk: scans, renames, syncs. Default 5.
    pub operations: usize,
    /// Analyses that keep a core busy. Default 10.
    pub analyses: usize,
    /// Callers that may wait for a slot of each kind. Default 1000.
    pub queue: usize,
    /// How long a caller waits before it counts as one priority higher. Default `"5s"`.
    #[serde(with = "duration")]
    pub aging: Duration,
    /// The most small writes done in a row by one slot. Default 10.
    pub group: usize,
    /// The longest that a small write waits for others. Default `"10ms"`.
    #[serde(with = "duration")]
    pub group_every: Duration,
}

/// What a slot is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IoKind {
    /// Writes of data.
    Write,
    /// Everything else that the disk does.
    Operation,
    /// Work for the processor.
    Analysis,
}

/// Hands out slots and runs closures on tokio's blocking threads. Clones share it.
#[derive(Clone)]
pub struct IoScheduler {
    gates: [Arc<Gate>; 3],
    small: Batcher<SmallWrite, ()>,
    runtime: Handle,
}

/// A slot; free again when dropped.
#[derive(Debug)]
pub struct IoSlot {
    /// `None` once it was passed on.
    gate: Option<Arc<Gate>>,
}

/// One kind's slots and who waits for them.
struct Gate {
    origin: Instant,
    queue: usize,
    state: Mutex<State>,
}

struct State {
    free: usize,
    slots: usize,
    waiting: Queue<Waiter>,
}

struct Waiter {
    since: u64,
    priority: Priority,
    slot: oneshot::Sender<IoSlot>,
}

type SmallWrite = Box<dyn FnOnce() + Send>;

impl Default for IoLimits {
    fn default() -> Self {
        Self {
            writes: 10,
            operations: 5,
            analyses: 10,
            queue: 1000,
            aging: Duration::from_secs(5),
            group: 10,
            group_every: Duration::from_millis(10),
        }
    }
}

impl IoScheduler {
    /// Starts on the runtime of the caller.
    ///
    /// # Errors
    /// [`Config`](crate::ErrorKind::Config) when a bound is 0, [`NoRuntime`](crate::ErrorKind::NoRuntime) outside of
    /// tokio.
    pub fn new(limits: IoLimits) -> Result<Self, Error> {
        let bounds = [
            ("writes", limits.writes),
            ("operations", limits.operations),
            ("analyses", limits.analyses),
            ("queue", limits.queue),
            ("group", limits.group),
        ];
        for (field, value) in bounds {
            if value == 0 || value > 1 << 24 {
                return Err(Error::config(field, format!("{value} is not within 1 to {}", 1 << 24)));
            }
        }
        let runtime = Handle::try_current().map_err(|_| Error::no_runtime())?;
        let gate = |slots| Arc::new(Gate::new(slots, &limits));
        let gates = [gate(limits.writes), gate(limits.operations), gate(limits.analyses)];
        let batching = Batching {
            items: limits.group,
            every: limits.group_every,
            parallel: limits.writes,
            queue: limits.queue,
        };
        let (writes, blocking) = (Arc::clone(&gates[0]), runtime.clone());
        let small = Batcher::new(batching, move |group: Vec<SmallWrite>| {
            let (writes, blocking) = (Arc::clone(&writes), blocking.clone());
            async move {
                let size = group.len();
                let slot = writes.take(Priority::Normal, true).await;
                let work = blocking.spawn_blocking(move || {
                    let _slot = slot;
                    group.into_iter().for_each(|write| write());
                });
                match work.await {
                    Ok(()) => (0..size).map(|_| Ok(())).collect(),
                    Err(error) => (0..size).map(|_| Err(JobError::fatal(error.to_string()))).collect(),
                }
            }
        })?;
        Ok(Self { gates, small, runtime })
    }

    /// Waits for a slot: HIGH first, a caller one step higher for each `aging` it has waited, then first come. Dropping
    /// the future gives up the place.
    ///
    /// # Errors
    /// [`Full`](crate::ErrorKind::Full) when `queue` others wait.
    pub async fn slot(&self, kind: IoKind, priority: Priority) -> Result<IoSlot, Error> {
        self.gates[kind as usize].take(priority, false).await
    }

    /// Runs `work` in a slot, off the async threads. Once begun it runs to its end and keeps its slot until then, also
    /// when the future is dropped.
    ///
    /// # Errors
    /// [`Full`](crate::ErrorKind::Full), [`Panicked`](crate::ErrorKind::Panicked) with what the panic said, and
    /// [`Closed`](crate::ErrorKind::Closed) when the runtime is shutting down.
    pub async fn run<T: Send + 'static>(
        &self,
        kind: IoKind,
        priority: Priority,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let slot = self.slot(kind, priority).await?;
        let task = self.runtime.spawn_blocking(move || {
            let _slot = slot;
            work()
        });
        task.await.map_err(|error| match error.try_into_panic() {
            Ok(payload) => Error::panicked(1, message(&*payload)),
            Err(_) => Error::closed("the runtime takes no more blocking work"),
        })
    }

    /// Runs a small write together with others: up to `group` of them in a row in one slot, begun after `group_every`
    /// at the latest. Each has its own result and its own panic; the order within a group is that of the calls.
    ///
    /// # Errors
    /// [`Panicked`](crate::ErrorKind::Panicked) for its own panic, [`Closed`](crate::ErrorKind::Closed) when the
    /// runtime is shutting down.
    pub async fn small_write<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let (answer, result) = oneshot::channel();
        let write: SmallWrite = Box::new(move || {
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            drop(answer.send(done.map_err(|payload| Error::panicked(1, message(&*payload)))));
        });
        self.small.call(write).await?;
        result.await.map_err(|_| Error::closed("the write did not run"))?
    }

    /// Slots of a kind that are taken now, and callers that wait for one.
    #[must_use]
    pub fn load(&self, kind: IoKind) -> (usize, usize) {
        let state = self.gates[kind as usize].lock();
        (state.slots - state.free, state.waiting.ready())
    }
}

impl std::fmt::Debug for IoScheduler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IoScheduler").field("gates", &self.gates).finish_non_exhaustive()
    }
}

impl Gate {
    fn new(slots: usize, limits: &IoLimits) -> Self {
        let rules =
            Rules { aging: nanos(limits.aging).max(1), max_groups: 1, group_share: 1.0, group_memory: 0 };
        let state = State { free: slots, slots, waiting: Queue::new(rules) };
        Self { origin: Instant::now(), queue: limits.queue, state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `always` for callers that are bounded elsewhere.
    async fn take(self: &Arc<Self>, priority: Priority, always: bool) -> Result<IoSlot, Error> {
        let waits = {
            let mut state = self.lock();
            if state.free > 0 {
                state.free -= 1;
                return Ok(IoSlot { gate: Some(Arc::clone(self)) });
            }
            if state.waiting.ready() >= self.queue && !always {
                return Err(Error::full(self.queue));
            }
            let (slot, waits) = oneshot::channel();
            state.waiting.push(Waiter { since: nanos(self.origin.elapsed()), priority, slot });
            waits
        };
        waits.await.map_err(|_| Error::closed("the scheduler is gone"))
    }
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.lock();
        f.debug_struct("Gate").field("slots", &state.slots).field("free", &state.free).finish_non_exhaustive()
    }
}

impl Drop for IoSlot {
    /// Passes the slot to the next who still wants it.
    fn drop(&mut self) {
        let Some(gate) = self.gate.take() else { return };
        let now = nanos(gate.origin.elapsed());
        loop {
            let mut state = gate.lock();
            let Some(next) = state.waiting.pop(now, 1) else {
                state.free += 1;
                return;
            };
            state.waiting.release(0, 1);
            drop(state);
            match next.job.slot.send(IoSlot { gate: Some(Arc::clone(&gate)) }) {
                Ok(()) => return,
                // It has gone; the slot that comes back must not pass itself on a second time.
                Err(mut slot) => slot.gate = None,
            }
        }
    }
}

impl Waits for Waiter {
    fn since(&self) -> u64 {
        self.since
    }

    fn group(&self) -> u32 {
        0
    }

    fn priority(&self) -> Priority {
        self.priority
    }
}
