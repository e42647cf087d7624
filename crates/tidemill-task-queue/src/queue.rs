//! The queue as its callers see it: enqueue, ask, cancel, wait.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::clock::Clock;
use crate::committer::{Committer, Ending, Op, Room, Shared, Wish, closed};
use crate::config::{Config, WorkerConfig};
use crate::error::{Cause, Error};
use crate::event::{Event, Listener};
use crate::handle::Handle;
use crate::id::{Owner, TaskId, check_name};
use crate::limit::Limit;
use crate::record::{Filter, Record};
use crate::schedule::Schedules;
use crate::stats::Stats;
use crate::store::{
    Answer, Beat, Claimed, Control, End, Finish, NewTask, Overview, Placed, Pulse, Refusal, Store,
};
use crate::task::{Draft, Task};
use crate::timestamp::Timestamp;
use crate::worker;

/// A durable queue of tasks. Copies share one committer, a tokio task, which ends after [`close`](Self::close) or with the
/// last copy.
#[derive(Clone)]
pub struct TaskQueue(Arc<Inner>);

struct Inner {
    ops: mpsc::Sender<Op>,
    store: Arc<dyn Store>,
    shared: Arc<Shared>,
    config: Config,
    clock: Clock,
    owner: Owner,
    seed: u64,
    listener: Option<Listener>,
}

/// Puts a [`TaskQueue`] together.
pub struct Builder {
    config: Config,
    store: Arc<dyn Store>,
    owner: Owner,
    clock: Clock,
    seed: u64,
    listener: Option<Listener>,
}

impl Builder {
    /// Another clock than the machine's.
    #[must_use]
    pub fn clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// The seed of all jitter. Default 0.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// Is told what happens to tasks in workers of this process; must not block.
    #[must_use]
    pub fn on_event(self, listener: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        Self { listener: Some(Arc::new(listener)), ..self }
    }

    /// Starts the committer; must be called within a tokio runtime.
    ///
    /// # Errors
    /// `Config`.
    pub fn build(self) -> Result<TaskQueue, Error> {
        let Self { config, store, owner, clock, seed, listener } = self;
        config.validate()?;
        let (ops, inbox) = mpsc::channel(config.max_pending);
        let shared = Arc::new(Shared::default());
        let committer = Committer::new(store.clone(), clock.clone(), config.clone(), shared.clone(), inbox);
        drop(tokio::spawn(committer.run()));
        Ok(TaskQueue(Arc::new(Inner { ops, store, shared, config, clock, owner, seed, listener })))
    }
}

impl TaskQueue {
    /// On a store; `owner` names this life of the process, such as host, process id and start time.
    pub fn builder(config: Config, store: Arc<dyn Store>, owner: Owner) -> Builder {
        Builder { config, store, owner, clock: Clock::system(), seed: 0, listener: None }
    }

    /// Keeps a task; when this returns it is on disk. With a unique key that is taken, the handle is of the task that has it.
    ///
    /// # Errors
    /// `Input` for what is out of bounds, `Unavailable` and `Full` when it could not be kept, `Closed`.
    pub async fn enqueue<T: Task>(&self, task: &T) -> Result<Handle<T>, Error> {
        let placed = self.submit(Draft::of(task)?).await?;
        Ok(self.handle(placed.id))
    }

    /// As [`enqueue`](Self::enqueue), of a draft.
    ///
    /// # Errors
    /// As `enqueue`.
    pub async fn submit(&self, draft: Draft) -> Result<Placed, Error> {
        let mut placed = self.submit_all(vec![draft]).await?;
        placed.pop().ok_or_else(|| Cause::Closed.into())
    }

    /// All of them or none, in one transaction; at most `max_batch`.
    ///
    /// # Errors
    /// As `enqueue`; then none is kept.
    pub async fn submit_all(&self, drafts: Vec<Draft>) -> Result<Vec<Placed>, Error> {
        if drafts.is_empty() {
            return Ok(Vec::new());
        }
        if drafts.len() > self.0.config.max_batch {
            return Err(Cause::Input { what: "list of tasks", why: "is longer than `max_batch`" }.into());
        }
        let tasks: Vec<NewTask> =
            drafts.into_iter().map(|draft| self.admit(draft)).collect::<Result<_, _>>()?;
        self.ask(|reply| Op::Enqueue(tasks, reply)).await?
    }

    /// A typed handle on a task, which need not be this process's.
    pub fn handle<T: Task>(&self, id: TaskId) -> Handle<T> {
        Handle { queue: self.clone(), id, kind: PhantomData }
    }

    /// All that is known of a task; `None` if there is none, or it was purged.
    ///
    /// # Errors
    /// `Unavailable`, `Schema`.
    pub async fn get(&self, id: TaskId) -> Result<Option<Record>, Error> {
        self.0.store.get(id).await
    }

    /// A page of tasks, the newest first.
    ///
    /// # Errors
    /// `Unavailable`, `Schema`.
    pub async fn list(&self, filter: Filter) -> Result<Vec<Record>, Error> {
        self.0.store.list(filter).await
    }

    /// Ends a task that waits, and asks one that runs to stop. Says whether it has ended.
    ///
    /// # Errors
    /// `NotFound`; `State` when it is done or dead already; `Unavailable`, `Closed`.
    pub async fn cancel(&self, id: TaskId) -> Result<bool, Error> {
        match self.control(Control::Cancel(id)).await? {
            Answer::Done => Ok(true),
            Answer::Asked => Ok(false),
            Answer::Not(state) => {
                Err(Cause::State { id, state: state.as_str(), advice: "it cannot be cancelled" }.into())
            }
            _ => Err(Cause::NotFound { id }.into()),
        }
    }

    /// Lets a dead or cancelled task run again, from its first attempt.
    ///
    /// # Errors
    /// `NotFound`; `State` when it is neither, or another task has its unique key; `Unavailable`, `Closed`.
    pub async fn replay(&self, id: TaskId) -> Result<(), Error> {
        let state = |state: &'static str, advice| Err(Cause::State { id, state, advice }.into());
        match self.control(Control::Replay(id)).await? {
            Answer::Done => Ok(()),
            Answer::Not(now) => state(now.as_str(), "only a dead or cancelled one can be replayed"),
            Answer::Missed => state("dead", "another one has its unique key; wait for that"),
            _ => Err(Cause::NotFound { id }.into()),
        }
    }

    /// Workers of all processes take no more tasks of this queue; those that run go on.
    ///
    /// # Errors
    /// `Input`, `Unavailable`, `Closed`.
    pub async fn pause(&self, queue: &str) -> Result<(), Error> {
        check_name("queue", queue)?;
        self.control(Control::Pause(queue.to_owned(), true)).await.map(drop)
    }

    /// Ends a pause.
    ///
    /// # Errors
    /// `Input`, `Unavailable`, `Closed`.
    pub async fn resume(&self, queue: &str) -> Result<(), Error> {
        check_name("queue", queue)?;
        self.control(Control::Pause(queue.to_owned(), false)).await.map(drop)
    }

    /// Caps a group over all processes, or with `None` no more. At most some hundred groups should have caps at once, as
    /// each costs a look at every claim.
    ///
    /// # Errors
    /// `Input`, `Unavailable`, `Closed`.
    pub async fn set_limit(&self, group: &str, limit: Option<Limit>) -> Result<(), Error> {
        check_name("group", group)?;
        if let Some(limit) = &limit {
            limit.check()?;
        }
        self.control(Control::Limit(group.to_owned(), limit)).await.map(drop)
    }

    /// Waits until a task has ended, wherever it runs, and returns its record.
    ///
    /// # Errors
    /// `Timeout`, `NotFound`, `Unavailable`.
    pub async fn wait(&self, id: TaskId, timeout: Duration) -> Result<Record, Error> {
        let until = tokio::time::Instant::now() + timeout;
        let mut pause = Duration::from_millis(20);
        loop {
            // Watched before it is read, so that an end in between is not missed.
            let told = self.0.shared.watch(id);
            let found = self.0.store.get(id).await;
            let record = match found {
                Ok(found) => found.ok_or_else(|| Error::from(Cause::NotFound { id })),
                Err(error) => Err(error),
            };
            let ended = match &record {
                Ok(record) => record.state.is_finished(),
                Err(error) => !error.is_retryable(),
            };
            let now = tokio::time::Instant::now();
            if ended || now >= until {
                drop(told);
                self.0.shared.unwatch(id);
                if ended {
                    return record;
                }
                return Err(Cause::Timeout { id, waited: timeout }.into());
            }
            // Another process may be the one that ends it, and nobody tells of that.
            _ = tokio::time::timeout(pause.min(until - now), told).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }

    /// How many tasks wait and run by queue, what is paused and capped. Reads every unfinished task.
    ///
    /// # Errors
    /// `Unavailable`, `Schema`.
    pub async fn overview(&self) -> Result<Overview, Error> {
        self.0.store.overview().await
    }

    /// What is broken in the store, in sentences; empty when all is well. Reads everything.
    ///
    /// # Errors
    /// `Unavailable`, `Schema`.
    pub async fn check(&self) -> Result<Vec<String>, Error> {
        self.0.store.check().await
    }

    /// What this process did.
    pub fn stats(&self) -> Stats {
        self.0.shared.stats().clone()
    }

    /// Claims tasks by hand, for those who run them elsewhere: waits for at least one, at most `timeout`, after which the
    /// list is empty. Each must be [settled](Self::settle) within `lease`, or others run it.
    ///
    /// # Errors
    /// `Input`, `Closed`.
    pub async fn take(
        &self,
        queues: &[&str],
        limit: usize,
        lease: Duration,
        timeout: Duration,
    ) -> Result<Vec<Claimed>, Error> {
        queues.iter().try_for_each(|queue| check_name("queue", queue))?;
        if limit == 0 || limit > 10_000 || queues.is_empty() || queues.len() > 64 {
            let why = "must ask for 1 to 10000 tasks of 1 to 64 queues";
            return Err(Cause::Input { what: "claim", why }.into());
        }
        let queues = queues.iter().map(|queue| (*queue).to_owned()).collect();
        let wish = Wish::new(self.0.owner.clone(), queues, lease, Room::new(limit, 1));
        match tokio::time::timeout(timeout, self.claim(wish)).await {
            Ok(tasks) => tasks,
            Err(_) => Ok(Vec::new()),
        }
    }

    /// Says how a claimed task ended.
    ///
    /// # Errors
    /// `Stale` when another run of it is current or it has ended: nothing was changed. `Unavailable`, `Closed`.
    pub async fn settle(&self, task: &Claimed, end: End) -> Result<(), Error> {
        let refused = self.finish(self.ending(task, end)).await?;
        refused.map_err(|refusal| stale(task, refusal))
    }

    /// Says how many claimed tasks ended, in one transaction; at most `max_batch`. Each end is accepted or `Stale` by itself,
    /// in their order.
    ///
    /// # Errors
    /// `Input` for too many, `Unavailable`, `Closed`.
    pub async fn settle_all(&self, ends: Vec<(Claimed, End)>) -> Result<Vec<Result<(), Error>>, Error> {
        if ends.is_empty() {
            return Ok(Vec::new());
        }
        if ends.len() > self.0.config.max_batch {
            return Err(Cause::Input { what: "list of ends", why: "is longer than `max_batch`" }.into());
        }
        let mut tasks = Vec::with_capacity(ends.len());
        let mut endings = Vec::with_capacity(ends.len());
        for (task, end) in ends {
            endings.push(self.ending(&task, end));
            tasks.push(task);
        }
        let answers = self.ask(|reply| Op::Finish(endings, reply)).await??;
        let answers = tasks.iter().zip(answers);
        Ok(answers.map(|(task, answer)| answer.map_err(|refusal| stale(task, refusal))).collect())
    }

    fn ending(&self, task: &Claimed, end: End) -> Ending {
        let finish = Finish { id: task.id, token: task.token, owner: self.0.owner.clone(), end };
        Ending { finish, queue: task.queue.clone(), priority: task.priority }
    }

    /// A worker in the making: register its tasks and start it.
    pub fn worker(&self, config: WorkerConfig) -> worker::Builder {
        worker::Builder::new(self.clone(), config)
    }

    /// Its schedules.
    pub fn schedules(&self) -> Schedules {
        Schedules::new(self.clone())
    }

    /// Takes nothing new, commits what was asked for, and ends. Says whether that was done by the deadline. Close the
    /// workers first.
    pub async fn close(&self, deadline: Duration) -> bool {
        let (done, ended) = oneshot::channel();
        let close = async {
            if self.0.ops.send(Op::Close(done)).await.is_ok() {
                _ = ended.await;
            }
        };
        tokio::time::timeout(deadline, close).await.is_ok()
    }

    pub(crate) async fn control(&self, control: Control) -> Result<Answer, Error> {
        self.ask(|reply| Op::Control(control, reply)).await?
    }

    pub(crate) async fn finish(&self, ending: Ending) -> Result<Result<(), Refusal>, Error> {
        let mut answers = self.ask(|reply| Op::Finish(vec![ending], reply)).await??;
        answers.pop().ok_or_else(|| Cause::Closed.into())
    }

    pub(crate) async fn beats(&self, beats: Vec<Beat>) -> Result<Vec<Pulse>, Error> {
        self.ask(|reply| Op::Beats(beats, reply)).await?
    }

    pub(crate) async fn claim(&self, wish: Wish) -> Result<Vec<Claimed>, Error> {
        self.ask(|reply| Op::Claim(wish, reply)).await
    }

    async fn ask<T>(&self, op: impl FnOnce(oneshot::Sender<T>) -> Op) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        self.0.ops.send(op(reply)).await.map_err(closed)?;
        answer.await.map_err(closed)
    }

    /// A draft within its bounds, without its id.
    pub(crate) fn admit(&self, draft: Draft) -> Result<NewTask, Error> {
        draft.check(self.0.config.max_payload)?;
        Ok(NewTask {
            id: TaskId(0),
            queue: draft.queue,
            name: draft.name,
            version: draft.version,
            payload: draft.payload,
            priority: draft.priority,
            run_at: draft.run_at,
            max_retries: draft.max_retries,
            timeout: draft.timeout,
            unique_key: draft.unique_key,
            group: draft.group,
        })
    }

    /// The settings it was built with.
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.0.store
    }

    pub(crate) fn owner(&self) -> &Owner {
        &self.0.owner
    }

    pub(crate) fn seed(&self) -> u64 {
        self.0.seed
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    pub(crate) fn listener(&self) -> Option<&Listener> {
        self.0.listener.as_ref()
    }
}

fn stale(task: &Claimed, refusal: Refusal) -> Error {
    Cause::Stale { id: task.id, token: task.token, now: refusal.says() }.into()
}

impl fmt::Debug for TaskQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskQueue").field("config", &self.0.config).finish_non_exhaustive()
    }
}
