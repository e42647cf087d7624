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
    /// A setting could not be read or written: run as root, or use the commands.
    Denied,
    /// A setting is no longer what was seen: examine again.
    Changed,
}

#[derive(Debug, thiserror::Error)]
enum Repr {
    #[error("config field `{field}`: {reason}")]
    Config { field: &'static str, reason: String },
    #[error("sample at {now:?} comes before the last at {last:?}: use a monotonic clock")]
    Clock { now: Duration, last: Duration },
    #[error("{path}: {why}; run as root, or use the printed commands")]
    Denied { path: String, why: String },
    #[error("{path} is {found:?} and no longer {seen:?}: somebody else changed it; examine again")]
    Changed { path: String, seen: String, found: String },
}

impl Error {
    /// What the caller can do.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match *self.0 {
            Repr::Config { .. } => ErrorKind::Config,
            Repr::Clock { .. } => ErrorKind::Clock,
            Repr::Denied { .. } => ErrorKind::Denied,
            Repr::Changed { .. } => ErrorKind::Changed,
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

    pub(crate) fn denied(path: &str, why: String) -> Self {
        Self(Box::new(Repr::Denied { path: path.to_owned(), why }))
    }

    pub(crate) fn changed(path: &str, seen: &str, found: &str) -> Self {
        Self(Box::new(Repr::Changed {
            path: path.to_owned(),
            seen: seen.to_owned(),
            found: found.to_owned(),
        }))
    }

    pub(crate) fn clock(now: Duration, last: Duration) -> Self {
        Self(Box::new(Repr::Clock { now, last }))
    }
}
