//! The caller's end of a job: its number, status, progress, result, and a way to cancel it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::context::{Progress, ProgressWatch};
use crate::error::Error;
use crate::task::Outcome;

/// A job that a pool accepted. Await it for the result.
///
/// Dropping the handle detaches the job: it runs to its end and its result is dropped. See
/// [`cancel_on_drop`](Self::cancel_on_drop) for the other choice.
#[must_use = "dropping the handle detaches the job; call `detach` to say so"]
pub struct JobHandle<T> {
    outcome: Arc<dyn Outcome<T>>,
    on_drop: OnDrop,
}

/// As wide as a pointer: copying seven bytes of padding costs more than the word.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
enum OnDrop {
    Detach,
    Cancel,
}

/// Where a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Status {
    /// It waits for a worker.
    Waiting,
    /// A worker runs it.
    Running,
    /// An attempt failed and the next is not due.
    Delayed,
    /// It has a result.
    Ended,
}

impl<T> JobHandle<T> {
    pub(crate) fn new(outcome: Arc<dyn Outcome<T>>) -> Self {
        Self { outcome, on_drop: OnDrop::Detach }
    }

    /// The job's number, unique within its pool.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.outcome.header().id()
    }

    /// Where it is.
    #[must_use]
    pub fn status(&self) -> Status {
        self.outcome.header().status()
    }

    /// Attempts begun.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.outcome.header().attempt()
    }

    /// What the job last said about its progress.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.outcome.header().extra().progress().borrow().clone()
    }

    /// Follows the progress.
    #[must_use]
    pub fn watch(&self) -> ProgressWatch {
        ProgressWatch::new(self.outcome.header().extra().progress().subscribe())
    }

    /// Asks the job to stop. One that waits ends at once (its place in the queue is freed when its turn
    /// comes); one that runs sees [`JobContext::cancelled`](crate::JobContext::cancelled) and is dropped
    /// at its next await after `cancel_grace`. A job that ends before that keeps its result.
    pub fn cancel(&self) {
        self.outcome.cancel();
    }

    /// Cancels the job when this handle is dropped before the result.
    pub fn cancel_on_drop(mut self) -> Self {
        self.on_drop = OnDrop::Cancel;
        self
    }

    /// Lets the job go on without a listener.
    pub fn detach(mut self) {
        self.on_drop = OnDrop::Detach;
    }

    /// Waits for the result; the same as awaiting the handle.
    ///
    /// # Errors
    /// The job's own error, a timeout, a panic, a cancel, or the end of the pool.
    pub async fn result(self) -> Result<T, Error> {
        self.await
    }
}

impl<T> Future for JobHandle<T> {
    type Output = Result<T, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // SAFETY: this is the one handle of its job.
        unsafe { self.outcome.poll(cx) }
    }
}

impl<T> Drop for JobHandle<T> {
    fn drop(&mut self) {
        if self.on_drop == OnDrop::Cancel {
            self.outcome.cancel();
        }
    }
}

impl<T> std::fmt::Debug for JobHandle<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JobHandle")
            .field("id", &self.id())
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}
