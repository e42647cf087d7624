//! The monitor's configuration: plain data, checked once, with the names of the fields in every complaint.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidemill_metrics::HealthConfig;
use tidemill_shell::config::Alias;

use crate::watch::{Business, Custom, Target};
use crate::{alert, backup, history, logs, probe, tune, web};

/// The whole file. Every field has a default: without a file this host is watched.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The program itself.
    pub monitor: Monitor,
    /// What is kept of the past.
    pub history: history::Config,
    /// Copies of what is kept.
    pub backup: backup::Config,
    /// The page.
    pub web: web::Config,
    /// Rules, and who is told.
    pub alert: alert::Config,
    /// Log files.
    pub logs: logs::Config,
    /// Targets with knobs.
    pub tuning: tune::Config,
    /// What is good and bad; the three thresholds of `[monitor]` stand above `poor` here.
    pub health: HealthConfig,
    /// Prometheus endpoints.
    #[serde(rename = "target")]
    pub targets: Vec<Target>,
    /// Metrics from a command, a file or HTTP JSON.
    #[serde(rename = "metric")]
    pub metrics: Vec<Custom>,
    /// Metrics made of others.
    #[serde(rename = "business")]
    pub business: Vec<Business>,
    /// Whether something answers.
    #[serde(rename = "probe")]
    pub probes: Vec<probe::Config>,
}

/// `[monitor]`: the program itself.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Monitor {
    /// Folder of everything kept; default `data`.
    pub data: PathBuf,
    /// Address that is listened on; default `127.0.0.1`. Any other needs `token_env`.
    pub listen: IpAddr,
    /// Port that is listened on; default 8080. 0 takes a free one.
    pub port: u16,
    /// What stands before every path, such as `/monitor`, behind a proxy; default nothing.
    pub prefix: String,
    /// Where people reach it, for links in notifications; default `http://LISTEN:PORT`.
    pub external_url: String,
    /// Environment variable with the token that changes of state need; default none.
    pub token_env: Option<String>,
    /// How often everything is asked that says nothing else; default `10s`, `1s` to `60s`. A bare number is seconds.
    #[serde(with = "seconds")]
    pub interval: Duration,
    /// Watch this host; default true.
    pub host: bool,
    /// How much is told of it; default `summary`.
    pub host_detail: HostDetail,
    /// What the network of this host can carry one way, in Mbit/s, for `system_network_percent`; default what its interfaces
    /// say, which those of virtual machines often do not.
    pub network_mbit: Option<u32>,
    /// Move the knobs of targets that have some; default true.
    pub auto_tuning: bool,
    /// Memory used, in percent, from which the host is poor; default 80.
    pub memory_threshold: f64,
    /// Processor used, in percent, from which the host is poor; default 70.
    pub cpu_threshold: f64,
    /// Response time, in milliseconds, from which a target is poor; default 1000.
    pub response_threshold: f64,
    /// Time open requests and the last commit get after SIGTERM; default `10s`.
    #[serde(with = "humantime_serde")]
    pub drain: Duration,
    /// Events kept in memory for the charts; default 1000.
    pub events: usize,
    /// Bytes of answers held at once over all targets, beyond 256 KiB of each; default 64 MiB.
    pub answers_max_bytes: usize,
}

impl Default for Monitor {
    fn default() -> Self {
        Self {
            data: PathBuf::from("data"),
            listen: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 8080,
            prefix: String::new(),
            external_url: String::new(),
            token_env: None,
            interval: Duration::from_secs(10),
            host: true,
            host_detail: HostDetail::default(),
            network_mbit: None,
            auto_tuning: true,
            memory_threshold: 80.0,
            cpu_threshold: 70.0,
            response_threshold: 1000.0,
            drain: Duration::from_secs(10),
            events: 1000,
            answers_max_bytes: 64 << 20,
        }
    }
}

/// How much is told of this host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HostDetail {
    /// What the page, the rules and the status look at: some 60 series, `system_*` and `process_*`.
    #[default]
    Summary,
    /// Beside that everything a node_exporter tells, `node_*`: some 370 series more, and up to 52 KB of memory for
    /// each once a day has passed.
    Full,
}

/// Variables of the specification beside `TIDEMILL_…`, which wins for the same field.
pub const ALIASES: [Alias; 5] = [
    Alias::new("MONITORING_INTERVAL", "monitor.interval"),
    Alias::new("AUTO_TUNING_ENABLED", "monitor.auto_tuning"),
    Alias::new("MEMORY_THRESHOLD", "monitor.memory_threshold"),
    Alias::new("CPU_THRESHOLD", "monitor.cpu_threshold"),
    Alias::new("RESPONSE_TIME_THRESHOLD", "monitor.response_threshold"),
];

/// Names of targets that the monitor feeds itself.
pub const RESERVED: [&str; 4] = ["host", "business", "logs", "monitor"];

/// What is wrong with a configuration, and with which of its fields.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fault {
    /// Dotted path, with indices: `target.0.url`.
    pub path: String,
    /// In words, with what to do.
    pub problem: String,
}

impl Monitor {
    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        SocketAddr::new(self.listen, self.port)
    }
}

impl Config {
    /// Checks every bound and every reference, and stops at the first fault.
    ///
    /// # Errors
    /// The field and what to write instead.
    pub fn check(&self) -> Result<(), Fault> {
        let m = &self.monitor;
        check_interval("monitor.interval", m.interval)?;
        for (field, value, most) in [
            ("memory_threshold", m.memory_threshold, 100.0),
            ("cpu_threshold", m.cpu_threshold, 100.0),
            ("response_threshold", m.response_threshold, 3_600_000.0),
        ] {
            let path = format!("monitor.{field}");
            fault(&path, value > 0.0 && value <= most, || format!("is {value}; choose above 0 to {most}"))?;
        }
        fault("monitor.events", (1..=100_000).contains(&m.events), || {
            format!("is {}; choose 1 to 100000", m.events)
        })?;
        fault("monitor.network_mbit", m.network_mbit != Some(0), || "must be above 0".into())?;
        fault("monitor.answers_max_bytes", (1 << 20..=1 << 30).contains(&m.answers_max_bytes), || {
            format!("is {}; choose 1 MiB to 1 GiB", m.answers_max_bytes)
        })?;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.');
        let sound = m.prefix.is_empty()
            || (m.prefix.starts_with('/') && !m.prefix.ends_with('/') && m.prefix.chars().all(plain));
        fault("monitor.prefix", sound, || {
            format!("{:?} must begin with / and not end with it, as in /monitor", m.prefix)
        })?;
        self.history.check("history")?;
        self.backup.check("backup")?;
        self.web.check("web")?;
        self.check_health()?;
        self.check_parts()?;
        let mut names: HashSet<&str> = RESERVED.into_iter().collect();
        for (i, target) in self.targets.iter().enumerate() {
            let path = format!("target.{i}");
            target.check(&path)?;
            fault(&format!("{path}.name"), names.insert(&target.name), || {
                format!(
                    "{:?} is used twice or is one of {}; choose another",
                    target.name,
                    RESERVED.join(", ")
                )
            })?;
        }
        for (i, metric) in self.metrics.iter().enumerate() {
            let path = format!("metric.{i}");
            metric.check(&path)?;
            fault(&format!("{path}.name"), names.insert(&metric.name), || {
                format!("{:?} is used twice; targets, metrics and probes share their names", metric.name)
            })?;
        }
        for (i, metric) in self.business.iter().enumerate() {
            metric.check(&format!("business.{i}"), &names)?;
        }
        for (i, probe) in self.probes.iter().enumerate() {
            let path = format!("probe.{i}");
            probe.check(&path)?;
            fault(&format!("{path}.name"), names.insert(&probe.name), || {
                format!("{:?} is used twice; targets, metrics and probes share their names", probe.name)
            })?;
        }
        Ok(())
    }

    /// The judge's limits with the three thresholds put in. A threshold moves the limits beside it that it passes.
    #[must_use]
    pub fn limits(&self) -> HealthConfig {
        let mut health = self.health.clone();
        let m = &self.monitor;
        for (limits, poor) in [
            (&mut health.memory_percent, m.memory_threshold),
            (&mut health.cpu_percent, m.cpu_threshold),
            (&mut health.response_ms, m.response_threshold),
        ] {
            limits.poor = Some(poor);
            limits.excellent = limits.excellent.map(|limit| limit.min(poor));
            limits.fair = limits.fair.map(|limit| limit.min(poor));
            limits.critical = limits.critical.map(|limit| limit.max(poor));
        }
        health
    }

    /// Alerting with the three thresholds put in.
    #[must_use]
    pub fn alerts(&self) -> alert::Config {
        let m = &self.monitor;
        let thresholds = alert::Thresholds {
            cpu_percent: m.cpu_threshold,
            memory_percent: m.memory_threshold,
            response_ms: m.response_threshold,
        };
        alert::Config { thresholds, ..self.alert.clone() }
    }

    fn check_parts(&self) -> Result<(), Fault> {
        fault("alert.thresholds", self.alert.thresholds == alert::Thresholds::default(), || {
            "stand in [monitor]: cpu_threshold, memory_threshold, response_threshold".into()
        })?;
        if let Err(problem) = self.alerts().complete() {
            return fault("alert", false, || problem);
        }
        let watched = self.targets.iter().map(|target| target.name.as_str());
        if let Err(problem) = self.tuning.validate(watched) {
            return fault("tuning", false, || problem);
        }
        self.logs.validate().or_else(|problem| fault("logs", false, || problem))
    }

    fn check_health(&self) -> Result<(), Fault> {
        match tidemill_metrics::Health::new(self.limits()) {
            Ok(_) => Ok(()),
            Err(error) => fault("health", false, || error.to_string()),
        }
    }
}

/// 1 to 60 s, as everything that is asked again and again.
pub(crate) fn check_interval(path: &str, interval: Duration) -> Result<(), Fault> {
    let sound = (Duration::from_secs(1)..=Duration::from_secs(60)).contains(&interval);
    fault(path, sound, || format!("is {interval:?}; choose 1s to 60s"))
}

/// `Ok` when it is sound.
pub(crate) fn fault(path: &str, sound: bool, problem: impl FnOnce() -> String) -> Result<(), Fault> {
    if sound { Ok(()) } else { Err(Fault { path: path.to_owned(), problem: problem() }) }
}

/// Names become labels, files and log fields.
pub(crate) fn check_name(path: &str, name: &str) -> Result<(), Fault> {
    let fits = (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
        && !name.starts_with(['-', '_', '.']);
    fault(path, fits, || {
        format!(
            "{name:?} must be 1 to 64 letters, digits, '_', '-' and '.', and start with a letter or digit"
        )
    })
}

/// A time as `"10s"`, or as a bare number of seconds.
pub mod seconds {
    use std::fmt;
    use std::time::Duration;

    use serde::de::{self, Visitor};
    use serde::{Deserializer, Serializer};

    /// As `"10s"`.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
        humantime_serde::serialize(value, to)
    }

    /// From either.
    ///
    /// # Errors
    /// What is neither.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        struct Seconds;
        impl Visitor<'_> for Seconds {
            type Value = Duration;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time such as \"10s\" or 10")
            }

            fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<Duration, E> {
                Ok(Duration::from_secs(seconds))
            }

            fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<Duration, E> {
                u64::try_from(seconds)
                    .map(Duration::from_secs)
                    .map_err(|_| E::invalid_value(de::Unexpected::Signed(seconds), &self))
            }

            fn visit_f64<E: de::Error>(self, seconds: f64) -> Result<Duration, E> {
                Duration::try_from_secs_f64(seconds)
                    .map_err(|_| E::invalid_value(de::Unexpected::Float(seconds), &self))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
                let text = text.trim();
                match text.parse::<f64>() {
                    Ok(seconds) => self.visit_f64(seconds),
                    Err(_) => humantime::parse_duration(text)
                        .map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }
        }
        from.deserialize_any(Seconds)
    }
}
