//! What can go wrong, told as what the caller should do about it.

use std::fmt;
use std::time::Duration;

use crate::id::{TaskId, Token};

/// The error of this crate; ask [`kind`](Self::kind) what to do.
pub struct Error(Box<Cause>);

/// What the caller should do about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The task was claimed anew, cancelled or finished in between: what this run did does not count; drop it.
    Stale,
    /// The store did not answer, or answered with a fault of the moment: retry. Whether the write happened is not known.
    Unavailable,
    /// The disk is full: make room, then retry.
    Full,
    /// There is no such task, queue, group or schedule, or it was purged.
    NotFound,
    /// It is not in a state in which this can be done: the text names it.
    State,
    /// An argument is out of bounds: fix what the text names.
    Input,
    /// The configuration is wrong: fix the field that the text names.
    Config,
    /// The store was written by a newer version, or is broken: use a newer program, or repair it.
    Schema,
    /// The task ended without a result: the text says how.
    Failed,
    /// The wait was longer than allowed; the task goes on.
    Timeout,
    /// The queue was closed: stop.
    Closed,
}

impl Error {
    /// What the caller should do.
    pub fn kind(&self) -> ErrorKind {
        match *self.0 {
            Cause::Stale { .. } => ErrorKind::Stale,
            Cause::Unavailable { .. } => ErrorKind::Unavailable,
            Cause::DiskFull { .. } => ErrorKind::Full,
            Cause::NotFound { .. } | Cause::NoSchedule { .. } => ErrorKind::NotFound,
            Cause::State { .. } => ErrorKind::State,
            Cause::Input { .. } | Cause::Payload { .. } | Cause::Schedule { .. } => ErrorKind::Input,
            Cause::Config { .. } => ErrorKind::Config,
            Cause::Schema { .. } => ErrorKind::Schema,
            Cause::Failed { .. } => ErrorKind::Failed,
            Cause::Timeout { .. } => ErrorKind::Timeout,
            Cause::Closed => ErrorKind::Closed,
        }
    }

    /// Whether the same call may succeed later without anything being repaired.
    pub fn is_retryable(&self) -> bool {
        matches!(self.kind(), ErrorKind::Unavailable | ErrorKind::Full | ErrorKind::Timeout)
    }

    /// When a retry may succeed, where that is known.
    pub fn retry_after(&self) -> Option<Duration> {
        match *self.0 {
            Cause::DiskFull { .. } => Some(Duration::from_secs(1)),
            _ => None,
        }
    }

    /// A store of another crate could not do its work; `doing` is a verb such as "commit".
    pub fn unavailable(
        doing: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Cause::Unavailable { doing, source: source.into() }.into()
    }

    /// A store of another crate found what it cannot read: a newer version's rows, or none of ours.
    pub fn schema(why: impl Into<String>) -> Self {
        Cause::Schema { why: why.into() }.into()
    }

    /// For several callers of one failed transaction; the source stays with the text.
    pub(crate) fn share(&self) -> Self {
        let text = || -> Box<dyn std::error::Error + Send + Sync> {
            match std::error::Error::source(self) {
                Some(source) => source.to_string().into(),
                None => self.to_string().into(),
            }
        };
        match &*self.0 {
            Cause::Unavailable { doing, .. } => Cause::Unavailable { doing, source: text() }.into(),
            Cause::DiskFull { .. } => Cause::DiskFull { source: text() }.into(),
            Cause::Schema { why } => Cause::Schema { why: why.clone() }.into(),
            Cause::Closed => Cause::Closed.into(),
            _ => Cause::Unavailable { doing: "commit", source: self.to_string().into() }.into(),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Cause {
    #[error("token {token} of task {id} is stale: {now}; what this run did is not counted")]
    Stale { id: TaskId, token: Token, now: &'static str },
    #[error("the task store could not {doing}; retry")]
    Unavailable { doing: &'static str, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("the disk of the task store is full; make room and retry")]
    DiskFull { source: Box<dyn std::error::Error + Send + Sync> },
    #[error("there is no task {id}, or it was purged")]
    NotFound { id: TaskId },
    #[error("there is no schedule `{name}`")]
    NoSchedule { name: String },
    #[error("`{what}` makes no schedule: {why}")]
    Schedule { what: String, why: String },
    #[error("task {id} is {state}; {advice}")]
    State { id: TaskId, state: &'static str, advice: &'static str },
    #[error("the {what} {why}")]
    Input { what: &'static str, why: &'static str },
    #[error("the payload of task `{name}` {doing}")]
    Payload { name: String, doing: &'static str, source: Option<serde_json::Error> },
    #[error("`{field}` {why}")]
    Config { field: &'static str, why: &'static str },
    #[error("the task store {why}")]
    Schema { why: String },
    #[error("task {id} ended as {state}: {why}")]
    Failed { id: TaskId, state: &'static str, why: String },
    #[error("task {id} is not finished after {} ms; it goes on", waited.as_millis())]
    Timeout { id: TaskId, waited: Duration },
    #[error("the task queue is closed")]
    Closed,
}

impl From<Cause> for Error {
    fn from(cause: Cause) -> Self {
        Self(Box::new(cause))
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

/// Why an attempt of a task failed: what a handler returns.
#[derive(Debug)]
pub struct TaskError {
    pub(crate) text: String,
    pub(crate) fatal: bool,
    pub(crate) after: Option<Duration>,
}

impl TaskError {
    /// Another attempt may succeed.
    pub fn retriable(why: impl fmt::Display) -> Self {
        Self { text: why.to_string(), fatal: false, after: None }
    }

    /// Another attempt may succeed, but not before `after`.
    pub fn retry_after(why: impl fmt::Display, after: Duration) -> Self {
        Self { text: why.to_string(), fatal: false, after: Some(after) }
    }

    /// No attempt will: a dead letter at once.
    pub fn fatal(why: impl fmt::Display) -> Self {
        Self { text: why.to_string(), fatal: true, after: None }
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Any error may be tried again; say [`TaskError::fatal`] where not.
impl<E: std::error::Error> From<E> for TaskError {
    fn from(error: E) -> Self {
        Self::retriable(error)
    }
}
