//! What a pool may be told: sizes, bounds and times, checked when it is built.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::retry::Budget;

/// Settings of a [`Pool`](crate::Pool). Durations are written `"250ms"`, `"30s"`, `"5m"` or `"1h"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Workers at the start. Default 4.
    pub workers: usize,
    /// The most workers [`resize`](crate::Pool::resize) can ask for. Default 16.
    pub max_workers: usize,
    /// Jobs that may wait; submitters wait beyond it. A job between two attempts waits too, so that the
    /// true bound is `queue + max_workers`. Default 100.
    pub queue: usize,
    /// How long a job waits before it counts as one priority higher. Default `"5s"`.
    #[serde(with = "duration")]
    pub aging: Duration,
    /// The most jobs a worker takes at once. They are only run in a row while each ends at its first poll and
    /// all of them within 50 µs; the rest goes back to the front of the queue. Default 32.
    pub batch: usize,
    /// The most group names told apart; jobs of further groups share one named `other`. Default 64.
    pub max_groups: usize,
    /// The share of the workers (0-1) that one group may hold while another was active within
    /// `group_memory`; at least one worker. What the others need beyond the rest waits until jobs of this group
    /// end, for nothing is interrupted. 1 lets a group take all. Default 0.75.
    pub group_share: f64,
    /// How long a group without jobs keeps its claim on workers. Default `"10s"`.
    #[serde(with = "duration")]
    pub group_memory: Duration,
    /// The retries that all jobs of the pool share.
    pub retry_budget: Budget,
    /// A `retry after` beyond this ends the job instead of delaying it. Default `"5m"`.
    #[serde(with = "duration")]
    pub max_retry_after: Duration,
    /// How long a cancelled job may go on to clean up before it is dropped. Default `"0s"`: dropped at its
    /// next await.
    #[serde(with = "duration")]
    pub cancel_grace: Duration,
    /// Calls of [`Blocking::run`](crate::Blocking::run) that run at once; 0 means twice `max_workers`.
    /// Default 0.
    pub blocking: usize,
    /// A worker makes room for a new one after so many jobs; 0 means never. Default 1000.
    pub recycle_after: u64,
    /// A worker makes room for a new one after a job that held more bytes of heap at once, which the listener is told
    /// as [`Memory`](crate::EventKind::Memory); 0 means never. Counts only under a
    /// [`CountingAllocator`](crate::CountingAllocator). Default 2 GiB.
    pub recycle_bytes: u64,
    /// Seed of the jitter: the same seed and the same order of failures give the same delays. Default 0.
    pub seed: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            workers: 4,
            max_workers: 16,
            queue: 100,
            aging: Duration::from_secs(5),
            batch: 32,
            max_groups: 64,
            group_share: 0.75,
            group_memory: Duration::from_secs(10),
            retry_budget: Budget::default(),
            max_retry_after: Duration::from_secs(300),
            cancel_grace: Duration::ZERO,
            blocking: 0,
            recycle_after: 1000,
            recycle_bytes: 2 << 30,
            seed: 0,
        }
    }
}

impl Config {
    /// The most workers, waiting jobs or groups a config can ask for.
    const LIMIT: usize = 1 << 24;

    pub(crate) fn check(&self) -> Result<(), Error> {
        let bounds = [
            ("workers", self.workers, 1, self.max_workers),
            ("max_workers", self.max_workers, 1, 1 << 16),
            ("queue", self.queue, 1, Self::LIMIT),
            ("batch", self.batch, 1, 1024),
            ("max_groups", self.max_groups, 1, 1 << 16),
            ("blocking", self.blocking, 0, 1 << 16),
        ];
        for (field, value, low, high) in bounds {
            if value < low || value > high {
                return Err(Error::config(field, format!("{value} is not within {low} to {high}")));
            }
        }
        if !(self.group_share > 0.0 && self.group_share <= 1.0) {
            return Err(Error::config(
                "group_share",
                format!("{} is not above 0 and up to 1", self.group_share),
            ));
        }
        if self.aging.is_zero() {
            return Err(Error::config("aging", "must be longer than nothing".to_owned()));
        }
        self.retry_budget.check()
    }

    pub(crate) fn blocking_limit(&self) -> usize {
        if self.blocking == 0 { self.max_workers * 2 } else { self.blocking }
    }
}

/// Durations as text: a whole number and one of `ms`, `s`, `m`, `h`.
pub(crate) mod duration {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
        let ms = value.as_millis();
        let units = [(3_600_000, "h"), (60_000, "m"), (1000, "s")];
        let whole = units.into_iter().find(|(unit, _)| ms >= *unit && ms.is_multiple_of(*unit));
        let text = match whole {
            Some((unit, name)) => format!("{}{name}", ms / unit),
            None => format!("{ms}ms"),
        };
        to.serialize_str(&text)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(from)?;
        parse(&text).ok_or_else(|| {
            D::Error::custom(format!(
                "`{text}` is no duration: write a whole number and ms, s, m or h, as \"30s\""
            ))
        })
    }

    pub(crate) fn parse(text: &str) -> Option<Duration> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let scale: u64 = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return None,
        };
        Some(Duration::from_millis(number.parse::<u64>().ok()?.checked_mul(scale)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written_as_text() {
        for (text, ms) in [("0s", 0), ("250ms", 250), ("30s", 30_000), ("5m", 300_000), ("2h", 7_200_000)] {
            assert_eq!(duration::parse(text), Some(Duration::from_millis(ms)), "{text}");
        }
        for bad in ["", "5", "s", "-1s", "1.5s", "5 s", "99999999999999999999s", "9999999999999999999h"] {
            assert_eq!(duration::parse(bad), None, "{bad}");
        }
        let text = serde_json::to_string(&Config::default()).unwrap();
        assert!(text.contains(r#""aging":"5s""#), "{text}");
        assert_eq!(serde_json::from_str::<Config>(&text).unwrap(), Config::default());
    }

    #[test]
    fn an_unknown_field_and_a_bound_are_named() {
        assert!(
            serde_json::from_str::<Config>(r#"{"wrokers": 3}"#).unwrap_err().to_string().contains("wrokers")
        );
        let error = Config { workers: 0, ..Config::default() }.check().unwrap_err();
        assert_eq!(error.to_string(), "config field `workers`: 0 is not within 1 to 16");
        assert!(Config { group_share: f64::NAN, ..Config::default() }.check().is_err());
    }
}
