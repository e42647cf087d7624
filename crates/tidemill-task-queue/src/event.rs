//! What a listener is told while tasks run.

use std::sync::Arc;
use std::time::Duration;

use crate::id::TaskId;
use crate::priority::Priority;

/// One thing that happened to a task in a worker of this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Which task.
    pub id: TaskId,
    /// Its queue.
    pub queue: String,
    /// The name of its type.
    pub name: String,
    /// How urgent it is.
    pub priority: Priority,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// What happened.
    pub kind: EventKind,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind {
    /// It begins, so long after it was ready: the queue latency.
    Started {
        /// From when it was ready to now.
        waited: Duration,
    },
    /// It ended with its result.
    Done {
        /// From its begin to now.
        took: Duration,
    },
    /// It failed and is tried again.
    Retried {
        /// From its begin to now.
        took: Duration,
        /// Until the next attempt.
        delay: Duration,
        /// What it said.
        error: String,
    },
    /// It is a dead letter.
    Dead {
        /// From its begin to now.
        took: Duration,
        /// Why.
        reason: String,
    },
    /// It was cancelled.
    Cancelled,
    /// It was given back without counting the attempt: a shutdown, or no handler knows its name.
    Released,
    /// Its end was refused: another run is current. What it did may have been done twice.
    Refused,
    /// The store was not reached in time to say how it ended; it will run again.
    Unsaid,
}

/// Who is told; called on the worker's task, so it must not block.
pub(crate) type Listener = Arc<dyn Fn(&Event) + Send + Sync>;
