//! What a pool tells its one listener.

use std::sync::Arc;
use std::time::Duration;

use crate::error::ErrorKind;
use crate::priority::Priority;

/// Something happened to a job. The callback runs on the worker: keep it short.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Event {
    /// Which job.
    pub job: JobInfo,
    /// What happened.
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind {
    /// An attempt begins after this wait.
    Started {
        /// Time in the queue.
        waited: Duration,
    },
    /// An attempt held more heap than `recycle_bytes`.
    Memory {
        /// The most bytes it held at once.
        peak: u64,
    },
    /// An attempt failed; the next comes after this delay.
    Retrying {
        /// Time until the next attempt may begin.
        delay: Duration,
    },
    /// It ended with a value.
    Done {
        /// Time of the last attempt.
        ran: Duration,
    },
    /// It ended without one.
    Ended {
        /// Why.
        error: ErrorKind,
        /// Time of the last attempt.
        ran: Duration,
    },
}

/// Which job an event or a report speaks of.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobInfo {
    /// The number that [`JobHandle::id`](crate::JobHandle::id) gives.
    pub id: u64,
    /// Its label, if it has one.
    pub label: Option<Arc<str>>,
    /// Its group, or `default`.
    pub group: Arc<str>,
    /// Its priority.
    pub priority: Priority,
    /// Attempts begun.
    pub attempt: u32,
}
