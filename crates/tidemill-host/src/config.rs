//! What is looked at: the parts that cost more can be left out.

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// Settings of a [`Host`](crate::Host).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Look at the file systems. Default true.
    pub mounts: bool,
    /// The most file systems looked at. Default 64.
    pub max_mounts: usize,
    /// Count the open files of this process, which lists a directory. Default true.
    pub open_files: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { mounts: true, max_mounts: 64, open_files: true }
    }
}

impl Config {
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.max_mounts == 0 || self.max_mounts > 4096 {
            return Err(Error::config("max_mounts", format!("{} is not within 1 to 4096", self.max_mounts)));
        }
        Ok(())
    }
}
