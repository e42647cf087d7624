//! What can go wrong with a cache, and what the caller should do about it.

use std::sync::Arc;
use std::time::Duration;

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
}

#[derive(Debug, thiserror::Error)]
enum Repr {
    #[error("config field `{field}`: {reason}")]
    Config { field: &'static str, reason: String },
    #[error("{store} cannot {what}: use the default store")]
    Unsupported { store: &'static str, what: &'static str },
}

impl Error {
    /// What the caller should do.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match *self.0 {
            Repr::Config { .. } => ErrorKind::Config,
            Repr::Unsupported { .. } => ErrorKind::Unsupported,
        }
    }

    /// Whether the same call may succeed later. Of a loader's own error the cache knows nothing: look at the source.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        false
    }

    /// A cache never knows when a loader recovers.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        None
    }

    pub(crate) fn config(field: &'static str, reason: String) -> Self {
        Self(Arc::new(Repr::Config { field, reason }))
    }

    pub(crate) fn unsupported(store: &'static str, what: &'static str) -> Self {
        Self(Arc::new(Repr::Unsupported { store, what }))
    }
}
