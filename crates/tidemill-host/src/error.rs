//! Why there is no sample.

use std::time::Duration;

/// A host cannot be looked at.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Error(Box<Repr>);

/// What the caller can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A setting is out of its bounds: fix the configuration.
    Config,
    /// `now` lies before the last sample: give a clock that does not step back.
    Clock,
}

#[derive(Debug, thiserror::Error)]
enum Repr {
    #[error("config field `{field}`: {reason}")]
    Config { field: &'static str, reason: String },
    #[error("sample at {now:?} comes before the last at {last:?}: use a monotonic clock")]
    Clock { now: Duration, last: Duration },
}

impl Error {
    /// What the caller can do.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match *self.0 {
            Repr::Config { .. } => ErrorKind::Config,
            Repr::Clock { .. } => ErrorKind::Clock,
        }
    }

    /// Never: the call has to change.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        false
    }

    /// Never known.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        None
    }

    pub(crate) fn config(field: &'static str, reason: String) -> Self {
        Self(Box::new(Repr::Config { field, reason }))
    }

    pub(crate) fn clock(now: Duration, last: Duration) -> Self {
        Self(Box::new(Repr::Clock { now, last }))
    }
}
