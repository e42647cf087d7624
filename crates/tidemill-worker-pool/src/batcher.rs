//! Requests of many callers as one: up to n items or t, whichever comes first, and each caller gets its own answer.

use std::future::{Future, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, timeout, timeout_at};

use crate::config::duration;
use crate::error::{Error, Final, JobError};
use crate::panic::guard;

/// Bounds of a [`Batcher`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Batching {
    /// The most items of a batch. Default 10.
    pub items: usize,
    /// The longest that the first item of a batch waits for others. Default `"1s"`.
    #[serde(with = "duration")]
    pub every: Duration,
    /// Batches that run at once; further ones wait. Default 4.
    pub parallel: usize,
    /// Callers that wait beyond those in batches; more wait in [`Batcher::call`]. Default 1000.
    pub queue: usize,
}

impl Default for Batching {
    fn default() -> Self {
        Self { items: 10, every: Duration::from_secs(1), parallel: 4, queue: 1000 }
    }
}

/// Gathers calls into batches. Clones share it; when the last is dropped, what was called for is still run.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), tidemill_worker_pool::Error> {
/// use tidemill_worker_pool::{Batcher, Batching, JobError};
///
/// let batcher = Batcher::new(Batching { items: 2, ..Batching::default() }, |items: Vec<i32>| async move {
///     items.into_iter().map(|n| if n < 0 { Err(JobError::fatal("negative")) } else { Ok(n * n) }).collect()
/// })?;
/// let (good, bad) = tokio::join!(batcher.call(3), batcher.call(-1));
/// assert_eq!(good?, 9);
/// assert!(bad.is_err());
/// # Ok(()) }
/// ```
pub struct Batcher<I, T> {
    calls: mpsc::Sender<Call<I, T>>,
    closing: Arc<watch::Sender<bool>>,
    task: Arc<Mutex<Option<JoinHandle<()>>>>,
}

struct Call<I, T> {
    item: I,
    answer: oneshot::Sender<Result<T, Error>>,
}

type Answers<T> = Pin<Box<dyn Future<Output = Vec<Result<T, JobError>>> + Send>>;
type Run<I, T> = Arc<dyn Fn(Vec<I>) -> Answers<T> + Send + Sync>;

impl<I: Send + 'static, T: Send + 'static> Batcher<I, T> {
    /// Starts the task that gathers, on the runtime of the caller. `run` answers a batch in the order of its items.
    ///
    /// # Errors
    /// [`Config`](crate::ErrorKind::Config) when a bound is 0, [`NoRuntime`](crate::ErrorKind::NoRuntime) outside of
    /// tokio.
    pub fn new<F, Fut>(config: Batching, run: F) -> Result<Self, Error>
    where
        F: Fn(Vec<I>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Vec<Result<T, JobError>>> + Send + 'static,
    {
        for (field, value) in
            [("items", config.items), ("parallel", config.parallel), ("queue", config.queue)]
        {
            if value == 0 || value > 1 << 24 {
                return Err(Error::config(field, format!("{value} is not within 1 to {}", 1 << 24)));
            }
        }
        let runtime = Handle::try_current().map_err(|_| Error::no_runtime())?;
        let (calls, receiver) = mpsc::channel(config.queue);
        let closing = Arc::new(watch::Sender::new(false));
        let run: Run<I, T> = Arc::new(move |items| Box::pin(run(items)));
        let task = runtime.spawn(gather(config, receiver, closing.subscribe(), run));
        Ok(Self { calls, closing, task: Arc::new(Mutex::new(Some(task))) })
    }

    /// Adds an item and waits for its answer. Dropping the future takes the item out of a batch that has not begun.
    ///
    /// # Errors
    /// The item's own error as [`Failed`](crate::ErrorKind::Failed); [`Panicked`](crate::ErrorKind::Panicked) when the
    /// whole batch did; [`Closed`](crate::ErrorKind::Closed) after [`close`](Self::close).
    pub async fn call(&self, item: I) -> Result<T, Error> {
        let closed = || Error::closed("the batch did not run");
        let (answer, result) = oneshot::channel();
        self.calls.send(Call { item, answer }).await.map_err(|_| closed())?;
        result.await.map_err(|_| closed())?
    }

    /// Takes no more items, runs what it has at once, and waits for it: at most `deadline`. Then the rest is dropped,
    /// and its callers get [`Closed`](crate::ErrorKind::Closed). True when nothing was.
    pub async fn close(&self, deadline: Duration) -> bool {
        self.closing.send_replace(true);
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut task) = task else { return true };
        let done = timeout(deadline, &mut task).await.is_ok();
        task.abort();
        done
    }
}

impl<I, T> Clone for Batcher<I, T> {
    fn clone(&self) -> Self {
        Self { calls: self.calls.clone(), closing: Arc::clone(&self.closing), task: Arc::clone(&self.task) }
    }
}

impl<I, T> std::fmt::Debug for Batcher<I, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batcher").field("free", &self.calls.capacity()).finish_non_exhaustive()
    }
}

/// Fills one batch after the other until nobody can call any more.
async fn gather<I: Send + 'static, T: Send + 'static>(
    config: Batching,
    mut calls: mpsc::Receiver<Call<I, T>>,
    mut closing: watch::Receiver<bool>,
    run: Run<I, T>,
) {
    let mut running = JoinSet::new();
    let mut open = true;
    while open {
        let mut batch: Vec<Call<I, T>> = Vec::new();
        // Until the first item there is no hurry.
        let mut until: Option<Instant> = None;
        loop {
            while batch.len() < config.items
                && let Ok(call) = calls.try_recv()
            {
                batch.push(call);
            }
            // Who has gone takes no place in the batch.
            batch.retain(|call| !call.answer.is_closed());
            if batch.is_empty() {
                until = None;
            } else if until.is_none() {
                until = Some(Instant::now() + config.every);
            }
            let over = until.is_some_and(|until| until <= Instant::now());
            if batch.len() >= config.items || over || (!open && calls.is_empty()) {
                break;
            }
            if !open {
                continue;
            }
            let mut closed = pin!(closing.wait_for(|closing| *closing));
            let next = poll_fn(|cx| match calls.poll_recv(cx) {
                Poll::Pending => closed.as_mut().poll(cx).map(|_| None),
                ready => ready,
            });
            let next = match until {
                Some(until) => match timeout_at(until, next).await {
                    Ok(next) => next,
                    // Time is up: the loop takes what came with the last tick.
                    Err(_) => continue,
                },
                None => next.await,
            };
            match next {
                Some(call) => batch.push(call),
                None => {
                    calls.close();
                    open = false;
                }
            }
        }
        while running.len() >= config.parallel {
            running.join_next().await;
        }
        // Waiting for a place took time in which more callers may have gone.
        batch.retain(|call| !call.answer.is_closed());
        if !batch.is_empty() {
            running.spawn(answer(Arc::clone(&run), batch));
        }
        open = open || !calls.is_empty();
        while running.try_join_next().is_some() {}
    }
    while running.join_next().await.is_some() {}
}

async fn answer<I, T>(run: Run<I, T>, batch: Vec<Call<I, T>>) {
    let (items, callers): (Vec<I>, Vec<_>) = batch.into_iter().map(|call| (call.item, call.answer)).unzip();
    let answers = guard(AssertUnwindSafe(async move { run(items).await })).await;
    match answers {
        Ok(answers) => {
            let mut answers = answers.into_iter();
            for caller in callers {
                let answer =
                    answers.next().unwrap_or_else(|| Err(JobError::fatal("the batch gave too few answers")));
                // Who has gone does not want it.
                drop(caller.send(answer.map_err(|error| Error::failed(1, Final::NoRetry, error))));
            }
        }
        Err(message) => {
            for caller in callers {
                drop(caller.send(Err(Error::panicked(1, message.clone()))));
            }
        }
    }
}
