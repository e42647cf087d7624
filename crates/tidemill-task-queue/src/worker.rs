//! Workers: claim as many tasks as there is room for, run each under its guards, say how it ended.

use std::collections::HashMap;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{Id, JoinHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior};

use crate::committer::{Ending, Room, Wish};
use crate::config::WorkerConfig;
use crate::context::{Context, Stop};
use crate::error::{Error, TaskError};
use crate::event::{Event, EventKind};
use crate::panic::guard;
use crate::queue::TaskQueue;
use crate::retry::{Backoff, scramble};
use crate::rules::{self, Fault, Verdict};
use crate::store::{Beat, Claimed, End, Finish, Pulse};
use crate::task::Task;

/// How long a task that no handler knows waits for a worker that does.
const UNKNOWN: Duration = Duration::from_secs(30);
/// How often progress is written down.
const NEWS: Duration = Duration::from_millis(500);

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;
type Running = Boxed<Result<String, Failed>>;
type Handler = Arc<dyn Fn(&Claimed, Context) -> Running + Send + Sync>;

/// How an attempt failed, in its own words.
struct Failed {
    fault: Fault,
    text: String,
}

struct Kind {
    handler: Handler,
    backoff: Backoff,
}

/// A worker in the making.
pub struct Builder {
    queue: TaskQueue,
    config: WorkerConfig,
    kinds: HashMap<&'static str, Kind>,
}

impl Builder {
    pub(crate) fn new(queue: TaskQueue, config: WorkerConfig) -> Self {
        Self { queue, config, kinds: HashMap::new() }
    }

    /// How tasks of a kind are run. A later one of the same name replaces it.
    #[must_use]
    pub fn register<T, F, R>(mut self, run: F) -> Self
    where
        T: Task,
        F: Fn(T, Context) -> R + Send + Sync + 'static,
        R: Future<Output = Result<T::Output, TaskError>> + Send + 'static,
    {
        let handler: Handler = Arc::new(move |claimed, context| {
            let task = match T::read(claimed.version, &claimed.payload) {
                Ok(task) => task,
                Err(why) => {
                    let text = format!("the payload cannot be read: {why}");
                    return Box::pin(std::future::ready(Err(Failed { fault: Fault::Fatal, text })));
                }
            };
            // Called inside the future, so that a panic of the function itself is caught as well.
            let future = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(task, context)));
            Box::pin(async move {
                let Ok(future) = future else {
                    let text = "panicked before its first await".to_owned();
                    return Err(Failed { fault: Fault::Panic, text });
                };
                match future.await {
                    Ok(output) => serde_json::to_string(&output).map_err(|error| Failed {
                        fault: Fault::Fatal,
                        text: format!("the result cannot be written as JSON: {error}"),
                    }),
                    Err(TaskError { text, fatal: true, .. }) => Err(Failed { fault: Fault::Fatal, text }),
                    Err(TaskError { text, after, .. }) => Err(Failed { fault: Fault::Error(after), text }),
                }
            })
        });
        self.kinds.insert(T::NAME, Kind { handler, backoff: T::options().backoff });
        self
    }

    /// Starts it: one tokio task, and one for each task that runs.
    ///
    /// # Errors
    /// `Config`.
    pub fn start(self) -> Result<Worker, Error> {
        let Self { queue, config, kinds } = self;
        config.validate()?;
        let (stop, told) = watch::channel(Phase::Running);
        let bench = Bench { queue, kinds: Arc::new(kinds), config: Arc::new(config) };
        Ok(Worker { stop, task: Some(tokio::spawn(bench.run(told))) })
    }
}

/// A running worker. Dropped, it stops claiming, and what runs is given back.
pub struct Worker {
    stop: watch::Sender<Phase>,
    task: Option<JoinHandle<Report>>,
}

/// What a [`Worker`] left behind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Tasks that ended by themselves after the close began.
    pub finished: u64,
    /// Tasks that did not, and were given back for others to run.
    pub released: u64,
}

impl Report {
    /// Whether nothing was cut off.
    pub fn is_complete(&self) -> bool {
        self.released == 0
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    Draining,
    Stopped,
}

impl Worker {
    /// Claims nothing more, waits for what runs, and after `deadline` gives the rest back, attempts not counted.
    pub async fn close(mut self, deadline: Duration) -> Report {
        let Some(mut task) = self.task.take() else { return Report::default() };
        _ = self.stop.send(Phase::Draining);
        match tokio::time::timeout(deadline, &mut task).await {
            Ok(report) => report.unwrap_or_default(),
            Err(_) => {
                _ = self.stop.send(Phase::Stopped);
                task.await.unwrap_or_default()
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        _ = self.stop.send(Phase::Stopped);
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("phase", &*self.stop.borrow()).finish()
    }
}

struct Bench {
    queue: TaskQueue,
    kinds: Arc<HashMap<&'static str, Kind>>,
    config: Arc<WorkerConfig>,
}

struct Run {
    task: Arc<Claimed>,
    context: Context,
    /// When the lease was confirmed last, by our own clock.
    beaten: Instant,
}

impl Bench {
    async fn run(self, mut told: watch::Receiver<Phase>) -> Report {
        // One wish for each batch that may be under way: tasks that are kept in it can be given in it.
        let lanes = self.queue.store().lanes().max(1);
        let room = Room::new(self.config.concurrency, lanes);
        let mut jobs: JoinSet<bool> = JoinSet::new();
        let mut runs: HashMap<Id, Run> = HashMap::new();
        let mut claims: Vec<Boxed<Result<Vec<Claimed>, Error>>> = Vec::new();
        let mut beats: Vec<Boxed<Pulses>> = Vec::new();
        let mut ticks = tokio::time::interval((self.config.lease / 3).min(NEWS));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut report = Report::default();
        loop {
            let phase = *told.borrow_and_update();
            match phase {
                Phase::Running => {
                    while claims.len() < lanes && room.is_free() {
                        claims.push(Box::pin(self.wish(&room)));
                    }
                }
                // A claim that is under way is given back by the committer.
                Phase::Draining | Phase::Stopped => {
                    claims.clear();
                    if jobs.is_empty() {
                        return report;
                    }
                }
            }
            if phase == Phase::Stopped {
                runs.values().for_each(|run| run.context.stop(Stop::Shutdown));
            }
            tokio::select! {
                Some(ended) = jobs.join_next_with_id(), if !jobs.is_empty() => {
                    let (id, by_itself) = match ended {
                        Ok((id, by_itself)) => (id, by_itself),
                        Err(error) => (error.id(), false),
                    };
                    runs.remove(&id);
                    room.leave(1);
                    if phase != Phase::Running {
                        report.finished += u64::from(by_itself);
                        report.released += u64::from(!by_itself);
                    }
                }
                tasks = first(&mut claims) => match tasks {
                    Ok(tasks) => tasks.into_iter().for_each(|task| self.begin(task, &mut jobs, &mut runs)),
                    // The queue was closed under the worker.
                    Err(_) if jobs.is_empty() => return report,
                    Err(_) => tokio::time::sleep(NEWS).await,
                },
                pulses = first(&mut beats) => heard(&mut runs, pulses),
                _ = ticks.tick() => {
                    if beats.is_empty() {
                        beats.extend(self.beat(&runs));
                    }
                }
                changed = told.changed(), if phase != Phase::Stopped => {
                    // The handle was dropped: its drop has said so before.
                    if changed.is_err() {
                        runs.values().for_each(|run| run.context.stop(Stop::Shutdown));
                    }
                }
            }
        }
    }

    fn wish(&self, room: &Arc<Room>) -> impl Future<Output = Result<Vec<Claimed>, Error>> + use<> {
        let (owner, queues) = (self.queue.owner().clone(), self.config.queues.clone());
        let wish = Wish::new(owner, queues, self.config.lease, room.clone());
        let queue = self.queue.clone();
        async move { queue.claim(wish).await }
    }

    fn begin(&self, task: Claimed, jobs: &mut JoinSet<bool>, runs: &mut HashMap<Id, Run>) {
        let task = Arc::new(task);
        let context = Context::new(&task);
        let attempt = Attempt {
            queue: self.queue.clone(),
            kinds: self.kinds.clone(),
            config: self.config.clone(),
            task: task.clone(),
            context: context.clone(),
        };
        let id = jobs.spawn(attempt.run()).id();
        runs.insert(id, Run { task, context, beaten: Instant::now() });
    }

    /// Signs of life for all that need one: a third of the lease has passed, or there are news.
    fn beat(&self, runs: &HashMap<Id, Run>) -> Option<Boxed<Pulses>> {
        let mut beats = Vec::new();
        let mut ids = Vec::new();
        for (id, run) in runs {
            let progress = run.context.news();
            if progress.is_none() && run.beaten.elapsed() < self.config.lease / 3 {
                continue;
            }
            beats.push(Beat {
                id: run.task.id,
                token: run.task.token,
                owner: self.queue.owner().clone(),
                lease: self.config.lease,
                progress,
            });
            ids.push(*id);
        }
        if beats.is_empty() {
            return None;
        }
        let queue = self.queue.clone();
        Some(Box::pin(async move {
            let asked = Instant::now();
            Pulses { asked, ids, pulses: queue.beats(beats).await.unwrap_or_default() }
        }))
    }
}

/// What the store said to a round of heartbeats.
struct Pulses {
    asked: Instant,
    ids: Vec<Id>,
    pulses: Vec<Pulse>,
}

fn heard(runs: &mut HashMap<Id, Run>, heard: Pulses) {
    for (id, pulse) in heard.ids.into_iter().zip(heard.pulses) {
        let Some(run) = runs.get_mut(&id) else { continue };
        match pulse {
            Pulse::Held => {}
            Pulse::Cancel => run.context.stop(Stop::Cancel),
            Pulse::Lost => run.context.stop(Stop::Lost),
        }
        run.beaten = heard.asked;
    }
}

/// The first of several that ends, which is taken out; never if there is none.
async fn first<T>(futures: &mut Vec<Boxed<T>>) -> T {
    poll_fn(|cx| {
        for at in 0..futures.len() {
            if let Poll::Ready(value) = futures[at].as_mut().poll(cx) {
                drop(futures.swap_remove(at));
                return Poll::Ready(value);
            }
        }
        Poll::Pending
    })
    .await
}

/// One attempt of one task.
struct Attempt {
    queue: TaskQueue,
    kinds: Arc<HashMap<&'static str, Kind>>,
    config: Arc<WorkerConfig>,
    task: Arc<Claimed>,
    context: Context,
}

/// What an attempt came to.
enum Came {
    Ended(End),
    /// Another run is current: nothing is to be said.
    Lost,
}

impl Attempt {
    /// Whether it ended by itself.
    async fn run(self) -> bool {
        let begun = Instant::now();
        let waited = self.queue.now().since(self.task.run_at.max(self.task.enqueued_at));
        self.tell(EventKind::Started { waited });
        let end = match self.work().await {
            Came::Ended(end) => end,
            Came::Lost => {
                self.tell(EventKind::Refused);
                return false;
            }
        };
        let by_itself = !matches!(end, End::Released(_));
        let told = self.told(&end, begun.elapsed());
        let finish =
            Finish { id: self.task.id, token: self.task.token, owner: self.queue.owner().clone(), end };
        let ending = Ending { finish, queue: self.task.queue.clone(), priority: self.task.priority };
        match self.queue.finish(ending).await {
            Ok(Ok(())) => self.tell(told),
            Ok(Err(_)) => self.tell(EventKind::Refused),
            Err(_) => self.tell(EventKind::Unsaid),
        }
        by_itself
    }

    async fn work(&self) -> Came {
        if self.task.cancel {
            return Came::Ended(End::Cancelled);
        }
        let Some(kind) = self.kinds.get(self.task.name.as_str()) else {
            return Came::Ended(End::Released(UNKNOWN));
        };
        let running = guard((kind.handler)(&self.task, self.context.clone()));
        let stopped = async {
            let mut why = self.context.until(Stop::Cancel).await;
            if why == Stop::Cancel {
                let grace =
                    tokio::time::timeout(self.config.cancel_grace, self.context.until(Stop::Shutdown));
                why = grace.await.unwrap_or(Stop::Cancel);
            }
            why
        };
        let result = tokio::select! {
            biased;
            result = tokio::time::timeout(self.task.timeout, running) => result,
            why = stopped => return match why {
                Stop::Lost => Came::Lost,
                Stop::Shutdown => Came::Ended(End::Released(Duration::ZERO)),
                Stop::No | Stop::Cancel => Came::Ended(End::Cancelled),
            },
        };
        let failed = match result {
            Ok(Ok(Ok(result))) if result.len() <= self.queue.config().max_result => {
                return Came::Ended(End::Done(result));
            }
            Ok(Ok(Ok(result))) => {
                let text = format!("its result has {} bytes, more than `max_result`", result.len());
                Failed { fault: Fault::Fatal, text }
            }
            Ok(Ok(Err(failed))) => failed,
            Ok(Err(says)) => Failed { fault: Fault::Panic, text: format!("panicked: {says}") },
            Err(_) => {
                let text = format!("took longer than its timeout of {} ms", self.task.timeout.as_millis());
                Failed { fault: Fault::Timeout, text }
            }
        };
        if self.context.is_cancelled() {
            return Came::Ended(End::Cancelled);
        }
        let random = scramble(self.queue.seed(), self.task.token.0);
        let (attempt, most) = (self.task.attempt, self.task.max_retries);
        Came::Ended(match rules::after_failure(attempt, most, failed.fault, kind.backoff, random) {
            Verdict::Retry(delay) => End::Retry(delay, failed.text),
            Verdict::Dead(reason) => End::Dead(failed.text, reason),
        })
    }

    fn told(&self, end: &End, took: Duration) -> EventKind {
        match end {
            End::Done(_) => EventKind::Done { took },
            End::Retry(delay, error) => EventKind::Retried { took, delay: *delay, error: error.clone() },
            End::Dead(_, reason) => EventKind::Dead { took, reason: reason.clone() },
            End::Cancelled => EventKind::Cancelled,
            End::Released(_) => EventKind::Released,
        }
    }

    fn tell(&self, kind: EventKind) {
        let Some(listener) = self.queue.listener() else { return };
        listener(&Event {
            id: self.task.id,
            queue: self.task.queue.clone(),
            name: self.task.name.clone(),
            priority: self.task.priority,
            attempt: self.task.attempt,
            kind,
        });
    }
}
