//! What a running task knows and may say: its attempt, its key, its progress, whether to stop.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::id::{TaskId, Token};
use crate::record::{Progress, cut};
use crate::store::Claimed;
use crate::timestamp::Timestamp;

/// Handed to each attempt of a task.
#[derive(Clone, Debug)]
pub struct Context {
    shared: Arc<Seen>,
}

#[derive(Debug)]
pub(crate) struct Seen {
    id: TaskId,
    token: Token,
    attempt: u32,
    max_retries: u32,
    run_at: Timestamp,
    enqueued_at: Timestamp,
    timeout: Duration,
    progress: Mutex<(Option<Progress>, bool)>,
    stop: watch::Sender<Stop>,
}

/// What a run was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stop {
    /// Go on.
    No,
    /// Somebody asked for its cancel.
    Cancel,
    /// The worker shuts down and waits no longer.
    Shutdown,
    /// Another run is current.
    Lost,
}

impl Context {
    pub(crate) fn new(task: &Claimed) -> Self {
        Self {
            shared: Arc::new(Seen {
                id: task.id,
                token: task.token,
                attempt: task.attempt,
                max_retries: task.max_retries,
                run_at: task.run_at,
                enqueued_at: task.enqueued_at,
                timeout: task.timeout,
                progress: Mutex::new((None, false)),
                stop: watch::Sender::new(Stop::No),
            }),
        }
    }

    /// The task.
    pub fn id(&self) -> TaskId {
        self.shared.id
    }

    /// The fencing token of this run: rises with every run of the task. Hand it to what can refuse a smaller one.
    pub fn token(&self) -> Token {
        self.shared.token
    }

    /// The same for every run of the task, and of no other: for receivers that drop what they have seen.
    pub fn idempotency_key(&self) -> String {
        format!("task-{}-{}", self.shared.id, self.shared.enqueued_at.0)
    }

    /// Which attempt this is, from 1.
    pub fn attempt(&self) -> u32 {
        self.shared.attempt
    }

    /// Whether a failure now makes it a dead letter.
    pub fn is_last_attempt(&self) -> bool {
        self.shared.attempt > self.shared.max_retries
    }

    /// When it was to run: of a scheduled task, the time it is due.
    pub fn run_at(&self) -> Timestamp {
        self.shared.run_at
    }

    /// How long this attempt may take.
    pub fn timeout(&self) -> Duration {
        self.shared.timeout
    }

    /// Says how far it is, 0 to 1, and in words; kept within half a second, only the newest. Words are cut to 2048 bytes.
    pub fn progress(&self, fraction: f64, message: impl Into<String>) {
        let fraction = if fraction.is_finite() { fraction.clamp(0.0, 1.0) } else { 0.0 };
        let said = Progress { fraction, message: cut(message.into()) };
        *self.shared.progress.lock().unwrap_or_else(PoisonError::into_inner) = (Some(said), true);
    }

    /// Whether it should stop: its cancel was asked for, or another run is current.
    pub fn is_cancelled(&self) -> bool {
        *self.shared.stop.borrow() > Stop::No
    }

    /// Returns when it should stop. A task that then returns an error is cancelled; one that returns its result is done.
    pub async fn cancelled(&self) {
        self.until(Stop::Cancel).await;
    }

    pub(crate) async fn until(&self, least: Stop) -> Stop {
        let mut stop = self.shared.stop.subscribe();
        let told = stop.wait_for(|stop| *stop >= least).await;
        told.map_or(Stop::Lost, |stop| *stop)
    }

    pub(crate) fn stop(&self, why: Stop) {
        self.shared.stop.send_if_modified(|stop| {
            let newer = why > *stop;
            *stop = why.max(*stop);
            newer
        });
    }

    /// The newest progress if it was not told yet.
    pub(crate) fn news(&self) -> Option<Progress> {
        let mut progress = self.shared.progress.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut progress.1).then(|| progress.0.clone()).flatten()
    }
}
