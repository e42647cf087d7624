//! What is looked at: the parts that cost more can be left out.

use std::path::PathBuf;

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

/// Settings of [`Facts`](crate::Facts).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FactsConfig {
    /// What stands for `/`: a machine's root that is mounted into a container. Default `/`.
    pub root: PathBuf,
    /// The most processors looked at. Default 1024.
    pub max_cpus: usize,
    /// The most devices of each sort looked at: disks, network interfaces, sensors. Default 256.
    pub max_devices: usize,
    /// The most file systems asked for their size. Default 64.
    pub max_mounts: usize,
    /// The most facts told. Default 20000.
    pub max_facts: usize,
    /// Files of network interfaces, and as many of processors' frequencies, that are kept open; of more devices each is
    /// opened every time. Some 35 other files are always kept open. Default 256.
    pub max_open_files: usize,
}

impl Default for FactsConfig {
    fn default() -> Self {
        Self {
            root: PathBuf::from("/"),
            max_cpus: 1024,
            max_devices: 256,
            max_mounts: 64,
            max_facts: 20_000,
            max_open_files: 256,
        }
    }
}

impl FactsConfig {
    pub(crate) fn check(&self) -> Result<(), Error> {
        for (field, value, least, most) in [
            ("max_cpus", self.max_cpus, 1, 8192),
            ("max_devices", self.max_devices, 1, 4096),
            ("max_mounts", self.max_mounts, 1, 4096),
            ("max_facts", self.max_facts, 1, 1_000_000),
            ("max_open_files", self.max_open_files, 0, 65_536),
        ] {
            if !(least..=most).contains(&value) {
                return Err(Error::config(field, format!("{value} is not within {least} to {most}")));
            }
        }
        if !self.root.is_absolute() {
            return Err(Error::config("root", format!("{} must begin with /", self.root.display())));
        }
        Ok(())
    }
}
