//! What names a task, one run of it, and who runs it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Cause, Error};

/// The most bytes of a name: of a task, a queue, a group, an owner, a unique key, a schedule.
pub const MAX_NAME: usize = 128;

/// A task, for ever: never given twice by a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TaskId(pub u64);

/// One run of a task: rises with every claim, and only what carries the newest one is accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Token(pub u64);

/// Who claims tasks: unique for each life of a process, such as host, process id and start time.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Owner(String);

impl Owner {
    /// Checks the name.
    ///
    /// # Errors
    /// `Input` when it is empty, longer than [`MAX_NAME`] or holds control characters.
    pub fn try_new(name: impl Into<String>) -> Result<Self, Error> {
        let name = name.into();
        check_name("owner", &name)?;
        Ok(Self(name))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// 1 to [`MAX_NAME`] bytes without control characters.
pub(crate) fn check_name(what: &'static str, name: &str) -> Result<(), Error> {
    if name.is_empty() || name.len() > MAX_NAME {
        return Err(Cause::Input { what, why: "must have 1 to 128 bytes" }.into());
    }
    if name.chars().any(char::is_control) {
        return Err(Cause::Input { what, why: "must not hold control characters" }.into());
    }
    Ok(())
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for TaskId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let id = text.parse().ok().filter(|id| *id <= i64::MAX as u64);
        id.map(Self).ok_or_else(|| Cause::Input { what: "task id", why: "must be a whole number" }.into())
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
