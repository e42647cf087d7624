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
use crate::priority::Priority;
use crate::queue::{Waits, nanos};
use crate::retry::Retry;
use crate::sync::UnsafeCell;

/// What the worker can do with a job it owns, see [`Life`].
pub(crate) trait Task: Send + Sync {
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

/// A job as queue, worker and context hold it: it has lost its types.
#[derive(Clone)]
pub(crate) struct Work(Arc<dyn Task>);

// The header stands first, see `Work::header`.
#[repr(C)]
pub(crate) struct Core<F, A, T> {
    header: Header,
    stage: UnsafeCell<Stage<F, A, T>>,
}

// SAFETY: the stage is touched by one side at a time, the owner and after the end the handle, see `Life`.
unsafe impl<F: Send, A: Send, T: Send> Sync for Core<F, A, T> {}

/// Once it is running it stays where it is until it is dropped there: an attempt may be pinned in it.
enum Stage<F, A, T> {
    Waiting(F),
    /// The closure is kept when there may be another attempt.
    Running(Option<F>, A),
    Ended(Result<T, Error>),
    Empty,
}

/// Where the future of an attempt stands.
pub(crate) trait Attempt {
    type Future: Future;

    fn new(future: Self::Future) -> Self;
    fn get(self: Pin<&mut Self>) -> Pin<&mut Self::Future>;
}

/// In the job itself: no allocation when it starts, and as many bytes more while it waits.
pub(crate) struct Inside<Fut>(Fut);

impl<Fut: Future> Attempt for Inside<Fut> {
    type Future = Fut;

    fn new(future: Fut) -> Self {
        Self(future)
    }

    fn get(self: Pin<&mut Self>) -> Pin<&mut Fut> {
        // SAFETY: it is pinned as a part of what is pinned; nothing else hands out or moves it, and it has no `Drop`.
        unsafe { self.map_unchecked_mut(|inside| &mut inside.0) }
    }
}

impl<Fut: Future> Attempt for Pin<Box<Fut>> {
    type Future = Fut;

    fn new(future: Fut) -> Self {
        Box::pin(future)
    }

    fn get(self: Pin<&mut Self>) -> Pin<&mut Fut> {
        self.get_mut().as_mut()
    }
}

/// The largest future that stands in the job itself, in bytes.
const INSIDE: usize = 32;

/// Makes a job of what a caller handed in: for the pool and for the handle.
#[inline]
pub(crate) fn job<F, Fut, T>(header: Header, make: F) -> (Work, Arc<dyn Outcome<T>>)
where
    F: FnMut(JobContext) -> Fut + Send + 'static,
    Fut: Future<Output = Result<T, JobError>> + Send + 'static,
    T: Send + 'static,
{
    if const { size_of::<Fut>() <= INSIDE } {
        let core = Arc::new(Core::<F, Inside<Fut>, T>::new(header, make));
        (Work(Arc::clone(&core) as _), core)
    } else {
        let core = Arc::new(Core::<F, Pin<Box<Fut>>, T>::new(header, make));
        (Work(Arc::clone(&core) as _), core)
    }
}

impl Work {
    #[inline]
    pub(crate) fn header(&self) -> &Header {
        // SAFETY: it was a `Core`, which begins with its header. A call through the table would cost more than the
        // rest of most questions.
        unsafe { &*Arc::as_ptr(&self.0).cast::<Header>() }
    }

    /// Calls the closure and polls the attempt for the first time, as [`Task::poll`].
    ///
    /// # Safety
    /// The caller owns the job.
    #[inline]
    pub(crate) unsafe fn start(&self, cx: &mut Context<'_>) -> Poll<Result<(), JobError>> {
        // SAFETY: passed on.
        unsafe { Arc::clone(&self.0).start() };
        // SAFETY: passed on.
        unsafe { self.0.poll(cx) }
    }

    /// # Safety
    /// As for [`Task::poll`].
    pub(crate) unsafe fn poll(&self, cx: &mut Context<'_>) -> Poll<Result<(), JobError>> {
        // SAFETY: passed on.
        unsafe { self.0.poll(cx) }
    }

    /// # Safety
    /// As for [`Task::stop`].
    pub(crate) unsafe fn stop(&self) {
        // SAFETY: passed on.
        unsafe { self.0.stop() }
    }

    /// # Safety
    /// As for [`Task::fail`].
    pub(crate) unsafe fn fail(&self, error: Error) {
        // SAFETY: passed on.
        unsafe { self.0.fail(error) }
    }
}

impl Waits for Work {
    #[inline]
    fn since(&self) -> u64 {
        self.header().since()
    }

    #[inline]
    fn group(&self) -> u32 {
        self.header().life.mark() >> 2
    }

    #[inline]
    fn priority(&self) -> Priority {
        Priority::ALL[(self.header().life.mark() as usize & 3).min(2)]
    }
}

impl Header {
    /// Of a job of a group and priority that was accepted at `accepted`.
    #[inline]
    pub(crate) fn new(
        accepted: u64,
        group: u32,
        priority: Priority,
        timeout: u64,
        options: Option<Box<Options>>,
    ) -> Self {
        let extra = options.map_or(ptr::null_mut(), |options| {
            let due = options.deadline.map_or(u64::MAX, |limit| accepted.saturating_add(nanos(limit)));
            Box::into_raw(Box::new(Extra::new(Some(*options), due)))
        });
        Self {
            life: Life::new(group << 2 | priority.index() as u32),
            id: AtomicU64::new(0),
            since: AtomicU64::new(accepted),
            timeout,
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

impl<F, A, T> Core<F, A, T> {
    #[inline]
    fn new(header: Header, make: F) -> Self {
        Self { header, stage: UnsafeCell::new(Stage::Waiting(make)) }
    }

    /// Puts the next stage and hands out the last.
    ///
    /// # Safety
    /// The caller owns the job, or is its handle after its end; it is not running.
    unsafe fn replace(&self, next: Stage<F, A, T>) -> Stage<F, A, T> {
        // SAFETY: nobody else touches the stage meanwhile, and no code of a user runs in here.
        self.stage.with_mut(|stage| unsafe { std::ptr::replace(stage, next) })
    }

    /// Drops the stage where it is and puts the next.
    ///
    /// # Safety
    /// The caller owns the job.
    unsafe fn put(&self, next: Stage<F, A, T>) {
        self.stage.with_mut(|stage| {
            // What it holds may panic when it is dropped: not our worker's business. A drop that unwinds has dropped
            // every field all the same.
            // SAFETY: nobody else touches the stage meanwhile, and what is dropped is overwritten at once.
            drop(catch_unwind(AssertUnwindSafe(|| unsafe { ptr::drop_in_place(stage) })));
            // SAFETY: as above.
            unsafe { ptr::write(stage, next) };
        });
    }

    /// # Safety
    /// The caller owns the job.
    unsafe fn settle(&self, result: Result<T, Error>) {
        // Before the handle hears of the end, so that nothing of the job is held any more.
        // SAFETY: passed on.
        unsafe { self.put(Stage::Ended(result)) };
        self.header.life.end();
    }
}

impl<F, A, T> Task for Core<F, A, T>
where
    F: FnMut(JobContext) -> A::Future + Send + 'static,
    A: Attempt<Future: Future<Output = Result<T, JobError>>> + Send + 'static,
    T: Send + 'static,
{
    unsafe fn start(self: Arc<Self>) {
        // SAFETY: the caller keeps the job alive; this reference goes into the context, which may be dropped any time.
        let core = unsafe { &*Arc::as_ptr(&self) };
        // SAFETY: passed on.
        let Stage::Waiting(mut make) = (unsafe { core.replace(Stage::Empty) }) else {
            unreachable!("the closure waits for its owner")
        };
        let attempt = A::new(make(JobContext::new(Work(self))));
        let kept = (core.header.retry().max > 0).then_some(make);
        // SAFETY: passed on; `Empty` has nothing to drop.
        core.stage.with_mut(|stage| unsafe { ptr::write(stage, Stage::Running(kept, attempt)) });
    }

    unsafe fn poll(&self, cx: &mut Context<'_>) -> Poll<Result<(), JobError>> {
        let polled = self.stage.with_mut(|stage| {
            // SAFETY: the caller owns the job; the future reaches the stage by no other way.
            match unsafe { &mut *stage } {
                // SAFETY: a stage that runs is not moved, it is dropped where it stands.
                Stage::Running(_, attempt) => unsafe { Pin::new_unchecked(attempt) }.get().poll(cx),
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
        let kept = self.stage.with_mut(|stage| {
            // SAFETY: the caller owns the job.
            if let Stage::Running(kept, _) = unsafe { &mut *stage } { kept.take() } else { None }
        });
        // SAFETY: passed on.
        unsafe { self.put(kept.map_or(Stage::Empty, Stage::Waiting)) };
    }

    unsafe fn fail(&self, error: Error) {
        // SAFETY: passed on.
        unsafe { self.settle(Err(error)) };
    }
}

impl<F, A, T> Outcome<T> for Core<F, A, T>
where
    F: FnMut(JobContext) -> A::Future + Send + 'static,
    A: Attempt<Future: Future<Output = Result<T, JobError>>> + Send + 'static,
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
