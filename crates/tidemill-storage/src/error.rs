//! What can go wrong, and what the caller should do about it.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

/// An error of a store.
#[derive(Debug)]
pub struct Error(Box<Reason>);

/// What the caller should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A setting or a table declaration is wrong: fix it.
    Config,
    /// The rows given do not fit the table: fix them. Nothing was stored.
    Input,
    /// Another process writes to this store: its pid is in the text.
    Locked,
    /// Too much is unpublished: publish, then try again. Nothing was stored.
    Full,
    /// The disk refused: nothing acknowledged is lost; free space or repair the disk, then try again.
    Disk,
    /// A file is not what was written: restore it.
    Corrupt,
    /// The store was closed.
    Closed,
    /// The object store did not answer as it should: nothing acknowledged is lost; try again.
    Remote,
    /// Another writer took the table over in the object store: stop, and go on from what it wrote.
    Stale,
}

#[derive(Debug, thiserror::Error)]
enum Reason {
    #[error("{0}")]
    Config(String),
    #[error("table {table}: {detail}")]
    Input { table: String, detail: String },
    #[error("{} is being written by {holder}; stop that process or open read-only", dir.display())]
    Locked { dir: PathBuf, holder: String },
    #[error("table {table} holds {bytes} unpublished bytes; publish, then commit again")]
    Full { table: String, bytes: u64 },
    #[error("cannot {what} {}", path.display())]
    Disk { what: &'static str, path: PathBuf, source: io::Error },
    #[error("{}: {detail}", path.display())]
    Corrupt { path: PathBuf, detail: String },
    #[error("cannot {what} {}", path.display())]
    Parquet { what: &'static str, path: PathBuf, source: parquet::errors::ParquetError },
    #[error("the journal failed")]
    Journal { source: tidemill_journal::Error },
    #[cfg(feature = "s3")]
    #[error("cannot {what} {place}")]
    Remote { what: &'static str, place: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[cfg(feature = "s3")]
    #[error(
        "{place} was written by another store; nothing was changed there: stop this writer, or restore what stands there into an empty folder and go on from it"
    )]
    Stale { place: String },
    #[error(transparent)]
    Shared(std::sync::Arc<Error>),
    #[error("the store is closed")]
    Closed,
    #[error("a concurrent commit that led the group panicked")]
    Abandoned,
}

impl Error {
    /// What the caller should do.
    pub fn kind(&self) -> ErrorKind {
        use tidemill_journal::ErrorKind as Journal;
        match &*self.0 {
            Reason::Config(_) => ErrorKind::Config,
            Reason::Input { .. } => ErrorKind::Input,
            Reason::Locked { .. } => ErrorKind::Locked,
            Reason::Full { .. } => ErrorKind::Full,
            Reason::Disk { .. } | Reason::Abandoned => ErrorKind::Disk,
            // The encoder writes through our disk and wraps its errors.
            Reason::Parquet { source: parquet::errors::ParquetError::External(e), .. }
                if e.is::<io::Error>() =>
            {
                ErrorKind::Disk
            }
            Reason::Corrupt { .. } | Reason::Parquet { .. } => ErrorKind::Corrupt,
            Reason::Journal { source } => match source.kind() {
                Journal::Config => ErrorKind::Config,
                Journal::TooLarge => ErrorKind::Input,
                Journal::Disk => ErrorKind::Disk,
                _ => ErrorKind::Corrupt,
            },
            #[cfg(feature = "s3")]
            Reason::Remote { .. } => ErrorKind::Remote,
            #[cfg(feature = "s3")]
            Reason::Stale { .. } => ErrorKind::Stale,
            Reason::Shared(error) => error.kind(),
            Reason::Closed => ErrorKind::Closed,
        }
    }

    /// True when the same call may succeed later without a change by the caller.
    pub fn is_retryable(&self) -> bool {
        matches!(self.kind(), ErrorKind::Disk | ErrorKind::Full | ErrorKind::Locked | ErrorKind::Remote)
    }

    /// A store never knows when.
    pub fn retry_after(&self) -> Option<Duration> {
        None
    }

    pub(crate) fn config(text: impl Into<String>) -> Self {
        Self(Box::new(Reason::Config(text.into())))
    }

    pub(crate) fn input(table: &str, detail: impl Into<String>) -> Self {
        Self(Box::new(Reason::Input { table: table.into(), detail: detail.into() }))
    }

    pub(crate) fn locked(dir: &Path, holder: String) -> Self {
        Self(Box::new(Reason::Locked { dir: dir.into(), holder }))
    }

    pub(crate) fn full(table: &str, bytes: u64) -> Self {
        Self(Box::new(Reason::Full { table: table.into(), bytes }))
    }

    pub(crate) fn disk(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self(Box::new(Reason::Disk { what, path: path.into(), source }))
    }

    pub(crate) fn corrupt(path: &Path, detail: impl Into<String>) -> Self {
        Self(Box::new(Reason::Corrupt { path: path.into(), detail: detail.into() }))
    }

    pub(crate) fn parquet(
        what: &'static str,
        path: &Path,
    ) -> impl FnOnce(parquet::errors::ParquetError) -> Self {
        move |source| Self(Box::new(Reason::Parquet { what, path: path.into(), source }))
    }

    #[cfg(feature = "s3")]
    pub(crate) fn remote(
        what: &'static str,
        place: &str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self(Box::new(Reason::Remote { what, place: place.into(), source: source.into() }))
    }

    #[cfg(feature = "s3")]
    pub(crate) fn stale(place: &str) -> Self {
        Self(Box::new(Reason::Stale { place: place.into() }))
    }

    /// One failure told to everyone in a group.
    pub(crate) fn shared(error: std::sync::Arc<Self>) -> Self {
        Self(Box::new(Reason::Shared(error)))
    }

    pub(crate) fn closed() -> Self {
        Self(Box::new(Reason::Closed))
    }

    pub(crate) fn abandoned() -> Self {
        Self(Box::new(Reason::Abandoned))
    }
}

impl From<tidemill_journal::Error> for Error {
    fn from(source: tidemill_journal::Error) -> Self {
        Self(Box::new(Reason::Journal { source }))
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&*self.0)
    }
}
