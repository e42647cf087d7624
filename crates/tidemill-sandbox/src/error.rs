//! What can go wrong in starting a sandbox.

use std::fmt;
use std::time::Duration;

/// An error of this crate; ask it for its [`kind`](Self::kind).
pub struct Error(Box<Cause>);

/// What the caller should do about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A setting is out of its bounds: change the configuration.
    Config,
    /// The bundled data cannot be read: the crate was built from a damaged copy.
    Data,
    /// The socket cannot be used: another address, or look at the cause.
    Io,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Cause {
    #[error("sandbox setting `{field}`: {problem}")]
    Config { field: String, problem: String },
    #[error("bundled bars cannot be read: {0}")]
    Data(&'static str),
    #[error("sandbox cannot serve on its socket")]
    Io(#[source] std::io::Error),
}

impl Error {
    /// What the caller should do.
    pub fn kind(&self) -> ErrorKind {
        match *self.0 {
            Cause::Config { .. } => ErrorKind::Config,
            Cause::Data(_) => ErrorKind::Data,
            Cause::Io(_) => ErrorKind::Io,
        }
    }

    /// Whether the same call may succeed later; no error of this crate passes by itself.
    pub fn is_retryable(&self) -> bool {
        false
    }

    /// When to try again; never known here.
    pub fn retry_after(&self) -> Option<Duration> {
        None
    }

    pub(crate) fn config(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Cause::Config { field: field.into(), problem: problem.into() }.into()
    }
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
        std::error::Error::source(&*self.0)
    }
}
