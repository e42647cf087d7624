//! What can go wrong, and what the caller should do about it.

use std::{io, path::Path, path::PathBuf, time::Duration};

/// An error of the journal or of its disk.
#[derive(Debug)]
pub struct Error(Box<Reason>);

/// What the caller should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A setting is out of its bounds: fix it.
    Config,
    /// The payload is longer than `max_frame_bytes`: split it.
    TooLarge,
    /// The disk refused: nothing acknowledged is lost; free space or repair the disk, then try again.
    Disk,
    /// What was durable can no longer be read: restore it, or open with `on_corruption = "set-aside"`.
    Corrupt,
    /// The file was written by a later version: upgrade.
    Version,
    /// The caller's replay function failed; its error is the source.
    Replay,
}

#[derive(Debug, thiserror::Error)]
enum Reason {
    #[error("{0}")]
    Config(&'static str),
    #[error("a frame of {len} bytes is longer than max_frame_bytes = {max}")]
    TooLarge { len: usize, max: u32 },
    #[error("cannot {what} {}", path.display())]
    Disk { what: &'static str, path: PathBuf, source: io::Error },
    #[error("{}: {detail}", path.display())]
    Corrupt { path: PathBuf, detail: String },
    #[error("{} has format version {found}, this program reads up to {known}", path.display())]
    Version { path: PathBuf, found: u16, known: u16 },
    #[error("replay stopped at frame {seq}")]
    Replay { seq: u64, source: Box<dyn std::error::Error + Send + Sync> },
}

impl Error {
    /// What the caller should do.
    pub fn kind(&self) -> ErrorKind {
        match *self.0 {
            Reason::Config(_) => ErrorKind::Config,
            Reason::TooLarge { .. } => ErrorKind::TooLarge,
            Reason::Disk { .. } => ErrorKind::Disk,
            Reason::Corrupt { .. } => ErrorKind::Corrupt,
            Reason::Version { .. } => ErrorKind::Version,
            Reason::Replay { .. } => ErrorKind::Replay,
        }
    }

    /// True when the same call may succeed later without a change by the caller.
    pub fn is_retryable(&self) -> bool {
        self.kind() == ErrorKind::Disk
    }

    /// A journal never knows when a disk recovers.
    pub fn retry_after(&self) -> Option<Duration> {
        None
    }

    /// An error of the disk, for callers that drive a [`Disk`](crate::Disk) themselves.
    pub fn disk(what: &'static str, path: &Path, source: io::Error) -> Self {
        Self(Box::new(Reason::Disk { what, path: path.to_owned(), source }))
    }

    pub(crate) fn config(text: &'static str) -> Self {
        Self(Box::new(Reason::Config(text)))
    }

    pub(crate) fn too_large(len: usize, max: u32) -> Self {
        Self(Box::new(Reason::TooLarge { len, max }))
    }

    pub(crate) fn corrupt(path: &Path, detail: String) -> Self {
        Self(Box::new(Reason::Corrupt { path: path.to_owned(), detail }))
    }

    pub(crate) fn version(path: &Path, found: u16, known: u16) -> Self {
        Self(Box::new(Reason::Version { path: path.to_owned(), found, known }))
    }

    pub(crate) fn replay(seq: u64, source: Box<dyn std::error::Error + Send + Sync>) -> Self {
        Self(Box::new(Reason::Replay { seq, source }))
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
