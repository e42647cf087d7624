//! What can go wrong with a job or a pool, and what the caller should do about it.

use std::time::Duration;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why a job has no result, was not accepted, or a pool was not built.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Error(Box<Repr>);

/// What the caller can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A setting is out of its bounds: fix the configuration.
    Config,
    /// There is no tokio runtime with a timer here: build the pool inside one.
    NoRuntime,
    /// The queue is full: wait, shed, or use `submit().await`.
    Full,
    /// The pool is closed; the job did not run, or was stopped at the drain's deadline.
    Closed,
    /// The job said so itself, finally.
    Failed,
    /// The last attempt took longer than the job's timeout, or its deadline passed.
    TimedOut,
    /// The job panicked. Nothing else was touched.
    Panicked,
    /// Somebody cancelled it.
    Cancelled,
}

#[derive(Debug, thiserror::Error)]
enum Repr {
    #[error("config field `{field}`: {reason}")]
    Config { field: &'static str, reason: String },
    #[error("no tokio runtime here: build the pool inside one")]
    NoRuntime,
    #[error("the queue is full: {capacity} jobs wait; use submit().await or a larger `queue`")]
    Full { capacity: usize },
    #[error("the pool is closed: {what}")]
    Closed { what: &'static str },
    #[error("job failed at attempt {attempt}{}", reason.text())]
    Failed { attempt: u32, reason: Final, retriable: bool, after: Option<Duration>, source: Source },
    #[error("job took longer than {limit:?} at attempt {attempt}")]
    TimedOut { attempt: u32, limit: Duration },
    #[error("job panicked at attempt {attempt}: {message}")]
    Panicked { attempt: u32, message: String },
    #[error("job was cancelled")]
    Cancelled,
}

/// Why a failed attempt was the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Final {
    Fatal,
    NoRetry,
    Exhausted,
    Budget,
    After,
    Deadline,
    Closed,
}

impl Final {
    fn text(self) -> &'static str {
        match self {
            Self::Fatal | Self::NoRetry => "",
            Self::Exhausted => ", its last",
            Self::Budget => ", the pool's retry budget is spent",
            Self::After => ", asked to wait longer than `max_retry_after`",
            Self::Closed => ", the pool is closed",
            Self::Deadline => ", its deadline comes before the next",
        }
    }
}

impl Error {
    /// What the caller should do.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match *self.0 {
            Repr::Config { .. } => ErrorKind::Config,
            Repr::NoRuntime => ErrorKind::NoRuntime,
            Repr::Full { .. } => ErrorKind::Full,
            Repr::Closed { .. } => ErrorKind::Closed,
            Repr::Failed { .. } => ErrorKind::Failed,
            Repr::TimedOut { .. } => ErrorKind::TimedOut,
            Repr::Panicked { .. } => ErrorKind::Panicked,
            Repr::Cancelled => ErrorKind::Cancelled,
        }
    }

    /// Whether the same job may succeed when it is submitted again later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match *self.0 {
            Repr::Full { .. } | Repr::TimedOut { .. } => true,
            Repr::Failed { retriable, .. } => retriable,
            _ => false,
        }
    }

    /// How long to wait before that, when the job knew.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match *self.0 {
            Repr::Failed { after, .. } => after,
            _ => None,
        }
    }

    /// The job's own error, by value, when it [`Failed`](ErrorKind::Failed); otherwise this error again.
    ///
    /// # Errors
    /// This error, when the job did not fail by itself.
    pub fn into_source(self) -> Result<Box<dyn std::error::Error + Send + Sync>, Self> {
        match *self.0 {
            Repr::Failed { source, .. } => Ok(source),
            other => Err(Self(Box::new(other))),
        }
    }

    pub(crate) fn config(field: &'static str, reason: String) -> Self {
        Self(Box::new(Repr::Config { field, reason }))
    }

    pub(crate) fn no_runtime() -> Self {
        Self(Box::new(Repr::NoRuntime))
    }

    pub(crate) fn full(capacity: usize) -> Self {
        Self(Box::new(Repr::Full { capacity }))
    }

    pub(crate) fn closed(what: &'static str) -> Self {
        Self(Box::new(Repr::Closed { what }))
    }

    pub(crate) fn failed(attempt: u32, reason: Final, error: JobError) -> Self {
        let JobError { source, retriable, after } = error;
        Self(Box::new(Repr::Failed { attempt, reason, retriable, after, source }))
    }

    pub(crate) fn timed_out(attempt: u32, limit: Duration) -> Self {
        Self(Box::new(Repr::TimedOut { attempt, limit }))
    }

    pub(crate) fn panicked(attempt: u32, message: String) -> Self {
        Self(Box::new(Repr::Panicked { attempt, message }))
    }

    pub(crate) fn cancelled() -> Self {
        Self(Box::new(Repr::Cancelled))
    }
}

/// What a job returns when it did not work out: the cause, and whether another attempt makes sense.
#[derive(Debug)]
pub struct JobError {
    source: Source,
    retriable: bool,
    after: Option<Duration>,
}

impl JobError {
    /// Another attempt may succeed.
    pub fn retriable(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { source: source.into(), retriable: true, after: None }
    }

    /// No attempt will succeed.
    pub fn fatal(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { source: source.into(), retriable: false, after: None }
    }

    /// Not before `after` from now; a jitter of up to the `base` of the job's [`Retry`](crate::Retry) comes on top.
    #[must_use]
    pub fn after(mut self, after: Duration) -> Self {
        self.after = Some(after);
        self
    }

    /// Whether another attempt may succeed.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        self.retriable
    }

    /// How long to wait before it, when known.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.after
    }
}

impl std::fmt::Display for JobError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.source.fmt(f)
    }
}
