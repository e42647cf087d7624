//! One accepted job: its life, its closure, its running attempt and its result, shared by queue, worker and handle.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::ptr;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::attempt::{Attempt, Inside};
use crate::context::JobContext;
use crate::error::{Error, JobError};
use crate::header::Header;
use crate::priority::Priority;
use crate::queue::Waits;
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

/// The largest future that stands in the job itself, in bytes.
const INSIDE: usize = 32;

/// Makes a job of what a caller handed in: for the pool and for the handle.
#[inline]
pub(crate) fn job<F, Fut, T>(header: impl FnOnce() -> Header, make: F) -> (Work, Arc<dyn Outcome<T>>)
where
    F: FnMut(JobContext) -> Fut + Send + 'static,
    Fut: Future<Output = Result<T, JobError>> + Send + 'static,
    T: Send + 'static,
{
    if const { size_of::<Fut>() <= INSIDE } {
        let core = Core::<F, Inside<Fut>, T>::new(header, make);
        (Work(Arc::clone(&core) as _), core)
    } else {
        let core = Core::<F, Pin<Box<Fut>>, T>::new(header, make);
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

impl<F, A, T> Core<F, A, T> {
    /// Written where it stays: a job that is built elsewhere and copied is read 16 bytes at a time right after it was
    /// written 8 at a time, for which the processor waits.
    #[inline]
    fn new(header: impl FnOnce() -> Header, make: F) -> Arc<Self> {
        let core = Arc::<Self>::new_uninit();
        let place = Arc::as_ptr(&core).cast_mut().cast::<Self>();
        // SAFETY: nobody else knows it yet, and all of it is written.
        unsafe {
            ptr::write(&raw mut (*place).header, header());
            ptr::write(&raw mut (*place).stage, UnsafeCell::new(Stage::Waiting(make)));
            core.assume_init()
        }
    }

    /// Puts the next stage and hands out the last.
    ///
    /// # Safety
    /// The caller owns the job, or is its handle after its end; it is not running.
    unsafe fn replace(&self, next: Stage<F, A, T>) -> Stage<F, A, T> {
        // SAFETY: nobody else touches the stage meanwhile, and no code of a user runs in here.
        self.stage.with_mut(|stage| unsafe { std::ptr::replace(stage, next) })
    }

    /// Drops the stage where it is.
    ///
    /// # Safety
    /// The caller owns the job, and puts another stage at once.
    unsafe fn clear(&self) {
        self.stage.with_mut(|stage| {
            // What it holds may panic when it is dropped: not our worker's business. A drop that unwinds has dropped
            // every field all the same.
            // SAFETY: nobody else touches the stage meanwhile, and what is dropped is overwritten at once.
            drop(catch_unwind(AssertUnwindSafe(|| unsafe { ptr::drop_in_place(stage) })));
        });
    }

    /// # Safety
    /// The caller owns the job.
    #[inline(always)]
    unsafe fn settle(&self, result: Result<T, Error>) {
        // Before the handle hears of the end, so that nothing of the job is held any more.
        // SAFETY: passed on; the next stage follows.
        unsafe { self.clear() };
        // SAFETY: the caller owns the job.
        self.stage.with_mut(|stage| unsafe { ptr::write(stage, Stage::Ended(result)) });
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
        // SAFETY: passed on; the next stage follows.
        unsafe { self.clear() };
        // SAFETY: the caller owns the job.
        self.stage.with_mut(|stage| unsafe { ptr::write(stage, kept.map_or(Stage::Empty, Stage::Waiting)) });
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
