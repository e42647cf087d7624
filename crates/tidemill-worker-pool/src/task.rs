//! One accepted job: its life, its closure, its running attempt and its result, shared by queue, worker and handle.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use crate::context::{JobContext, Progress};
use crate::error::{Error, JobError};
use crate::handle::Status;
use crate::job::Options;
use crate::life::Life;
use crate::queue::{Dated, nanos};
use crate::retry::Retry;
use crate::sync::UnsafeCell;

/// What the worker knows of a job. All but `header` are for its owner, see [`Life`].
pub(crate) trait Task: Send + Sync {
    fn header(&self) -> &Header;
    /// Calls the closure.
    ///
    /// # Safety
    /// The caller owns the job, and holds a reference of its own.
    unsafe fn start(self: Arc<Self>);
    /// Polls the attempt that was started. A value ends the job; an error is for the caller, who decides what comes
    /// next.
    ///
    /// # Safety
    /// The caller owns the job.
    unsafe fn poll(&self, cx: &mut Context<'_>) -> Poll<Result<(), JobError>>;
    /// Drops the attempt, whatever it does on the way.
    ///
    /// # Safety
    /// The caller owns the job.
    unsafe fn stop(&self);
    /// Ends the job without a value.
    ///
    /// # Safety
    /// The caller owns the job, and owns it no more.
    unsafe fn fail(&self, error: Error);
}

/// What the handle knows of a job.
pub(crate) trait Outcome<T>: Send + Sync {
    fn header(&self) -> &Header;
    /// The result, once.
    ///
    /// # Safety
    /// The caller is the one handle of the job.
    unsafe fn poll(&self, cx: &mut Context<'_>) -> Poll<Result<T, Error>>;
    fn cancel(&self);
}

/// The part of a job that has no type parameter.
pub(crate) struct Header {
    pub(crate) life: Life,
    id: AtomicU64,
    /// Since when it waits, in nanoseconds of the pool's clock.
    since: AtomicU64,
    /// Nanoseconds an attempt may take; the largest number for no limit.
    pub(crate) timeout: u64,
    /// Made on demand; once there, it stays.
    extra: AtomicPtr<Extra>,
}

/// What only jobs with options need, and those that await something, are cancelled or report progress.
pub(crate) struct Extra {
    options: Option<Options>,
    /// When the deadline is, in nanoseconds of the pool's clock.
    due: u64,
    pub(crate) cancelled: Notify,
    progress: OnceLock<watch::Sender<Progress>>,
}

impl Extra {
    fn new(options: Option<Options>, due: u64) -> Self {
        Self { options, due, cancelled: Notify::new(), progress: OnceLock::new() }
    }

    pub(crate) fn progress(&self) -> &watch::Sender<Progress> {
        self.progress.get_or_init(watch::Sender::default)
    }
}

pub(crate) struct Core<F, Fut, T> {
    header: Header,
    stage: UnsafeCell<Stage<F, Fut, T>>,
}

// SAFETY: the stage is touched by one side at a time, the owner and after the end the handle, see `Life`.
unsafe impl<F: Send, Fut: Send, T: Send> Sync for Core<F, Fut, T> {}

enum Stage<F, Fut, T> {
    Waiting(F),
    /// The closure is kept when there may be another attempt.
    Running(Option<F>, Pin<Box<Fut>>),
    Ended(Result<T, Error>),
    Empty,
}

impl Header {
    #[inline]
    pub(crate) fn new(accepted: u64, timeout: Option<Duration>, options: Option<Box<Options>>) -> Self {
        let extra = options.map_or(ptr::null_mut(), |options| {
            let due = options.deadline.map_or(u64::MAX, |limit| accepted.saturating_add(nanos(limit)));
            Box::into_raw(Box::new(Extra::new(Some(*options), due)))
        });
        Self {
            life: Life::new(),
            id: AtomicU64::new(0),
            since: AtomicU64::new(accepted),
            timeout: timeout.map_or(u64::MAX, nanos),
            extra: AtomicPtr::new(extra),
        }
    }

    pub(crate) fn id(&self) -> u64 {
        self.id.load(Ordering::Relaxed)
    }

    /// Set once, under the pool's lock and before anybody else knows the job.
    pub(crate) fn set_id(&self, id: u64) {
        self.id.store(id, Ordering::Relaxed);
    }

    pub(crate) fn since(&self) -> u64 {
        self.since.load(Ordering::Relaxed)
    }

    pub(crate) fn attempt(&self) -> u32 {
        self.life.attempt()
    }

    pub(crate) fn status(&self) -> Status {
        self.life.status()
    }

    #[inline]
    pub(crate) fn options(&self) -> Option<&Options> {
        self.get()?.options.as_ref()
    }

    #[inline]
    pub(crate) fn retry(&self) -> Retry {
        self.options().map_or(Retry::NONE, |options| options.retry)
    }

    /// The deadline as it was asked for, and when it is.
    pub(crate) fn deadline(&self) -> Option<(u64, Duration)> {
        let extra = self.get()?;
        Some((extra.due, extra.options.as_ref()?.deadline?))
    }

    /// A worker takes the job; false when it was cancelled in the queue.
    pub(crate) fn claim(&self) -> bool {
        let taken = self.life.claim();
        if taken {
            self.life.count_attempt();
        }
        taken
    }

    /// A delayed job waits again; false when it was cancelled meanwhile.
    pub(crate) fn due(&self, now: u64) -> bool {
        let due = self.life.due();
        if due {
            // Under the pool's lock, and no worker knows it yet.
            self.since.store(now, Ordering::Relaxed);
        }
        due
    }

    #[inline]
    fn get(&self) -> Option<&Extra> {
        // SAFETY: what stands there came from a box, is complete (Acquire) and stays until the header is dropped.
        unsafe { self.extra.load(Ordering::Acquire).as_ref() }
    }

    pub(crate) fn extra(&self) -> &Extra {
        if let Some(extra) = self.get() {
            return extra;
        }
        let new = Box::into_raw(Box::new(Extra::new(None, u64::MAX)));
        match self.extra.compare_exchange(ptr::null_mut(), new, Ordering::AcqRel, Ordering::Acquire) {
            // SAFETY: it came from a box and stays until the header is dropped.
            Ok(_) => unsafe { &*new },
            Err(other) => {
                // SAFETY: nobody else has seen ours.
                drop(unsafe { Box::from_raw(new) });
                // SAFETY: as in `get`.
                unsafe { &*other }
            }
        }
    }

    /// Ready once somebody asked to cancel.
    pub(crate) async fn cancelled(&self) {
        let notified = self.extra().cancelled.notified();
        let mut notified = std::pin::pin!(notified);
        notified.as_mut().enable();
        // In one word with the cancel itself: either we see it or it sees us.
        if !self.life.listen() {
            notified.await;
        }
    }

    /// Asks it to stop; true when it waited, so that the caller owns it and has to end it.
    fn request_cancel(&self) -> bool {
        let cancel = self.life.cancel();
        if cancel.listens {
            self.extra().cancelled.notify_waiters();
        }
        cancel.owned
    }
}

impl Drop for Header {
    fn drop(&mut self) {
        let extra = *self.extra.get_mut();
        if !extra.is_null() {
            // SAFETY: it came from a box and nobody else is left.
            drop(unsafe { Box::from_raw(extra) });
        }
    }
}

impl<F, Fut, T> Core<F, Fut, T> {
    pub(crate) fn new(header: Header, make: F) -> Self {
        Self { header, stage: UnsafeCell::new(Stage::Waiting(make)) }
    }

    /// Puts the next stage and hands out the last.
    ///
    /// # Safety
    /// The caller owns the job, or is its handle after its end.
    unsafe fn replace(&self, next: Stage<F, Fut, T>) -> Stage<F, Fut, T> {
        // SAFETY: nobody else touches the stage meanwhile, and no code of a user runs in here.
        self.stage.with_mut(|stage| std::mem::replace(unsafe { &mut *stage }, next))
    }

    /// # Safety
    /// The caller owns the job.
    unsafe fn settle(&self, result: Result<T, Error>) {
        // SAFETY: passed on.
        let last = unsafe { self.replace(Stage::Ended(result)) };
        // Before the handle hears of the end, so that nothing of the job is held any more. What it holds may panic
        // when it is dropped: not our worker's business.
        drop(catch_unwind(AssertUnwindSafe(|| drop(last))));
        self.header.life.end();
    }
}

impl<F, Fut, T> Task for Core<F, Fut, T>
where
    F: FnMut(JobContext) -> Fut + Send + 'static,
    Fut: Future<Output = Result<T, JobError>> + Send + 'static,
    T: Send + 'static,
{
    fn header(&self) -> &Header {
        &self.header
    }

    unsafe fn start(self: Arc<Self>) {
        // SAFETY: the caller keeps the job alive; this reference goes into the context, which may be dropped any time.
        let core = unsafe { &*Arc::as_ptr(&self) };
        // SAFETY: passed on.
        let Stage::Waiting(mut make) = (unsafe { core.replace(Stage::Empty) }) else {
            unreachable!("the closure waits for its owner")
        };
        let attempt = Box::pin(make(JobContext::new(self)));
        let kept = (core.header.retry().max > 0).then_some(make);
        // SAFETY: passed on.
        unsafe { core.replace(Stage::Running(kept, attempt)) };
    }

    unsafe fn poll(&self, cx: &mut Context<'_>) -> Poll<Result<(), JobError>> {
        let polled = self.stage.with_mut(|stage| {
            // SAFETY: the caller owns the job; the future reaches the stage by no other way.
            match unsafe { &mut *stage } {
                Stage::Running(_, attempt) => attempt.as_mut().poll(cx),
                _ => unreachable!("an attempt was started"),
            }
        });
        polled.map(|result| {
            let value = result?;
            // SAFETY: passed on.
            unsafe { self.settle(Ok(value)) };
            Ok(())
        })
    }

    unsafe fn stop(&self) {
        // SAFETY: passed on.
        let last = unsafe { self.replace(Stage::Empty) };
        let Stage::Running(kept, attempt) = last else { return };
        drop(catch_unwind(AssertUnwindSafe(|| drop(attempt))));
        if let Some(make) = kept {
            // SAFETY: passed on.
            unsafe { self.replace(Stage::Waiting(make)) };
        }
    }

    unsafe fn fail(&self, error: Error) {
        // SAFETY: passed on.
        unsafe { self.settle(Err(error)) };
    }
}

impl<F, Fut, T> Outcome<T> for Core<F, Fut, T>
where
    F: FnMut(JobContext) -> Fut + Send + 'static,
    Fut: Future<Output = Result<T, JobError>> + Send + 'static,
    T: Send + 'static,
{
    fn header(&self) -> &Header {
        &self.header
    }

    unsafe fn poll(&self, cx: &mut Context<'_>) -> Poll<Result<T, Error>> {
        if self.header.life.poll_ended(cx).is_pending() {
            return Poll::Pending;
        }
        // SAFETY: it has ended, and the caller is its handle.
        match unsafe { self.replace(Stage::Empty) } {
            Stage::Ended(result) => Poll::Ready(result),
            // The result was taken: a future polled again after its end never becomes ready.
            _ => Poll::Pending,
        }
    }

    fn cancel(&self) {
        if self.header.request_cancel() {
            // SAFETY: the cancel made us its owner.
            unsafe { self.settle(Err(Error::cancelled())) };
        }
    }
}

impl Dated for Arc<dyn Task> {
    fn since(&self) -> u64 {
        self.header().since()
    }
}
