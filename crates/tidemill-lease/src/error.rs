//! What can go wrong, told as what the caller should do about it.

use std::fmt;
use std::time::Duration;

use crate::lease::Epoch;
use crate::name::{Name, Owner};

/// The error of this crate; ask [`kind`](Self::kind) what to do.
pub struct Error(Box<Cause>);

/// What the caller should do about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Another owner has the lease: wait for [`Error::retry_after`].
    Held,
    /// The epoch is not the current one, or was given back: stop acting at once; acquire anew if it is still wanted.
    Stale,
    /// Others wrote the same lease again and again in between: retry.
    Contended,
    /// The store did not answer, or answered with a fault of the moment: retry. Whether the write happened is not
    /// known, and asking again is safe.
    Unavailable,
    /// So many former owners have not said that they stopped as a record can hold: confirm those that are known to
    /// be gone.
    Unconfirmed,
    /// The store holds as many names as it may: use fewer, or raise its bound.
    Full,
    /// An argument is out of bounds: fix what the text names.
    Input,
    /// The configuration is wrong: fix the field that the text names.
    Config,
    /// The store was written by a newer version, or is not one of ours: use a newer program or another place.
    Schema,
    /// It was closed: stop.
    Closed,
}

impl Error {
    /// What the caller should do.
    pub fn kind(&self) -> ErrorKind {
        match *self.0 {
            Cause::Held { .. } => ErrorKind::Held,
            Cause::Stale { .. } | Cause::NeverHeld { .. } => ErrorKind::Stale,
            Cause::Contended { .. } => ErrorKind::Contended,
            Cause::Unavailable { .. } | Cause::Late { .. } => ErrorKind::Unavailable,
            Cause::Unconfirmed { .. } => ErrorKind::Unconfirmed,
            Cause::Full { .. } => ErrorKind::Full,
            Cause::Input { .. } => ErrorKind::Input,
            Cause::Config { .. } => ErrorKind::Config,
            Cause::Schema { .. } => ErrorKind::Schema,
            Cause::Closed => ErrorKind::Closed,
        }
    }

    /// Whether the same call may succeed later without anything being repaired.
    pub fn is_retryable(&self) -> bool {
        matches!(self.kind(), ErrorKind::Held | ErrorKind::Contended | ErrorKind::Unavailable)
    }

    /// When a retry may succeed, where that is known: for a held lease, when its term ends unless it is renewed.
    pub fn retry_after(&self) -> Option<Duration> {
        match *self.0 {
            Cause::Held { remaining, .. } => Some(remaining),
            _ => None,
        }
    }

    /// A store of another crate could not do its work; `doing` is a verb such as "read the lease".
    pub fn unavailable(
        doing: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Cause::Unavailable { doing, source: source.into() }.into()
    }

    /// A store of another crate found what it cannot read: a newer version's record, or none of ours.
    pub fn schema(why: impl Into<String>) -> Self {
        Cause::Schema { why: why.into() }.into()
    }

    /// A store of another crate holds `names` leases and may hold no more.
    pub fn full(names: u64) -> Self {
        Cause::Full { names }.into()
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Cause {
    #[error("{owner} holds the lease at epoch {epoch} for another {} ms unless it renews; wait", remaining.as_millis())]
    Held { owner: Owner, epoch: Epoch, remaining: Duration },
    #[error("epoch {asked} of {name} is stale: it stands at epoch {current} ({owner}); stop acting")]
    Stale { name: Name, asked: Epoch, current: Epoch, owner: Owner },
    #[error("epoch {asked} of {name} was never given: nobody has held it; acquire it first")]
    NeverHeld { name: Name, asked: Epoch },
    #[error("{name} was written by others {tries} times in between; retry")]
    Contended { name: Name, tries: u32 },
    #[error("the lease store could not {doing}")]
    Unavailable { doing: &'static str, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("the lease store did not answer within {} ms; retry", timeout.as_millis())]
    Late { timeout: Duration },
    #[error(
        "{former} former owners of {name} have not confirmed that they stopped; confirm those that are gone"
    )]
    Unconfirmed { name: Name, former: usize },
    #[error("the lease store holds {names} names, which is its bound")]
    Full { names: u64 },
    #[error("the {what} {why}")]
    Input { what: &'static str, why: &'static str },
    #[error("`{field}` {why}")]
    Config { field: &'static str, why: &'static str },
    #[error("the lease store {why}")]
    Schema { why: String },
    #[error("the lease store is closed")]
    #[cfg_attr(not(feature = "postgres"), expect(dead_code, reason = "only a connection is closed"))]
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
