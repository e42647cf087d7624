//! What a caller hands in: a closure that makes one attempt, and how it is to be treated.

use std::sync::Arc;
use std::time::Duration;

use crate::priority::Priority;
use crate::queue::nanos;
use crate::retry::Retry;

/// Work for a pool. The closure is called once for each attempt.
///
/// ```
/// use std::time::Duration;
/// use tidemill_worker_pool::{Job, JobContext, JobError, Priority, Retry};
///
/// let job = Job::new(|ctx: JobContext| async move {
///     if ctx.attempt() < 2 { return Err(JobError::retriable("not yet")) }
///     Ok(42)
/// })
/// .priority(Priority::High)
/// .timeout(Duration::from_secs(30))
/// .retry(Retry::STANDARD)
/// .group("vendor")
/// .label("AAPL");
/// # drop(job);
/// ```
pub struct Job<F> {
    pub(crate) make: F,
    pub(crate) priority: Priority,
    pub(crate) group: Option<Arc<str>>,
    /// Nanoseconds; the largest number for no limit.
    pub(crate) timeout: u64,
    pub(crate) options: Option<Box<Options>>,
}

/// What most jobs leave alone; boxed so that a queued job stays small.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) deadline: Option<Duration>,
    pub(crate) retry: Retry,
    pub(crate) label: Option<Arc<str>>,
}

impl<F> Job<F> {
    /// A job of NORMAL priority without group, timeout or retry.
    pub fn new(make: F) -> Self {
        Self { make, priority: Priority::default(), group: None, timeout: u64::MAX, options: None }
    }

    /// How urgent it is.
    #[must_use]
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// How long one attempt may take. An attempt that takes longer is dropped and may be retried.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = nanos(timeout);
        self
    }

    /// How long it may take from `submit` to its end, waiting and retries included.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.options().deadline = Some(deadline);
        self
    }

    /// When and how often it is tried again after a retriable error or a timeout; never after a panic.
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.options().retry = retry;
        self
    }

    /// Whose it is: groups share the workers fairly.
    #[must_use]
    pub fn group(mut self, group: impl Into<Arc<str>>) -> Self {
        self.group = Some(group.into());
        self
    }

    /// A name for events and reports.
    #[must_use]
    pub fn label(mut self, label: impl Into<Arc<str>>) -> Self {
        self.options().label = Some(label.into());
        self
    }

    fn options(&mut self) -> &mut Options {
        self.options
            .get_or_insert_with(|| Box::new(Options { deadline: None, retry: Retry::NONE, label: None }))
    }
}

impl<F> std::fmt::Debug for Job<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job")
            .field("priority", &self.priority)
            .field("group", &self.group)
            .field("timeout", &(self.timeout < u64::MAX).then(|| Duration::from_nanos(self.timeout)))
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
