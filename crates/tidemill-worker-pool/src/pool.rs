//! The pool itself: built once, resized while it runs, closed with a deadline.

use std::cmp::Reverse;
use std::future::Future;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::TryAcquireError;
use tokio::time::{timeout, timeout_at};

use crate::blocking::Blocking;
use crate::config::Config;
use crate::context::JobContext;
use crate::error::{Error, JobError};
use crate::event::Event;
use crate::handle::JobHandle;
use crate::header::Header;
use crate::job::Job;
use crate::queue::Waits;
use crate::report::Report;
use crate::shared::{Delayed, Listener, Phase, Shared};
use crate::stats::Stats;
use crate::task::{self, Work};

/// How long `close` waits for workers that it stopped at the deadline.
const STOP: Duration = Duration::from_millis(100);

/// The most jobs that are handed in together.
const TOGETHER: usize = 64;

/// A bounded pool of workers. Clones share it; when the last is dropped without [`close`](Self::close), waiting
/// jobs are given back and running ones stop at their next await.
#[derive(Clone)]
pub struct Pool {
    owner: Arc<Owner>,
}

/// Builds a [`Pool`].
pub struct Builder {
    config: Config,
    listener: Option<Listener>,
}

/// A job that was not accepted, and why.
pub struct Rejected<F> {
    job: Job<F>,
    error: Error,
}

struct Owner(Arc<Shared>);

impl Pool {
    /// Starts from a configuration.
    #[must_use]
    pub fn builder(config: Config) -> Builder {
        Builder { config, listener: None }
    }

    /// Hands in a job, waiting while the queue is full; first come, first served. Dropping the future
    /// before it is ready leaves nothing behind.
    ///
    /// # Errors
    /// [`Closed`](crate::ErrorKind::Closed) when the pool takes no more jobs.
    pub async fn submit<F, Fut, T>(&self, job: Job<F>) -> Result<JobHandle<T>, Error>
    where
        F: FnMut(JobContext) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, JobError>> + Send + 'static,
        T: Send + 'static,
    {
        let room = &self.owner.0.room;
        let permit = match room.try_acquire() {
            Ok(permit) => permit,
            Err(TryAcquireError::NoPermits) => room.acquire().await.map_err(|_| refused())?,
            Err(TryAcquireError::Closed) => return Err(refused()),
        };
        permit.forget();
        Ok(self.accept(job))
    }

    /// Hands in a job if there is room now; otherwise gives it back.
    ///
    /// # Errors
    /// [`Full`](crate::ErrorKind::Full) or [`Closed`](crate::ErrorKind::Closed), with the job.
    pub fn try_submit<F, Fut, T>(&self, job: Job<F>) -> Result<JobHandle<T>, Rejected<F>>
    where
        F: FnMut(JobContext) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, JobError>> + Send + 'static,
        T: Send + 'static,
    {
        let shared = &self.owner.0;
        match shared.room.try_acquire() {
            Ok(permit) => permit.forget(),
            Err(TryAcquireError::NoPermits) => {
                return Err(Rejected { job, error: Error::full(shared.config.queue) });
            }
            Err(TryAcquireError::Closed) => return Err(Rejected { job, error: refused() }),
        }
        Ok(self.accept(job))
    }

    /// Hands in many jobs for less than each would cost alone: they share permits, a look at the clock and a lock, up
    /// to 64 together. Waits while the queue is full, as [`submit`](Self::submit) does. `handles` gets one handle a job,
    /// in their order; what was accepted before the future was dropped or the pool was closed stays accepted.
    ///
    /// ```
    /// # use tidemill_worker_pool::{Config, Job, JobContext, JobError, Pool};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let pool = Pool::builder(Config::default()).build()?;
    /// let jobs = (0..1000).map(|n| Job::new(move |_: JobContext| async move { Ok::<_, JobError>(n * n) }));
    /// let mut handles = Vec::new();
    /// pool.submit_all(jobs, &mut handles).await?;
    /// let mut sum = 0_u64;
    /// for handle in handles {
    ///     sum += handle.await?;
    /// }
    /// assert_eq!(sum, 332_833_500);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Closed`](crate::ErrorKind::Closed) when the pool takes no more jobs; those without a handle were not accepted.
    pub async fn submit_all<F, Fut, T>(
        &self,
        jobs: impl IntoIterator<Item = Job<F>>,
        handles: &mut impl Extend<JobHandle<T>>,
    ) -> Result<(), Error>
    where
        F: FnMut(JobContext) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, JobError>> + Send + 'static,
        T: Send + 'static,
    {
        let shared = &*self.owner.0;
        let mut jobs = jobs.into_iter();
        let mut works = Made(Vec::new());
        while let Some(first) = jobs.next() {
            let mut permits = shared.room.acquire().await.map_err(|_| refused())?;
            let free = shared.room.available_permits().min(TOGETHER - 1);
            let wanted = jobs.size_hint().1.map_or(free, |most| most.min(free));
            if let Ok(more) = shared.room.try_acquire_many(wanted as u32) {
                permits.merge(more);
            }
            let now = shared.lately();
            let group = std::iter::once(first).chain(jobs.by_ref()).take(permits.num_permits());
            handles.extend(group.map(|job| {
                let (work, handle) = self.make(job, now);
                works.0.push(work);
                handle
            }));
            // What is left over goes back.
            if let Some(used) = permits.split(works.0.len()) {
                used.forget();
            }
            shared.accept_all(&mut works.0);
        }
        Ok(())
    }

    /// Changes the number of workers. Those that are too many leave after the job they run.
    ///
    /// # Errors
    /// [`Config`](crate::ErrorKind::Config) unless `1 <= workers <= max_workers`,
    /// [`Closed`](crate::ErrorKind::Closed) after `close`.
    pub fn resize(&self, workers: usize) -> Result<(), Error> {
        let shared = &self.owner.0;
        let max = shared.config.max_workers;
        if workers == 0 || workers > max {
            return Err(Error::config("workers", format!("{workers} is not within 1 to {max}")));
        }
        let mut state = shared.lock();
        if state.phase != Phase::Open {
            return Err(Error::closed("it changes its size no more"));
        }
        state.target = workers;
        let spawn = workers.saturating_sub(state.live);
        let idle = if state.live > workers { shared.inbox.wake(usize::MAX) } else { Vec::new() };
        state.aborts.retain(|(_, task)| !task.is_finished());
        for _ in 0..spawn {
            shared.hire(&mut state);
        }
        drop(state);
        idle.into_iter().for_each(Waker::wake);
        Ok(())
    }

    /// What it has done and what it does.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.owner.0.stats()
    }

    /// Runs blocking or CPU-bound work beside the workers, bounded by `blocking`.
    #[must_use]
    pub fn blocking(&self) -> Blocking {
        Blocking::new(Arc::clone(&self.owner.0.blocking), self.owner.0.runtime.clone())
    }

    /// Takes no more jobs, works off what it has, retries included, and ends: at the latest `deadline` from
    /// now. What is then left is given back or stopped at its next await; the report lists it. Dropping the
    /// future leaves the pool draining; call it again to set another deadline.
    pub async fn close(&self, deadline: Duration) -> Report {
        let shared = &self.owner.0;
        let before = ended(&shared.stats());
        let mut progress = shared.progress.subscribe();
        let idle = {
            let mut state = shared.lock();
            if state.phase == Phase::Open {
                state.phase = Phase::Closing;
            }
            shared.room.close();
            shared.inbox.wake(usize::MAX)
        };
        idle.into_iter().for_each(Waker::wake);
        let drained = timeout(deadline, progress.wait_for(|phase| *phase >= Phase::Closed)).await.is_ok();
        self.owner.stop(!drained);
        let _ = timeout(STOP, progress.wait_for(|phase| *phase == Phase::Gone)).await;
        let ran = ended(&shared.stats()) - before;
        let mut state = shared.lock();
        Report {
            ran,
            returned: std::mem::take(&mut state.returned),
            unfinished: std::mem::take(&mut state.unfinished),
            stuck: state.live,
        }
    }

    /// Enqueues a job that holds a permit. One that meets a close here is accepted and given back.
    #[inline]
    fn accept<F, Fut, T>(&self, job: Job<F>) -> JobHandle<T>
    where
        F: FnMut(JobContext) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, JobError>> + Send + 'static,
        T: Send + 'static,
    {
        let shared = &self.owner.0;
        let (work, handle) = self.make(job, shared.lately());
        shared.accept(work);
        handle
    }

    #[inline]
    fn make<F, Fut, T>(&self, job: Job<F>, now: u64) -> (Work, JobHandle<T>)
    where
        F: FnMut(JobContext) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, JobError>> + Send + 'static,
        T: Send + 'static,
    {
        let Job { make, priority, group, timeout, options } = job;
        let group = self.owner.0.group(group.as_ref());
        let (work, outcome) = task::job(|| Header::new(now, group, priority, timeout, options), make);
        (work, JobHandle::new(outcome))
    }
}

/// Jobs that have handles and are not handed in yet. Left behind when the iterator of a caller panics.
struct Made(Vec<Work>);

impl Drop for Made {
    fn drop(&mut self) {
        for work in self.0.drain(..) {
            if work.header().life.seize() {
                // SAFETY: it was seized.
                unsafe { work.fail(Error::closed("the job was not handed in")) };
            }
        }
    }
}

impl Builder {
    /// One callback for everything that happens to jobs. It runs on the workers: keep it short. Without one,
    /// events cost nothing.
    #[must_use]
    pub fn on_event(mut self, listener: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.listener = Some(Box::new(listener));
        self
    }

    /// Starts the workers on the runtime of the caller.
    ///
    /// # Errors
    /// [`Config`](crate::ErrorKind::Config) names the field that is out of bounds;
    /// [`NoRuntime`](crate::ErrorKind::NoRuntime) outside of tokio.
    pub fn build(self) -> Result<Pool, Error> {
        self.config.check()?;
        let runtime = Handle::try_current().map_err(|_| Error::no_runtime())?;
        let workers = self.config.workers;
        let shared = Arc::new(Shared::new(self.config, self.listener, runtime));
        drop(shared.runtime.spawn(keep_time(Arc::clone(&shared))));
        let pool = Pool { owner: Arc::new(Owner(shared)) };
        pool.resize(workers)?;
        Ok(pool)
    }
}

impl<F> Rejected<F> {
    /// The job, to be handed in again.
    #[must_use]
    pub fn into_job(self) -> Job<F> {
        self.job
    }

    /// Why.
    #[must_use]
    pub fn error(&self) -> &Error {
        &self.error
    }
}

impl<F> From<Rejected<F>> for Error {
    fn from(rejected: Rejected<F>) -> Self {
        rejected.error
    }
}

impl<F> std::fmt::Debug for Rejected<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rejected").field("error", &self.error).finish_non_exhaustive()
    }
}

impl<F> std::fmt::Display for Rejected<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.error.fmt(f)
    }
}

impl<F> std::error::Error for Rejected<F> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.error)
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("config", &self.owner.0.config).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Owner {
    /// Gives back what waits; with `abort`, stops what runs.
    fn stop(&self, abort: bool) {
        let shared = &self.0;
        let mut state = shared.shut();
        let mut left = state.queue.drain();
        left.extend(
            std::mem::take(&mut state.delayed)
                .into_sorted_vec()
                .into_iter()
                .map(|Reverse(Delayed { work, .. })| work),
        );
        let mut owned = Vec::with_capacity(left.len());
        for work in &left {
            if work.header().life.seize() {
                let info = shared.info(&state, work);
                state.returned.push(info);
                state.queue.counts(work.group(), work.priority()).returned += 1;
                owned.push(work.clone());
            } else {
                state.queue.counts(work.group(), work.priority()).cancelled += 1;
            }
        }
        let aborts = if abort { std::mem::take(&mut state.aborts) } else { Vec::new() };
        let idle = shared.inbox.wake(usize::MAX);
        let gone = state.live == 0;
        drop(state);
        shared.room.close();
        shared.progress.send_if_modified(|phase| {
            let next = if gone { Phase::Gone } else { Phase::Closed };
            let later = *phase < next;
            *phase = (*phase).max(next);
            later
        });
        shared.alarm.notify_one();
        drop(left);
        for job in owned {
            // SAFETY: it was seized above.
            unsafe { job.fail(Error::closed("the job did not run")) };
        }
        aborts.into_iter().for_each(|(_, task)| task.abort());
        idle.into_iter().for_each(Waker::wake);
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.stop(true);
    }
}

/// Moves delayed jobs into the queue when they are due, until the pool ends.
async fn keep_time(shared: Arc<Shared>) {
    while let Some(next) = wake_due(&shared) {
        let alarm = shared.alarm.notified();
        match next {
            None => alarm.await,
            // Ready by whichever comes first.
            Some(at) => drop(timeout_at(shared.instant(at), alarm).await),
        }
    }
}

/// Queues what is due and says when the next is; `None` when the pool has ended.
fn wake_due(shared: &Shared) -> Option<Option<u64>> {
    let mut state = shared.lock();
    if state.phase >= Phase::Closed {
        return None;
    }
    let moved = shared.promote(&mut state, shared.now());
    // The last delayed job may have been a cancelled one: somebody has to see that a drain is over.
    let over = state.phase == Phase::Closing && state.is_drained();
    let woken = shared.inbox.wake(moved.max(usize::from(over)));
    let next = state.delayed.peek().map(|Reverse(first)| first.due);
    drop(state);
    woken.into_iter().for_each(Waker::wake);
    Some(next)
}

fn ended(stats: &Stats) -> u64 {
    let total = stats.total();
    total.ended() - total.returned
}

fn refused() -> Error {
    Error::closed("it takes no more jobs")
}
