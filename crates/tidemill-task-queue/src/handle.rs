//! A handle on one task: its record, its result, its cancel.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use crate::error::{Cause, Error};
use crate::id::TaskId;
use crate::queue::TaskQueue;
use crate::record::{Record, State};
use crate::task::Task;

/// One task of a known kind.
pub struct Handle<T> {
    pub(crate) queue: TaskQueue,
    pub(crate) id: TaskId,
    pub(crate) kind: PhantomData<fn() -> T>,
}

impl<T: Task> Handle<T> {
    /// Its id, for ever.
    pub fn id(&self) -> TaskId {
        self.id
    }

    /// All that is known of it.
    ///
    /// # Errors
    /// `NotFound` when it was purged; `Unavailable`, `Schema`.
    pub async fn record(&self) -> Result<Record, Error> {
        self.queue.get(self.id).await?.ok_or_else(|| Cause::NotFound { id: self.id }.into())
    }

    /// Waits for its result.
    ///
    /// # Errors
    /// `Failed` when it ended without one, `Timeout`, `Input` when the result is of another type, `Unavailable`.
    pub async fn result(&self, timeout: Duration) -> Result<T::Output, Error> {
        let record = self.queue.wait(self.id, timeout).await?;
        if record.state != State::Done {
            let why = record.failures.last().map(|failure| failure.error.clone());
            let why = why.or(record.reason).unwrap_or_else(|| "nobody said why".to_owned());
            return Err(Cause::Failed { id: self.id, state: record.state.as_str(), why }.into());
        }
        serde_json::from_str(record.result.as_deref().unwrap_or("null")).map_err(|source| {
            let doing = "ended with a result of another type";
            Cause::Payload { name: record.name, doing, source: Some(source) }.into()
        })
    }

    /// Ends it if it waits, asks it to stop if it runs; says whether it has ended.
    ///
    /// # Errors
    /// As [`TaskQueue::cancel`].
    pub async fn cancel(&self) -> Result<bool, Error> {
        self.queue.cancel(self.id).await
    }
}

impl<T> Clone for Handle<T> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone(), id: self.id, kind: PhantomData }
    }
}

impl<T> fmt::Debug for Handle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Handle").field(&self.id).finish()
    }
}
