//! Bounds and times of a queue and of its workers, as plain data.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Cause, Error};

/// Settings of a [`TaskQueue`](crate::TaskQueue). Durations are written `"250ms"`, `"30s"`, `"5m"`, `"1h"`, `"7d"`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How long a task waits before it counts as one priority higher. Default `"60s"`.
    #[serde(with = "span")]
    pub aging: Duration,
    /// The most operations of all callers in one transaction. Default 512.
    pub max_batch: usize,
    /// The most operations that wait for the committer; callers wait beyond it. Default 10 000.
    pub max_pending: usize,
    /// The longest payload, in bytes of JSON. Default 65 536; at most 16 MiB.
    pub max_payload: usize,
    /// The longest result, in bytes of JSON; a longer one makes the task a dead letter. Default 65 536.
    pub max_result: usize,
    /// How often tasks of dead workers are looked for, due ones are made ready, and schedules are read. Default `"500ms"`.
    #[serde(with = "span")]
    pub sweep: Duration,
    /// How often work of other processes is looked for when nobody tells of it. Default `"50ms"`.
    #[serde(with = "span")]
    pub poll: Duration,
    /// How long a store that does not answer is tried again before its callers are told. Default `"30s"`.
    #[serde(with = "span")]
    pub patience: Duration,
    /// How long finished tasks are kept. Default `"7d"`.
    #[serde(with = "span")]
    pub keep_done: Duration,
    /// How long dead letters and cancelled tasks are kept. Default `"30d"`.
    #[serde(with = "span")]
    pub keep_dead: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            aging: Duration::from_secs(60),
            max_batch: 512,
            max_pending: 10_000,
            max_payload: 64 << 10,
            max_result: 64 << 10,
            sweep: Duration::from_millis(500),
            poll: Duration::from_millis(50),
            patience: Duration::from_secs(30),
            keep_done: Duration::from_secs(7 * 86_400),
            keep_dead: Duration::from_secs(30 * 86_400),
        }
    }
}

impl Config {
    /// Checks every bound; the error names the field.
    ///
    /// # Errors
    /// `Config`.
    pub fn validate(&self) -> Result<(), Error> {
        let bad = |field, why| Err(Cause::Config { field, why }.into());
        if self.aging.is_zero() || self.aging > YEAR {
            return bad("aging", "must be above zero and at most 365 days");
        }
        if !(1..=10_000).contains(&self.max_batch) {
            return bad("max_batch", "must lie between 1 and 10000");
        }
        if !(1..=1_000_000).contains(&self.max_pending) {
            return bad("max_pending", "must lie between 1 and 1000000");
        }
        if !(16..=16 << 20).contains(&self.max_payload) {
            return bad("max_payload", "must lie between 16 bytes and 16 MiB");
        }
        if !(16..=16 << 20).contains(&self.max_result) {
            return bad("max_result", "must lie between 16 bytes and 16 MiB");
        }
        if self.sweep < Duration::from_millis(1) || self.sweep > Duration::from_secs(60) {
            return bad("sweep", "must lie between 1 ms and 60 s");
        }
        if self.poll < Duration::from_millis(1) || self.poll > Duration::from_secs(60) {
            return bad("poll", "must lie between 1 ms and 60 s");
        }
        if self.patience > Duration::from_secs(3600) {
            return bad("patience", "must be at most an hour");
        }
        for (field, span) in [("keep_done", self.keep_done), ("keep_dead", self.keep_dead)] {
            if span > 100 * YEAR {
                return bad(field, "must be at most 36500 days");
            }
        }
        Ok(())
    }
}

/// Settings of a [`Worker`](crate::Worker).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WorkerConfig {
    /// Whose tasks it runs, in turns; a queue that is missing is made by its first task. Default `["default"]`; at most 64.
    pub queues: Vec<String>,
    /// The most tasks that run at once. Default 16; at most 10 000.
    pub concurrency: usize,
    /// How long a claimed task is this worker's without a heartbeat, which comes at a third of it. A dead worker's tasks
    /// run elsewhere after so long and one `sweep`. Default `"30s"`.
    #[serde(with = "span")]
    pub lease: Duration,
    /// How long a task may go on after its cancel was asked for before it is dropped. Default `"5s"`.
    #[serde(with = "span")]
    pub cancel_grace: Duration,
}

impl Default for WorkerConfig {
    fn default() -> Self {
        Self {
            queues: vec!["default".to_owned()],
            concurrency: 16,
            lease: Duration::from_secs(30),
            cancel_grace: Duration::from_secs(5),
        }
    }
}

impl WorkerConfig {
    /// Checks every bound; the error names the field.
    ///
    /// # Errors
    /// `Config`.
    pub fn validate(&self) -> Result<(), Error> {
        let bad = |field, why| Err(Cause::Config { field, why }.into());
        if self.queues.is_empty() || self.queues.len() > 64 {
            return bad("queues", "must name 1 to 64 queues");
        }
        for queue in &self.queues {
            crate::id::check_name("queue", queue)?;
        }
        if !(1..=10_000).contains(&self.concurrency) {
            return bad("concurrency", "must lie between 1 and 10000");
        }
        if self.lease < Duration::from_millis(20) || self.lease > Duration::from_secs(86_400) {
            return bad("lease", "must lie between 20 ms and a day");
        }
        if self.cancel_grace > Duration::from_secs(3600) {
            return bad("cancel_grace", "must be at most an hour");
        }
        Ok(())
    }
}

const YEAR: Duration = Duration::from_secs(365 * 86_400);

/// Durations as text: `"250ms"`, `"60s"`, `"5m"`, `"1h"`, `"1d"`, and sums such as `"1m30s"`.
pub(crate) mod span {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de};

    const UNITS: [(&str, u128); 7] = [
        ("d", 86_400_000_000_000),
        ("h", 3_600_000_000_000),
        ("m", 60_000_000_000),
        ("s", 1_000_000_000),
        ("ms", 1_000_000),
        ("us", 1_000),
        ("ns", 1),
    ];

    pub(crate) fn serialize<S: Serializer>(value: &Duration, out: S) -> Result<S::Ok, S::Error> {
        let ns = value.as_nanos();
        let found = UNITS.iter().find(|(_, unit)| ns >= *unit && ns.is_multiple_of(*unit));
        let (name, unit) = found.copied().unwrap_or(("s", 1));
        out.serialize_str(&format!("{}{name}", ns / unit))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(input)?;
        parse(&text).ok_or_else(|| {
            de::Error::custom(format!("`{text}` is not a duration such as \"60s\" or \"250ms\""))
        })
    }

    pub(crate) fn parse(text: &str) -> Option<Duration> {
        let mut rest = text.trim();
        let mut total: u128 = 0;
        if rest.is_empty() {
            return None;
        }
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit())?;
            let number: u64 = rest.get(..digits)?.parse().ok()?;
            rest = rest.get(digits..)?;
            let letters = rest.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(rest.len());
            let unit = UNITS.iter().find(|(name, _)| *name == &rest[..letters])?.1;
            total = total.checked_add(u128::from(number) * unit)?;
            rest = rest[letters..].trim_start();
        }
        Some(Duration::from_nanos(u64::try_from(total).ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_reads_and_writes_itself() {
        let config: Config = toml::from_str("aging = \"1m30s\"\nkeep_done = \"3d\"\nmax_batch = 7").unwrap();
        assert_eq!(config.aging, Duration::from_secs(90));
        let again: Config = toml::from_str(&toml::to_string(&config).unwrap()).unwrap();
        assert_eq!(again, config);
        config.validate().unwrap();
        Config::default().validate().unwrap();
        let worker: WorkerConfig = toml::from_str("queues = [\"a\"]\nlease = \"250ms\"").unwrap();
        worker.validate().unwrap();
        assert_eq!(toml::from_str::<WorkerConfig>(&toml::to_string(&worker).unwrap()).unwrap(), worker);
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert!(toml::from_str::<Config>("agin = \"1s\"").unwrap_err().to_string().contains("agin"));
        let good = Config::default;
        for (config, field) in [
            (Config { aging: Duration::ZERO, ..good() }, "aging"),
            (Config { max_batch: 0, ..good() }, "max_batch"),
            (Config { max_pending: 0, ..good() }, "max_pending"),
            (Config { max_payload: 1 << 30, ..good() }, "max_payload"),
            (Config { max_result: 0, ..good() }, "max_result"),
            (Config { sweep: Duration::ZERO, ..good() }, "sweep"),
            (Config { poll: Duration::MAX, ..good() }, "poll"),
            (Config { patience: Duration::MAX, ..good() }, "patience"),
            (Config { keep_done: Duration::MAX, ..good() }, "keep_done"),
        ] {
            let error = config.validate().unwrap_err();
            assert!(error.to_string().starts_with(&format!("`{field}`")), "{error}");
        }
        let worker = WorkerConfig::default;
        for (config, field) in [
            (WorkerConfig { queues: Vec::new(), ..worker() }, "queues"),
            (WorkerConfig { concurrency: 0, ..worker() }, "concurrency"),
            (WorkerConfig { lease: Duration::ZERO, ..worker() }, "lease"),
            (WorkerConfig { cancel_grace: Duration::MAX, ..worker() }, "cancel_grace"),
        ] {
            let error = config.validate().unwrap_err();
            assert!(error.to_string().starts_with(&format!("`{field}`")), "{error}");
        }
    }
}
