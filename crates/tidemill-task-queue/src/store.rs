//! What a store must do: one batch of many callers in one transaction, and a few questions.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::id::{Owner, TaskId, Token};
use crate::limit::Limit;
use crate::priority::Priority;
use crate::record::{Filter, Progress, Record, State};
use crate::timestamp::Timestamp;

/// What a store's functions return: a boxed future, so that stores are objects.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// A place where tasks are kept. Rules stand in [`rules`](crate::rules); a store applies them within a transaction.
pub trait Store: Send + Sync + 'static {
    /// How many batches may be under way at once. A store with one writer says 1.
    fn lanes(&self) -> usize {
        1
    }

    /// So many ids that were never given and never will be again; the first of them.
    fn reserve(&self, count: u64) -> Pending<'_, u64>;

    /// All of a batch or nothing. What makes a batch hard is on disk when this returns; a [soft](Batch::is_soft) one
    /// need not be. The same batch again, after an answer that never came, must change nothing twice: claims apart,
    /// which the caller leaves out.
    fn commit(&self, batch: Arc<Batch>) -> Pending<'_, Outcome>;

    /// The task, wherever it stands.
    fn get(&self, id: TaskId) -> Pending<'_, Option<Record>>;

    /// A page of tasks, the newest first.
    fn list(&self, filter: Filter) -> Pending<'_, Vec<Record>>;

    /// How many tasks stand where, and what is paused and capped.
    fn overview(&self) -> Pending<'_, Overview>;

    /// All schedules, by name.
    fn schedules(&self) -> Pending<'_, Vec<ScheduleRow>>;

    /// Returns when somebody may have made tasks ready since the version `seen`, with the version that is. A store that
    /// nobody tells looks every `poll`, and not sooner than one after the last look. Never in a store that nobody shares.
    /// The first version is 0.
    fn changed(&self, poll: Duration, seen: u64) -> Pending<'_, u64> {
        _ = (poll, seen);
        Box::pin(std::future::pending())
    }

    /// What is broken, in sentences; empty when all is well. Reads everything.
    fn check(&self) -> Pending<'_, Vec<String>>;
}

/// A task to be kept.
#[derive(Clone, Debug, PartialEq)]
pub struct NewTask {
    /// From [`Store::reserve`].
    pub id: TaskId,
    /// Its queue.
    pub queue: String,
    /// The name of its type.
    pub name: String,
    /// The version of the payload's schema.
    pub version: u32,
    /// JSON.
    pub payload: String,
    /// How urgent it is.
    pub priority: Priority,
    /// Not before; `None`: now.
    pub run_at: Option<Timestamp>,
    /// Retries after the first attempt.
    pub max_retries: u32,
    /// How long an attempt may take.
    pub timeout: Duration,
    /// No second one with this name and key while it is not finished.
    pub unique_key: Option<String>,
    /// The group whose caps hold.
    pub group: Option<String>,
}

/// What became of a [`NewTask`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Its id, or that of the one that has the unique key.
    pub id: TaskId,
    /// Whether it is this one that is kept.
    pub fresh: bool,
}

/// A worker's wish for tasks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Who.
    pub owner: Owner,
    /// From these queues, whose tasks compare by rank.
    pub queues: Vec<String>,
    /// So many at most.
    pub limit: usize,
    /// For how long without a heartbeat.
    pub lease: Duration,
}

/// A task that a worker now has.
#[derive(Clone, Debug, PartialEq)]
pub struct Claimed {
    /// Its id.
    pub id: TaskId,
    /// This run of it.
    pub token: Token,
    /// Its queue.
    pub queue: String,
    /// The name of its type.
    pub name: String,
    /// The version of the payload's schema.
    pub version: u32,
    /// JSON.
    pub payload: String,
    /// How urgent it is.
    pub priority: Priority,
    /// The attempt that begins, from 1.
    pub attempt: u32,
    /// Retries after the first attempt.
    pub max_retries: u32,
    /// How long this attempt may take.
    pub timeout: Duration,
    /// The group whose caps hold.
    pub group: Option<String>,
    /// Its cancel was asked for during an attempt before: end it at once.
    pub cancel: bool,
    /// When it was to run.
    pub run_at: Timestamp,
    /// When it was accepted.
    pub enqueued_at: Timestamp,
}

/// The end of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Finish {
    /// Which task.
    pub id: TaskId,
    /// Which run; another is refused.
    pub token: Token,
    /// Whose.
    pub owner: Owner,
    /// How it ended.
    pub end: End,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub enum End {
    /// With a result, JSON.
    Done(String),
    /// It failed so, and is tried again after the delay.
    Retry(Duration, String),
    /// It failed so, for good, and this is the reason. The first text is empty when there is nothing to add.
    Dead(String, String),
    /// As was asked for.
    Cancelled,
    /// It did not begin, or was cut off by a shutdown: given back after the delay, the attempt not counted; without a delay it
    /// stands where it stood.
    Released(Duration),
}

/// Why the end of a run was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Another run of the task was claimed since.
    ClaimedAnew,
    /// The lease ended, and the task waits for its next run.
    Expired,
    /// The task has ended.
    Finished,
    /// There is no such task.
    Unknown,
}

impl Refusal {
    pub(crate) fn says(self) -> &'static str {
        match self {
            Self::ClaimedAnew => "the task was claimed anew",
            Self::Expired => "its lease ended and the task waits again",
            Self::Finished => "the task has ended",
            Self::Unknown => "the task is gone",
        }
    }
}

/// A worker says that it lives and what its task has reached.
#[derive(Clone, Debug, PartialEq)]
pub struct Beat {
    /// Which task.
    pub id: TaskId,
    /// Which run.
    pub token: Token,
    /// Whose.
    pub owner: Owner,
    /// From now on for so long.
    pub lease: Duration,
    /// What it has reached, if that is new.
    pub progress: Option<Progress>,
}

/// What a worker is told about a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pulse {
    /// Go on.
    Held,
    /// Somebody asked for its cancel: stop soon.
    Cancel,
    /// The run is not current any more: stop at once.
    Lost,
}

/// What operators and schedules ask for.
#[derive(Clone, Debug, PartialEq)]
pub enum Control {
    /// End a task that waits; ask one that runs to stop.
    Cancel(TaskId),
    /// Let a dead or cancelled task run again, from its first attempt.
    Replay(TaskId),
    /// No claims from this queue, or again.
    Pause(String, bool),
    /// Caps of a group, or none.
    Limit(String, Option<Limit>),
    /// Forget tasks that ended before: done ones, and dead and cancelled ones; a bounded number at a time.
    Purge {
        /// Done before.
        done: Timestamp,
        /// Dead or cancelled before.
        dead: Timestamp,
    },
    /// Keep a schedule, new or changed; what it did so far stays.
    PutSchedule(ScheduleRow),
    /// Forget a schedule.
    DropSchedule(String),
    /// A schedule is due: enqueue its task if nobody else did.
    Fire(Fire),
}

/// One firing of a schedule.
#[derive(Clone, Debug, PartialEq)]
pub struct Fire {
    /// Which schedule.
    pub name: String,
    /// When it was due, as the store still says; otherwise somebody else was faster.
    pub due: Timestamp,
    /// When it is due next; `None`: never.
    pub next: Option<Timestamp>,
    /// What is enqueued; `None`: only go on to `next`.
    pub task: Option<NewTask>,
    /// Stay at `due` while the unique key of the task is taken, so that no run is left out.
    pub wait: bool,
}

/// The answer to a [`Control`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It was done.
    Done,
    /// It was asked for, and takes effect when the worker hears of it.
    Asked,
    /// There is none.
    Unknown,
    /// The task is in a state in which that cannot be.
    Not(State),
    /// So many were forgotten.
    Purged(u64),
    /// This one stands for the firing; `fresh` as in [`Placed`].
    Fired(Placed),
    /// Somebody else fired it, or it waits.
    Missed,
}

/// What many callers ask for, to be done in this order in one transaction.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// By the queue's clock.
    pub now: Timestamp,
    /// The clock was set back since the last batch: cut leases that end too late.
    pub set_back: bool,
    /// It was asked for before, and no answer came: parts of it may be kept already.
    pub again: bool,
    /// What a step of priority is worth.
    pub aging: Duration,
    /// Tasks to keep.
    pub enqueue: Vec<NewTask>,
    /// Ends of runs.
    pub finish: Vec<Finish>,
    /// What operators and schedules ask for.
    pub control: Vec<Control>,
    /// Signs of life.
    pub beat: Vec<Beat>,
    /// Make due tasks ready, and take tasks from workers whose lease ended.
    pub sweep: bool,
    /// Wishes for tasks.
    pub claim: Vec<Claim>,
}

impl Batch {
    /// Whether it only says who has what: lost with the power, it is a redelivery, which at-least-once allows anyway. So it
    /// need not wait for the disk.
    pub fn is_soft(&self) -> bool {
        self.enqueue.is_empty() && self.finish.is_empty() && self.control.is_empty()
    }

    /// Whether tasks may be ready now that were not before.
    pub fn frees(&self, outcome: &Outcome) -> bool {
        !self.is_soft() || outcome.swept.due > 0 || !outcome.swept.reclaimed.is_empty()
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.is_soft() && self.beat.is_empty() && self.claim.is_empty() && !self.sweep
    }

    /// How many operations of callers.
    pub fn len(&self) -> usize {
        self.enqueue.len() + self.finish.len() + self.control.len() + self.beat.len() + self.claim.len()
    }
}

/// The answers to a [`Batch`], in its order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// By the store's clock; where nothing was swept, the batch's own will do.
    pub now: Timestamp,
    /// One for each enqueue.
    pub enqueued: Vec<Placed>,
    /// One for each finish.
    pub finished: Vec<Result<(), Refusal>>,
    /// One for each control.
    pub controlled: Vec<Answer>,
    /// One for each beat.
    pub beats: Vec<Pulse>,
    /// One for each claim; the same task in no two of them.
    pub claimed: Vec<Vec<Claimed>>,
    /// What a sweep did.
    pub swept: Swept,
    /// When the next delayed task is due, if the batch swept or claimed.
    pub next_due: Option<Timestamp>,
    /// Some group has caps, so that time alone may free a task; need not be told where every claim was given tasks.
    pub capped: bool,
}

/// What a sweep did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Delayed tasks that became ready.
    pub due: u64,
    /// Tasks of vanished workers that wait again.
    pub reclaimed: Vec<TaskId>,
    /// Tasks whose last worker vanished: dead letters.
    pub dead: Vec<TaskId>,
    /// There is more to sweep.
    pub more: bool,
}

/// How many tasks stand where, and what is paused and capped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Overview {
    /// Unfinished tasks by queue.
    pub queues: BTreeMap<String, Depth>,
    /// Caps by group.
    pub limits: BTreeMap<String, Limit>,
}

/// The unfinished tasks of a queue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Depth {
    /// Ready, by priority: HIGH, NORMAL, LOW.
    pub ready: [u64; 3],
    /// Delayed.
    pub delayed: u64,
    /// Running.
    pub running: u64,
    /// No claims for now.
    pub paused: bool,
    /// When the first of the ready ones became so.
    pub oldest_ready: Option<Timestamp>,
}

/// A schedule as it stands in the store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScheduleRow {
    /// Its name.
    pub name: String,
    /// What it does and when, JSON.
    pub spec: String,
    /// When it is due next; `None`: never.
    pub next: Option<Timestamp>,
    /// Nothing is fired for now.
    pub paused: bool,
    /// When it was due last.
    pub last_due: Option<Timestamp>,
    /// The task of that.
    pub last_task: Option<TaskId>,
}
