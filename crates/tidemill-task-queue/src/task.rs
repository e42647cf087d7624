//! What a task is, declared once: its name, its payload, and how it is to be treated.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::config::span;
use crate::error::{Cause, Error, TaskError};
use crate::id::check_name;
use crate::priority::Priority;
use crate::retry::Backoff;
use crate::timestamp::Timestamp;

/// A kind of task. The type is the payload; a value of it is one task.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use tidemill_task_queue::{Options, Priority, Task};
///
/// #[derive(Serialize, Deserialize)]
/// struct DailyReport { account: u32 }
///
/// impl Task for DailyReport {
///     const NAME: &'static str = "daily-report";
///     type Output = String;
///     fn options() -> Options { Options { priority: Priority::Low, ..Options::default() } }
///     fn unique_key(&self) -> Option<String> { Some(self.account.to_string()) }
/// }
/// ```
pub trait Task: Serialize + DeserializeOwned + Send + 'static {
    /// Its name in the store: never changed, never used for another kind.
    const NAME: &'static str;
    /// The version of the payload's schema.
    const VERSION: u32 = 1;
    /// What it returns.
    type Output: Serialize + DeserializeOwned + Send + 'static;

    /// How tasks of this kind are treated.
    fn options() -> Options {
        Options::default()
    }

    /// While one with this key is not finished, another is not enqueued; the caller gets the first one's id.
    fn unique_key(&self) -> Option<String> {
        None
    }

    /// The group whose caps hold for it, such as a provider or a customer.
    fn group(&self) -> Option<String> {
        None
    }

    /// Reads a payload of `version`; override it to read older ones.
    ///
    /// # Errors
    /// Any text; the task becomes a dead letter with it, so that nothing is lost.
    fn read(version: u32, payload: &str) -> Result<Self, String> {
        if version != Self::VERSION {
            return Err(format!("its schema has version {version}, this program reads {}", Self::VERSION));
        }
        serde_json::from_str(payload).map_err(|error| error.to_string())
    }
}

/// What a handler returns; for the attribute, which must name the output of a function.
pub trait TaskResult {
    /// What it returns when it succeeds.
    type Output;
}

impl<T> TaskResult for Result<T, TaskError> {
    type Output = T;
}

/// How tasks of a kind are treated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Whose workers run it. Default `"default"`.
    pub queue: String,
    /// How urgent it is. Default NORMAL.
    pub priority: Priority,
    /// Retries after the first attempt. Default 3.
    pub max_retries: u32,
    /// How long an attempt may take. Default 300 s.
    pub timeout: Duration,
    /// How long between attempts. Default [`Backoff::STANDARD`].
    pub backoff: Backoff,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            queue: "default".to_owned(),
            priority: Priority::Normal,
            max_retries: 3,
            timeout: Duration::from_secs(300),
            backoff: Backoff::STANDARD,
        }
    }
}

/// A task that is about to be enqueued, with whatever is special about this one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Draft {
    pub(crate) name: String,
    #[serde(default = "one")]
    pub(crate) version: u32,
    pub(crate) payload: String,
    #[serde(default = "queue")]
    pub(crate) queue: String,
    #[serde(default)]
    pub(crate) priority: Priority,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) run_at: Option<Timestamp>,
    #[serde(default = "retries")]
    pub(crate) max_retries: u32,
    #[serde(default = "timeout", with = "span")]
    pub(crate) timeout: Duration,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) unique_key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) group: Option<String>,
}

fn one() -> u32 {
    1
}

fn queue() -> String {
    Options::default().queue
}

fn retries() -> u32 {
    Options::default().max_retries
}

fn timeout() -> Duration {
    Options::default().timeout
}

impl Draft {
    /// Of a declared task.
    ///
    /// # Errors
    /// `Input` when the payload cannot be written as JSON.
    pub fn of<T: Task>(task: &T) -> Result<Self, Error> {
        let payload = serde_json::to_string(task).map_err(|source| Cause::Payload {
            name: T::NAME.to_owned(),
            doing: "cannot be written as JSON",
            source: Some(source),
        })?;
        let draft = Self::raw(T::NAME, T::VERSION, payload).options(T::options());
        Ok(Self { unique_key: task.unique_key(), group: task.group(), ..draft })
    }

    /// Of a task whose type is not at hand; `payload` is JSON.
    pub fn raw(name: impl Into<String>, version: u32, payload: impl Into<String>) -> Self {
        let Options { queue, priority, max_retries, timeout, .. } = Options::default();
        Self {
            queue,
            name: name.into(),
            version,
            payload: payload.into(),
            priority,
            run_at: None,
            max_retries,
            timeout,
            unique_key: None,
            group: None,
        }
    }

    /// All options of a kind; the backoff is the worker's to know.
    #[must_use]
    pub fn options(self, options: Options) -> Self {
        let Options { queue, priority, max_retries, timeout, .. } = options;
        Self { queue, priority, max_retries, timeout, ..self }
    }

    /// Into another queue.
    #[must_use]
    pub fn queue(self, queue: impl Into<String>) -> Self {
        Self { queue: queue.into(), ..self }
    }

    /// With another priority.
    #[must_use]
    pub fn priority(self, priority: Priority) -> Self {
        Self { priority, ..self }
    }

    /// Not before this time.
    #[must_use]
    pub fn run_at(self, at: impl Into<Timestamp>) -> Self {
        Self { run_at: Some(at.into()), ..self }
    }

    /// With so many retries.
    #[must_use]
    pub fn max_retries(self, max_retries: u32) -> Self {
        Self { max_retries, ..self }
    }

    /// With another timeout of an attempt.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// With a unique key.
    #[must_use]
    pub fn unique_key(self, key: impl Into<String>) -> Self {
        Self { unique_key: Some(key.into()), ..self }
    }

    /// Under the caps of a group.
    #[must_use]
    pub fn group(self, group: impl Into<String>) -> Self {
        Self { group: Some(group.into()), ..self }
    }

    /// Checks every bound.
    pub(crate) fn check(&self, max_payload: usize) -> Result<(), Error> {
        check_name("task name", &self.name)?;
        check_name("queue", &self.queue)?;
        self.unique_key.as_deref().map_or(Ok(()), |key| check_name("unique key", key))?;
        self.group.as_deref().map_or(Ok(()), |group| check_name("group", group))?;
        if self.payload.len() > max_payload {
            let why = "is longer than `max_payload`; store it elsewhere and enqueue where";
            return Err(Cause::Input { what: "payload", why }.into());
        }
        if self.payload.contains('\0') {
            return Err(Cause::Input { what: "payload", why: "must not hold a zero byte" }.into());
        }
        if self.timeout < Duration::from_millis(1) || self.timeout > Duration::from_secs(30 * 86_400) {
            return Err(Cause::Input { what: "timeout", why: "must lie between 1 ms and 30 days" }.into());
        }
        if self.max_retries > 1_000_000 {
            return Err(Cause::Input { what: "max_retries", why: "must be at most 1000000" }.into());
        }
        Ok(())
    }
}
