//! What can go wrong with a cache, and what the caller should do about it.

use std::sync::Arc;
use std::time::Duration;

type Source = Arc<dyn std::error::Error + Send + Sync>;

/// Why a cache was not built, or a value not loaded. A clone is the same error: each waiter of a load gets one.
#[derive(Clone, Debug, thiserror::Error)]
#[error(transparent)]
pub struct Error(Arc<Repr>);

/// What the caller can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A setting is out of its bounds: fix the configuration.
    Config,
    /// This store cannot do that: choose the other one.
    Unsupported,
    /// The loader failed; its error is the source.
    Load,
    /// The load took longer than `load_timeout`.
    TimedOut,
    /// A directory cannot be used: the source says why.
    Disk,
    /// Too much waits for the backend: try again later.
    Full,
    /// It was closed: open another.
    Closed,
}

#[derive(Debug, thiserror::Error)]
enum Repr {
    #[error("config field `{field}`: {reason}")]
    Config { field: &'static str, reason: String },
    #[error("{store} cannot {what}: use the default store")]
    Unsupported { store: &'static str, what: &'static str },
    #[error("the load failed: {0}")]
    Load(Source),
    #[error("the load took longer than {limit:?}, its `load_timeout`")]
    TimedOut { limit: Duration },
    #[cfg(feature = "disk")]
    #[error("the directory `{}`: {source}", dir.display())]
    Disk { dir: std::path::PathBuf, source: std::io::Error },
    #[cfg(feature = "disk")]
    #[error("the journal: {0}")]
    Journal(Source),
    #[cfg(feature = "disk")]
    #[error("too much waits for the backend since {patience:?}: try again later, or raise `max_pending`")]
    Full { patience: Duration },
    #[cfg(feature = "disk")]
    #[error("it was closed: open another")]
    Closed,
}

impl Error {
    /// What the caller should do.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match *self.0 {
            Repr::Config { .. } => ErrorKind::Config,
            Repr::Unsupported { .. } => ErrorKind::Unsupported,
            Repr::Load(_) => ErrorKind::Load,
            Repr::TimedOut { .. } => ErrorKind::TimedOut,
            #[cfg(feature = "disk")]
            Repr::Disk { .. } | Repr::Journal(_) => ErrorKind::Disk,
            #[cfg(feature = "disk")]
            Repr::Full { .. } => ErrorKind::Full,
            #[cfg(feature = "disk")]
            Repr::Closed => ErrorKind::Closed,
        }
    }

    /// Whether the same call may succeed later. Of a loader's own error the cache knows nothing: look at the source.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match *self.0 {
            Repr::Load(_) | Repr::TimedOut { .. } => true,
            #[cfg(feature = "disk")]
            Repr::Disk { .. } | Repr::Journal(_) | Repr::Full { .. } => true,
            #[cfg(feature = "disk")]
            Repr::Closed => false,
            Repr::Config { .. } | Repr::Unsupported { .. } => false,
        }
    }

    /// A cache never knows when a loader recovers.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        None
    }

    /// The loader's own error, when it was of type `E`.
    #[must_use]
    pub fn load_error<E: std::error::Error + 'static>(&self) -> Option<&E> {
        match &*self.0 {
            Repr::Load(source) => source.downcast_ref(),
            _ => None,
        }
    }

    pub(crate) fn config(field: &'static str, reason: String) -> Self {
        Self(Arc::new(Repr::Config { field, reason }))
    }

    pub(crate) fn unsupported(store: &'static str, what: &'static str) -> Self {
        Self(Arc::new(Repr::Unsupported { store, what }))
    }

    pub(crate) fn load(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(Arc::new(Repr::Load(Arc::from(source.into()))))
    }

    pub(crate) fn timed_out(limit: Duration) -> Self {
        Self(Arc::new(Repr::TimedOut { limit }))
    }

    #[cfg(feature = "disk")]
    pub(crate) fn disk(dir: &std::path::Path, source: std::io::Error) -> Self {
        Self(Arc::new(Repr::Disk { dir: dir.to_owned(), source }))
    }

    #[cfg(feature = "disk")]
    pub(crate) fn journal(source: Box<dyn std::error::Error + Send + Sync>) -> Self {
        Self(Arc::new(Repr::Journal(Arc::from(source))))
    }

    #[cfg(feature = "disk")]
    pub(crate) fn full(patience: Duration) -> Self {
        Self(Arc::new(Repr::Full { patience }))
    }

    #[cfg(feature = "disk")]
    pub(crate) fn closed() -> Self {
        Self(Arc::new(Repr::Closed))
    }
}
