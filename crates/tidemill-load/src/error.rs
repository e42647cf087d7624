//! Why a plan cannot be run, told as what to do about it.

use std::io;
use std::path::Path;
use std::time::Duration;

/// Why a plan was not run. What goes wrong *during* a run is no error: it is counted in the
/// [`Summary`](crate::Summary).
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Error(Box<Repr>);

/// What the caller should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The plan is wrong: fix the field that the text names.
    Plan,
    /// The target is not loopback and not declared as owned: load only what is yours.
    NotOwned,
    /// A file could not be read or written.
    File,
    /// The target's name could not be resolved.
    Resolve,
    /// This build lacks the feature that the plan needs.
    Feature,
    /// A thread or a runtime could not be started.
    System,
}

#[derive(Debug, thiserror::Error)]
enum Repr {
    #[error("plan field `{field}`: {reason}")]
    Plan { field: String, reason: String },
    #[error("{0}")]
    Toml(toml::de::Error),
    #[error("`{host}` is not this machine: add it to `target.owned` only if it is yours and you may load it")]
    NotOwned { host: String },
    #[error("cannot {doing} `{path}`: {source}")]
    File { doing: &'static str, path: String, source: io::Error },
    #[error("cannot resolve `{host}`: {source}")]
    Resolve { host: String, source: io::Error },
    #[error("`{what}` needs the feature `{feature}` of tidemill-load")]
    Feature { what: String, feature: &'static str },
    #[error("cannot {doing}: {source}")]
    System { doing: &'static str, source: io::Error },
}

impl Error {
    /// What the caller should do.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match *self.0 {
            Repr::Plan { .. } | Repr::Toml(_) => ErrorKind::Plan,
            Repr::NotOwned { .. } => ErrorKind::NotOwned,
            Repr::File { .. } => ErrorKind::File,
            Repr::Resolve { .. } => ErrorKind::Resolve,
            Repr::Feature { .. } => ErrorKind::Feature,
            Repr::System { .. } => ErrorKind::System,
        }
    }

    /// Whether the same call may succeed later without anything being repaired.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self.kind(), ErrorKind::Resolve | ErrorKind::System)
    }

    /// How long to wait before that; never known here.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        None
    }

    pub(crate) fn plan(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Repr::Plan { field: field.into(), reason: reason.into() }.into()
    }

    pub(crate) fn not_owned(host: &str) -> Self {
        Repr::NotOwned { host: host.to_owned() }.into()
    }

    pub(crate) fn file(doing: &'static str, path: &Path, source: io::Error) -> Self {
        Repr::File { doing, path: path.display().to_string(), source }.into()
    }

    pub(crate) fn resolve(host: &str, source: io::Error) -> Self {
        Repr::Resolve { host: host.to_owned(), source }.into()
    }

    #[cfg_attr(
        all(feature = "tls", feature = "http2", feature = "websocket"),
        expect(dead_code, reason = "this build lacks none")
    )]
    pub(crate) fn feature(what: impl Into<String>, feature: &'static str) -> Self {
        Repr::Feature { what: what.into(), feature }.into()
    }

    pub(crate) fn system(doing: &'static str, source: io::Error) -> Self {
        Repr::System { doing, source }.into()
    }
}

impl From<Repr> for Error {
    fn from(repr: Repr) -> Self {
        Self(Box::new(repr))
    }
}

impl From<toml::de::Error> for Error {
    fn from(error: toml::de::Error) -> Self {
        Repr::Toml(error).into()
    }
}
