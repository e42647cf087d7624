//! What a running job knows of itself: its number, its attempt, whether it is to stop, and where it says how far it is.

use tokio::sync::watch;

use crate::task::Work;

/// Given to the closure of each attempt.
#[derive(Clone)]
pub struct JobContext {
    task: Work,
}

/// How far a job is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    /// 0 to 1.
    pub fraction: f64,
    /// What it does.
    pub message: String,
}

/// Follows the progress of one job.
#[derive(Clone, Debug)]
pub struct ProgressWatch(watch::Receiver<Progress>);

impl JobContext {
    #[inline]
    pub(crate) fn new(task: Work) -> Self {
        Self { task }
    }

    /// The job's number.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.task.header().id()
    }

    /// This attempt, from 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.task.header().attempt()
    }

    /// Its label.
    #[must_use]
    pub fn label(&self) -> Option<&str> {
        self.task.header().options()?.label.as_deref()
    }

    /// Whether somebody asked it to stop.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.task.header().life.is_cancelled()
    }

    /// Ready once somebody asks it to stop. With a `cancel_grace` the job may then clean up.
    pub async fn cancelled(&self) {
        self.task.header().cancelled().await;
    }

    /// Says how far it is; `fraction` is clamped to 0..=1.
    pub fn progress(&self, fraction: f64, message: impl Into<String>) {
        let fraction = if fraction.is_nan() { 0.0 } else { fraction.clamp(0.0, 1.0) };
        self.task.header().extra().progress().send_replace(Progress { fraction, message: message.into() });
    }
}

impl std::fmt::Debug for JobContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JobContext").field("id", &self.id()).field("attempt", &self.attempt()).finish()
    }
}

impl ProgressWatch {
    pub(crate) fn new(receiver: watch::Receiver<Progress>) -> Self {
        Self(receiver)
    }

    /// The last word.
    #[must_use]
    pub fn get(&mut self) -> Progress {
        self.0.borrow_and_update().clone()
    }

    /// The next word; `None` once the job is gone.
    pub async fn next(&mut self) -> Option<Progress> {
        self.0.changed().await.ok()?;
        Some(self.get())
    }
}
