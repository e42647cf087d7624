//! One accepted job: its state, its closure and its result, shared by the queue, the worker and the handle.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use crate::context::{JobContext, Progress};
use crate::error::{Error, JobError};
use crate::handle::Status;
use crate::job::Options;
use crate::queue::nanos;
use crate::retry::Retry;

const WAITING: u8 = 0;
const RUNNING: u8 = 1;
const DELAYED: u8 = 2;
const ENDED: u8 = 3;

/// One attempt: it stores a value itself and gives an error to the worker, who decides what comes next.
pub(crate) type Attempt = Pin<Box<dyn Future<Output = Result<(), JobError>> + Send>>;

/// What the worker knows of a job.
pub(crate) trait Task: Send + Sync {
    fn header(&self) -> &Header;
    /// Calls the closure; `None` when it was dropped by a cancel.
    fn start(self: Arc<Self>) -> Option<Attempt>;
    /// Ends the job without a value, unless it has ended.
    fn fail(&self, error: Error);
}

/// What the handle knows of a job.
pub(crate) trait Outcome<T>: Send + Sync {
    fn header(&self) -> &Header;
    fn poll(&self, cx: &mut Context<'_>) -> Poll<Result<T, Error>>;
    fn cancel(&self);
}

/// The part of a job that has no type parameter.
pub(crate) struct Header {
    id: AtomicU64,
    /// When it was accepted, in nanoseconds of the pool's clock.
    pub(crate) accepted: u64,
    /// Nanoseconds an attempt may take; the largest number for no limit.
    pub(crate) timeout: u64,
    pub(crate) options: Option<Box<Options>>,
    attempt: AtomicU32,
    state: AtomicU8,
    cancel: AtomicBool,
    extra: OnceLock<Box<Extra>>,
}

/// What only jobs that wait, are cancelled or report progress need.
pub(crate) struct Extra {
    pub(crate) cancelled: Notify,
    progress: OnceLock<watch::Sender<Progress>>,
}

impl Extra {
    pub(crate) fn progress(&self) -> &watch::Sender<Progress> {
        self.progress.get_or_init(watch::Sender::default)
    }
}

pub(crate) struct Core<F, T> {
    header: Header,
    inner: Mutex<Inner<F, T>>,
}

struct Inner<F, T> {
    make: Option<F>,
    slot: Slot<T>,
}

enum Slot<T> {
    Open(Option<Waker>),
    Ended(Result<T, Error>),
    Taken,
}

impl Header {
    pub(crate) fn new(accepted: u64, timeout: Option<Duration>, options: Option<Box<Options>>) -> Self {
        Self {
            id: AtomicU64::new(0),
            accepted,
            timeout: timeout.map_or(u64::MAX, nanos),
            options,
            attempt: AtomicU32::new(0),
            state: AtomicU8::new(WAITING),
            cancel: AtomicBool::new(false),
            extra: OnceLock::new(),
        }
    }

    pub(crate) fn id(&self) -> u64 {
        self.id.load(Ordering::Relaxed)
    }

    /// Set once, under the pool's lock and before anybody else knows the job.
    pub(crate) fn set_id(&self, id: u64) {
        self.id.store(id, Ordering::Relaxed);
    }

    pub(crate) fn attempt(&self) -> u32 {
        self.attempt.load(Ordering::Relaxed)
    }

    pub(crate) fn retry(&self) -> Retry {
        self.options.as_ref().map_or(Retry::NONE, |options| options.retry)
    }

    pub(crate) fn status(&self) -> Status {
        match self.state.load(Ordering::Acquire) {
            WAITING => Status::Waiting,
            RUNNING => Status::Running,
            DELAYED => Status::Delayed,
            _ => Status::Ended,
        }
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancel.load(Ordering::Relaxed)
    }

    /// A worker takes the job; false when it was cancelled in the queue.
    pub(crate) fn claim(&self) -> bool {
        let taken =
            self.state.compare_exchange(WAITING, RUNNING, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if taken {
            // Whoever claims it is the only writer.
            self.attempt.store(self.attempt() + 1, Ordering::Relaxed);
        }
        taken
    }

    /// A running job goes back to wait; false when somebody cancelled it meanwhile, who leaves its end to us.
    pub(crate) fn delay(&self) -> bool {
        self.state.store(DELAYED, Ordering::SeqCst);
        if !self.cancel.load(Ordering::SeqCst) {
            return true;
        }
        // Whoever moves it on from DELAYED ends it.
        self.state.compare_exchange(DELAYED, RUNNING, Ordering::SeqCst, Ordering::SeqCst).is_err()
    }

    /// A delayed job is due; false when it was cancelled meanwhile.
    pub(crate) fn due(&self) -> bool {
        self.state.compare_exchange(DELAYED, WAITING, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    pub(crate) fn extra(&self) -> &Extra {
        self.extra.get_or_init(|| Box::new(Extra { cancelled: Notify::new(), progress: OnceLock::new() }))
    }

    /// Ready once somebody asked to cancel.
    pub(crate) async fn cancelled(&self) {
        let notified = self.extra().cancelled.notified();
        let mut notified = std::pin::pin!(notified);
        notified.as_mut().enable();
        // Pairs with the fence in `request_cancel`: either we see the flag or it sees `extra`.
        fence(Ordering::SeqCst);
        if !self.is_cancelled() {
            notified.await;
        }
    }

    /// Marks the job and wakes who listens; true when it waited and the caller has to end it.
    fn request_cancel(&self) -> bool {
        self.cancel.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        if let Some(extra) = self.extra.get() {
            extra.cancelled.notify_waiters();
        }
        [WAITING, DELAYED]
            .into_iter()
            .any(|from| self.state.compare_exchange(from, ENDED, Ordering::SeqCst, Ordering::SeqCst).is_ok())
    }

    fn set_ended(&self) {
        self.state.store(ENDED, Ordering::Release);
    }
}

impl<F, T> Core<F, T> {
    pub(crate) fn new(header: Header, make: F) -> Self {
        Self { header, inner: Mutex::new(Inner { make: Some(make), slot: Slot::Open(None) }) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner<F, T>> {
        // User code never runs under this lock, so that it cannot be poisoned.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn settle(&self, result: Result<T, Error>) {
        self.header.set_ended();
        let mut inner = self.lock();
        let make = inner.make.take();
        let waker = match &mut inner.slot {
            Slot::Open(waker) => {
                let waker = waker.take();
                inner.slot = Slot::Ended(result);
                waker
            }
            Slot::Ended(_) | Slot::Taken => None,
        };
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
        // What the closure holds may panic when it is dropped: not our worker's business.
        if make.is_some() {
            drop(catch_unwind(AssertUnwindSafe(|| drop(make))));
        }
    }
}

impl<F, Fut, T> Task for Core<F, T>
where
    F: FnMut(JobContext) -> Fut + Send + 'static,
    Fut: Future<Output = Result<T, JobError>> + Send + 'static,
    T: Send + 'static,
{
    fn header(&self) -> &Header {
        &self.header
    }

    fn start(self: Arc<Self>) -> Option<Attempt> {
        let mut make = self.lock().make.take()?;
        let attempt = make(JobContext::new(Arc::clone(&self) as Arc<dyn Task>));
        if self.header.retry().max > 0 {
            self.lock().make = Some(make);
        }
        Some(Box::pin(async move {
            let value = attempt.await?;
            self.settle(Ok(value));
            Ok(())
        }))
    }

    fn fail(&self, error: Error) {
        self.settle(Err(error));
    }
}

impl<F, Fut, T> Outcome<T> for Core<F, T>
where
    F: FnMut(JobContext) -> Fut + Send + 'static,
    Fut: Future<Output = Result<T, JobError>> + Send + 'static,
    T: Send + 'static,
{
    fn header(&self) -> &Header {
        &self.header
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<Result<T, Error>> {
        let mut inner = self.lock();
        match &mut inner.slot {
            Slot::Open(waker) => {
                match waker {
                    Some(waker) => waker.clone_from(cx.waker()),
                    None => *waker = Some(cx.waker().clone()),
                }
                Poll::Pending
            }
            Slot::Ended(_) => match std::mem::replace(&mut inner.slot, Slot::Taken) {
                Slot::Ended(result) => Poll::Ready(result),
                Slot::Open(_) | Slot::Taken => Poll::Pending,
            },
            // The result was taken: a future polled again after its end never becomes ready.
            Slot::Taken => Poll::Pending,
        }
    }

    fn cancel(&self) {
        if self.header.request_cancel() {
            self.settle(Err(Error::cancelled()));
        }
    }
}

/// What a panic said.
pub(crate) fn message(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "a value that is no text".to_owned()
    }
}
