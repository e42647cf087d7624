//! What can go wrong, told as what the caller should do about it.

use std::fmt;
use std::io;
use std::time::Duration;

/// The error of this crate; ask [`kind`](Self::kind) what to do.
pub struct Error(Box<Cause>);

/// What the caller should do about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// As many callers wait as [`Config::max_waiters`](crate::Config::max_waiters) allows: shed load or retry later.
    QueueFull,
    /// Every key is quarantined or removed: give the pool a working key.
    NoKeys,
    /// The pool was closed: stop.
    Closed,
    /// The request costs more than a whole window allows: split it.
    TooLarge,
    /// The configuration is wrong: fix the field that the text names.
    Config,
    /// The stamps could not be read or written: repair the file or its disk. Nothing was sent.
    Stamps,
}

impl Error {
    /// What the caller should do.
    pub fn kind(&self) -> ErrorKind {
        match *self.0 {
            Cause::QueueFull { .. } => ErrorKind::QueueFull,
            Cause::NoKeys => ErrorKind::NoKeys,
            Cause::Closed => ErrorKind::Closed,
            Cause::TooLarge { .. } => ErrorKind::TooLarge,
            Cause::Config { .. } => ErrorKind::Config,
            Cause::Stamps { .. } | Cause::StampsFormat { .. } => ErrorKind::Stamps,
        }
    }

    /// Whether the same call may succeed later without anything being repaired.
    pub fn is_retryable(&self) -> bool {
        self.kind() == ErrorKind::QueueFull
    }

    /// When a retry may succeed, where that is known: for a full queue, when the next permit is due.
    pub fn retry_after(&self) -> Option<Duration> {
        match *self.0 {
            Cause::QueueFull { retry_after, .. } => retry_after,
            _ => None,
        }
    }

    pub(crate) fn stamps(path: &std::path::Path, doing: &'static str, source: io::Error) -> Self {
        Cause::Stamps { path: path.display().to_string(), doing, source }.into()
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Cause {
    #[error("{waiters} callers already wait for a permit; retry later or raise `max_waiters`")]
    QueueFull { waiters: usize, retry_after: Option<Duration> },
    #[error("every key is quarantined or removed; add a key that works")]
    NoKeys,
    #[error("the key pool is closed")]
    Closed,
    #[error("a cost of {cost} exceeds the {limit} that a whole window allows; split the request")]
    TooLarge { cost: u32, limit: u32 },
    #[error("`{field}` {why}")]
    Config { field: String, why: String },
    #[error("cannot {doing} the stamps in {path}")]
    Stamps { path: String, doing: &'static str, source: io::Error },
    #[error("the stamps in {path} {why}")]
    StampsFormat { path: String, why: &'static str },
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
