//! What became of the jobs when a pool was closed.

use crate::event::JobInfo;

/// The end of a pool. Each accepted job either ended by itself or stands in one of the two lists, whose
/// handles get [`ErrorKind::Closed`](crate::ErrorKind::Closed).
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Report {
    /// Jobs that ended by themselves between the call of `close` and its end.
    pub ran: u64,
    /// Jobs that were waiting for a worker or for a next attempt at the deadline.
    pub returned: Vec<JobInfo>,
    /// Jobs that ran at the deadline and were dropped at their next await.
    pub unfinished: Vec<JobInfo>,
    /// Workers that did not stop, because their job blocks the thread without an await.
    pub stuck: usize,
}

impl Report {
    /// Whether every accepted job ended by itself.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.returned.is_empty() && self.unfinished.is_empty() && self.stuck == 0
    }
}
