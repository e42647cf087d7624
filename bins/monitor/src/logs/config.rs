//! Which logs are read, and everything that bounds them, as plain data.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::pattern::{Pattern, Patterns};

/// A `[logs]` table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What is read. Default nothing. At most 64.
    pub source: Vec<Source>,
    /// What alerts when it is seen. At most 100.
    pub pattern: Vec<Pattern>,
    /// How often files are looked at. Default 1 s.
    #[serde(with = "humantime_serde")]
    pub interval: Duration,
    /// Bytes of one line; what is longer is cut. Default 16 KiB.
    pub max_line: usize,
    /// Bytes read of one file at a look, so that a flood of one delays no other. Default 4 MiB.
    pub max_read: usize,
    /// Lines kept in memory. Default 10000.
    pub memory_lines: usize,
    /// Bytes kept in memory. Default 8 MiB.
    pub memory_bytes: usize,
    /// Bytes kept on disk; 0 keeps none. Default 256 MiB.
    pub disk_bytes: u64,
    /// How long they are kept on disk. Default 7 days.
    #[serde(with = "humantime_serde")]
    pub retention: Duration,
    /// Kinds of lines that are told apart. Default 1000.
    pub max_clusters: usize,
    /// So long after the first start every kind of line is taken for usual; then a new one is shown as new. Default 10 min.
    #[serde(with = "humantime_serde")]
    pub learn: Duration,
    /// Bytes on disk that one search looks through. Default 64 MiB.
    pub max_search: u64,
}

/// A `[[logs.source]]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Unique; shown with each line.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// Where the first look begins: `end`, or `start` for what stands there already. Default `end`.
    #[serde(default)]
    pub from: Start,
}

/// Where to begin in a file that was never read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Start {
    /// Only what is added from now on.
    #[default]
    End,
    /// All of it.
    Start,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            source: Vec::new(),
            pattern: Vec::new(),
            interval: Duration::from_secs(1),
            max_line: 16 << 10,
            max_read: 4 << 20,
            memory_lines: 10_000,
            memory_bytes: 8 << 20,
            disk_bytes: 256 << 20,
            retention: Duration::from_secs(7 * 86_400),
            max_clusters: 1000,
            learn: Duration::from_secs(600),
            max_search: 64 << 20,
        }
    }
}

impl Config {
    /// Checks every bound; the error names the field.
    ///
    /// # Errors
    /// The first field that is wrong, and what it wants.
    pub fn validate(&self) -> Result<(), String> {
        let checks = [
            ("source", self.source.len() <= 64, "at most 64"),
            ("pattern", self.pattern.len() <= 100, "at most 100"),
            (
                "interval",
                self.interval >= Duration::from_millis(10) && self.interval <= Duration::from_secs(3600),
                "must be 10 ms to 1 h",
            ),
            ("max_line", (64..=1 << 20).contains(&self.max_line), "must be 64 to 1048576"),
            ("max_read", (1 << 10..=1 << 28).contains(&self.max_read), "must be 1024 to 268435456"),
            ("memory_lines", (1..=10_000_000).contains(&self.memory_lines), "must be 1 to 10000000"),
            ("memory_bytes", self.memory_bytes >= 1 << 10, "must be at least 1024"),
            ("disk_bytes", self.disk_bytes == 0 || self.disk_bytes >= 1 << 16, "must be 0 or at least 65536"),
            ("retention", self.retention >= Duration::from_secs(60), "must be at least 1 min"),
            ("max_clusters", (1..=100_000).contains(&self.max_clusters), "must be 1 to 100000"),
            ("max_search", self.max_search >= 1 << 16, "must be at least 65536"),
        ];
        if let Some((field, _, wants)) = checks.into_iter().find(|(_, good, _)| !good) {
            return Err(format!("config field `logs.{field}`: {wants}"));
        }
        let mut names = BTreeSet::new();
        for Source { name, path, .. } in &self.source {
            if name.is_empty() || name.len() > 100 || !names.insert(name) || path.as_os_str().is_empty() {
                return Err(format!("log source {name:?}: wants a `name` of its own and a `path`"));
            }
        }
        Patterns::new(&self.pattern).map(drop)
    }
}
