//! What is kept of the past, and for how long.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::{Fault, fault};

/// `[history]`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Values of each series in memory; default 1000, 10 to 100000. Each takes 16 bytes.
    pub values: usize,
    /// Minutes of each series in memory; default 1500, 60 to 50000. Each takes 24 bytes.
    pub minutes: usize,
    /// Series in memory; default 5000. Further ones take the place of those that were not told for ten minutes, or are
    /// refused and counted.
    pub max_series: usize,
    /// How long every value stays on the disk; default `2d`. Whole days (UTC) go at a time.
    #[serde(with = "humantime_serde")]
    pub raw: Duration,
    /// How long minutes stay; default `35d`. Whole months go at a time.
    #[serde(with = "humantime_serde")]
    pub minute: Duration,
    /// How long hours stay; default `730d`. Whole years go at a time.
    #[serde(with = "humantime_serde")]
    pub hour: Duration,
    /// How often other programs see new rows in the files; default `15m`. What the monitor itself shows is never late.
    #[serde(with = "humantime_serde")]
    pub publish_every: Duration,
    /// Series in one answer; default 200.
    pub answer_series: usize,
}

impl Default for Config {
    fn default() -> Self {
        let days = |days: u64| Duration::from_secs(days * 86_400);
        Self {
            values: 1000,
            minutes: 1500,
            max_series: 5000,
            raw: days(2),
            minute: days(35),
            hour: days(730),
            publish_every: Duration::from_secs(900),
            answer_series: 200,
        }
    }
}

impl Config {
    pub(crate) fn check(&self, path: &str) -> Result<(), Fault> {
        for (field, value, least, most) in [
            ("values", self.values, 10, 100_000),
            ("minutes", self.minutes, 60, 50_000),
            ("max_series", self.max_series, 100, 1_000_000),
            ("answer_series", self.answer_series, 1, 10_000),
        ] {
            fault(&format!("{path}.{field}"), (least..=most).contains(&value), || {
                format!("is {value}; choose {least} to {most}")
            })?;
        }
        let hour = Duration::from_secs(3600);
        for (field, value) in [("raw", self.raw), ("minute", self.minute), ("hour", self.hour)] {
            fault(&format!("{path}.{field}"), value >= hour, || "must be at least 1h".into())?;
        }
        let rhythm = Duration::from_secs(1)..=Duration::from_secs(86_400);
        fault(&format!("{path}.publish_every"), rhythm.contains(&self.publish_every), || {
            "must be 1s to 1d".into()
        })
    }
}
