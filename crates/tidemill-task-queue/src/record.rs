//! What is known of a task: where it stands, what it carries, how its attempts ended.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::{TaskId, Token};
use crate::priority::Priority;
use crate::timestamp::Timestamp;

/// The most failures that a record remembers, the newest.
pub const MAX_FAILURES: usize = 16;
/// The most bytes of a failure's text or of a progress message.
pub const MAX_TEXT: usize = 2048;

/// Where a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It waits for a worker.
    Ready,
    /// It waits for its time: run-at, or the next attempt.
    Delayed,
    /// A worker has it.
    Running,
    /// It ended with its result.
    Done,
    /// A dead letter: it failed for good, and waits to be looked at and replayed.
    Dead,
    /// It was cancelled.
    Cancelled,
}

impl State {
    /// Whether it has ended.
    pub fn is_finished(self) -> bool {
        matches!(self, Self::Done | Self::Dead | Self::Cancelled)
    }

    /// Its name, as it is written in filters.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Delayed => "delayed",
            Self::Running => "running",
            Self::Done => "done",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
        }
    }

    /// The number that stands in the `state` column.
    pub(crate) fn code(self) -> i64 {
        self as i64
    }

    pub(crate) fn from_code(code: i64) -> Option<Self> {
        [Self::Ready, Self::Delayed, Self::Running, Self::Done, Self::Dead, Self::Cancelled]
            .into_iter()
            .find(|state| state.code() == code)
    }
}

/// One attempt that did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Which attempt, from 1.
    pub attempt: u32,
    /// When it ended.
    pub at: Timestamp,
    /// What it said, at most [`MAX_TEXT`] bytes.
    pub error: String,
}

/// How far a running task says it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// 0 to 1.
    pub fraction: f64,
    /// In words, at most [`MAX_TEXT`] bytes.
    pub message: String,
}

/// A task as it stands in the store.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Record {
    /// Its id.
    pub id: TaskId,
    /// Its queue.
    pub queue: String,
    /// The name of its type.
    pub name: String,
    /// The version of the payload's schema.
    pub version: u32,
    /// Where it stands.
    pub state: State,
    /// How urgent it is.
    pub priority: Priority,
    /// Not before.
    pub run_at: Timestamp,
    /// Attempts so far.
    pub attempt: u32,
    /// Retries after the first attempt.
    pub max_retries: u32,
    /// How long an attempt may take.
    #[serde(rename = "timeout_ms", serialize_with = "millis")]
    pub timeout: Duration,
    /// No second one with this key while it is not finished.
    pub unique_key: Option<String>,
    /// The group whose caps hold.
    pub group: Option<String>,
    /// Its cancel was asked for while it ran.
    pub cancel: bool,
    /// When it was accepted.
    pub enqueued_at: Timestamp,
    /// When the newest attempt began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// The newest run.
    pub token: Token,
    /// Who runs it, or ran it last.
    pub owner: Option<String>,
    /// Until when it is that worker's without a heartbeat.
    pub lease_until: Option<Timestamp>,
    /// What it said last.
    pub progress: Option<Progress>,
    /// How attempts failed, the oldest first, at most [`MAX_FAILURES`].
    pub failures: Vec<Failure>,
    /// Why it is a dead letter.
    pub reason: Option<String>,
    /// JSON.
    pub payload: String,
    /// JSON.
    pub result: Option<String>,
}

/// Which tasks are listed; all conditions hold together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this queue.
    pub queue: Option<String>,
    /// Of this name.
    pub name: Option<String>,
    /// In this state.
    pub state: Option<State>,
    /// With ids below this one: the last of the page before.
    pub before: Option<TaskId>,
    /// So many; 0 means 100, the most is 1000.
    pub limit: usize,
}

impl Filter {
    /// What a page holds at most.
    pub fn page(&self) -> usize {
        if self.limit == 0 { 100 } else { self.limit.min(1000) }
    }

    /// Whether a record passes, the page apart.
    pub fn accepts(&self, record: &Record) -> bool {
        self.queue.as_ref().is_none_or(|queue| *queue == record.queue)
            && self.name.as_ref().is_none_or(|name| *name == record.name)
            && self.state.is_none_or(|state| state == record.state)
            && self.before.is_none_or(|before| record.id < before)
    }
}

/// A text cut to [`MAX_TEXT`] bytes, at a character.
pub(crate) fn cut(mut text: String) -> String {
    if text.len() > MAX_TEXT {
        let end = (0..=MAX_TEXT).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
        text.truncate(end);
    }
    // A zero byte is no text for a database.
    if text.contains('\0') { text.replace('\0', " ") } else { text }
}

/// Adds a failure and forgets the oldest beyond the bound.
pub(crate) fn remember(failures: &mut Vec<Failure>, failure: Failure) {
    failures.push(failure);
    let beyond = failures.len().saturating_sub(MAX_FAILURES);
    failures.drain(..beyond);
}

fn millis<S: serde::Serializer>(span: &Duration, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_u64(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
}
