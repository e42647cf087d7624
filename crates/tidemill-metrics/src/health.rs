//! How a program is doing: a status by thresholds, degradation against what is usual, each with its evidence.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::baseline::{Baseline, Recent, Trend};
use crate::error::Error;

/// From what on a vital counts as what. Each limit may be absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Better than this is excellent.
    pub excellent: Option<f64>,
    /// Worse than this is fair.
    pub fair: Option<f64>,
    /// Worse than this is poor.
    pub poor: Option<f64>,
    /// Worse than this is critical.
    pub critical: Option<f64>,
}

/// Settings of [`Health`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HealthConfig {
    /// Memory used, in percent. Default 40, 60, 80, 95.
    pub memory_percent: Limits,
    /// Processor used, in percent. Default 30, 50, 70, 90.
    pub cpu_percent: Limits,
    /// Response time in milliseconds. Default 200, 500, 1000, 5000.
    pub response_ms: Limits,
    /// Cache hits in percent; less is worse. Default 90, 70, none, none.
    pub hit_percent: Limits,
    /// Errors in percent of requests. Default none, none, 5, 20.
    pub error_percent: Limits,
    /// How much worse than usual counts as degraded, in percent. Default 20.
    pub degradation_percent: f64,
    /// Samples that a usual value needs. Default 30.
    pub min_samples: u64,
    /// Times in a row that a vital is worse than usual before it is called degraded. Default 3.
    pub consecutive: u32,
    /// Added to UTC to find the hour of the day, in minutes. Default 0.
    pub utc_offset_minutes: i32,
}

/// What is looked at; what is not known is `None` and says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Vitals {
    /// Memory used, 0-100.
    pub memory_percent: Option<f64>,
    /// Processor used, 0-100.
    pub cpu_percent: Option<f64>,
    /// Response time in milliseconds.
    pub response_ms: Option<f64>,
    /// Cache hits, 0-100.
    pub hit_percent: Option<f64>,
    /// Errors in percent of requests, 0-100.
    pub error_percent: Option<f64>,
}

/// One of the [`Vitals`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Vital {
    /// Memory used.
    Memory,
    /// Processor used.
    Cpu,
    /// Response time.
    Response,
    /// Cache hits.
    Hits,
    /// Errors.
    Errors,
}

/// How good, from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Everything that is known is better than its first limit.
    Excellent,
    /// Nothing is wrong.
    Good,
    /// Something is beyond the limit of fair.
    Fair,
    /// Something is beyond its threshold.
    Poor,
    /// Something is beyond its last limit.
    Critical,
}

/// What was found about one vital, with its evidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Which.
    pub vital: Vital,
    /// How good.
    pub status: Status,
    /// Its value.
    pub value: f64,
    /// The limit that decided the status.
    pub limit: Option<f64>,
    /// What it usually is at this hour; `None` before enough samples.
    pub baseline: Option<f64>,
    /// Samples behind the baseline.
    pub samples: u64,
    /// How much worse than usual, in percent of it; negative is better.
    pub worse_percent: Option<f64>,
    /// Times in a row it was worse than usual by [`HealthConfig::degradation_percent`].
    pub consecutive: u32,
    /// Worse than usual often enough.
    pub degraded: bool,
    /// Where it is going.
    pub trend: Trend,
    /// Its change per hour.
    pub per_hour: Option<f64>,
    /// What is wrong and what to do, in words; empty when nothing is.
    pub recommendation: String,
}

/// How a program is doing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Assessment {
    /// The worst of the findings; excellent when all are.
    pub status: Status,
    /// Assessments in a row that were poor or critical, this one included.
    pub consecutive_poor: u32,
    /// One for each known vital.
    pub findings: Vec<Finding>,
}

/// Judges vitals; remembers what is usual.
#[derive(Debug)]
pub struct Health {
    config: HealthConfig,
    memories: [Memory; 5],
    consecutive_poor: u32,
}

#[derive(Debug, Default)]
struct Memory {
    baseline: Baseline,
    recent: Recent,
    consecutive: u32,
}

impl Default for HealthConfig {
    fn default() -> Self {
        let limits = |excellent, fair, poor, critical| Limits {
            excellent: Some(excellent),
            fair: Some(fair),
            poor: Some(poor),
            critical: Some(critical),
        };
        Self {
            memory_percent: limits(40.0, 60.0, 80.0, 95.0),
            cpu_percent: limits(30.0, 50.0, 70.0, 90.0),
            response_ms: limits(200.0, 500.0, 1000.0, 5000.0),
            hit_percent: Limits { excellent: Some(90.0), fair: Some(70.0), ..Limits::default() },
            error_percent: Limits { poor: Some(5.0), critical: Some(20.0), ..Limits::default() },
            degradation_percent: 20.0,
            min_samples: 30,
            consecutive: 3,
            utc_offset_minutes: 0,
        }
    }
}

impl Vital {
    /// All of them, in the order of their findings.
    pub const ALL: [Self; 5] = [Self::Memory, Self::Cpu, Self::Response, Self::Hits, Self::Errors];

    fn of(self, vitals: &Vitals) -> Option<f64> {
        let value = match self {
            Self::Memory => vitals.memory_percent,
            Self::Cpu => vitals.cpu_percent,
            Self::Response => vitals.response_ms,
            Self::Hits => vitals.hit_percent,
            Self::Errors => vitals.error_percent,
        };
        value.filter(|value| value.is_finite())
    }

    fn limits(self, config: &HealthConfig) -> Limits {
        match self {
            Self::Memory => config.memory_percent,
            Self::Cpu => config.cpu_percent,
            Self::Response => config.response_ms,
            Self::Hits => config.hit_percent,
            Self::Errors => config.error_percent,
        }
    }

    /// Whether `a` is worse than `b`.
    fn is_worse(self, a: f64, b: f64) -> bool {
        if self == Self::Hits { a < b } else { a > b }
    }

    fn status(self, value: f64, limits: Limits) -> (Status, Option<f64>) {
        let worse = |limit: Option<f64>| limit.filter(|limit| self.is_worse(value, *limit));
        for (limit, status) in
            [(limits.critical, Status::Critical), (limits.poor, Status::Poor), (limits.fair, Status::Fair)]
        {
            if let Some(limit) = worse(limit) {
                return (status, Some(limit));
            }
        }
        match limits.excellent {
            None => (Status::Excellent, None),
            Some(limit) if self.is_worse(limit, value) => (Status::Excellent, Some(limit)),
            Some(limit) => (Status::Good, Some(limit)),
        }
    }
}

impl Health {
    /// Nothing is usual yet.
    ///
    /// # Errors
    /// [`Config`](crate::ErrorKind::Config) names the field that is out of bounds.
    pub fn new(config: HealthConfig) -> Result<Self, Error> {
        for (vital, field) in Vital::ALL.into_iter().zip([
            "memory_percent",
            "cpu_percent",
            "response_ms",
            "hit_percent",
            "error_percent",
        ]) {
            let limits = vital.limits(&config);
            let known: Vec<f64> =
                [limits.excellent, limits.fair, limits.poor, limits.critical].into_iter().flatten().collect();
            if known.iter().any(|limit| !limit.is_finite())
                || known.windows(2).any(|pair| vital.is_worse(pair[0], pair[1]))
            {
                return Err(Error::config(field, "the limits do not go from good to bad".to_owned()));
            }
        }
        if !(config.degradation_percent > 0.0 && config.degradation_percent.is_finite()) {
            let reason = format!("{} is not above 0", config.degradation_percent);
            return Err(Error::config("degradation_percent", reason));
        }
        if config.consecutive == 0 {
            return Err(Error::config("consecutive", "0 times in a row is never".to_owned()));
        }
        Ok(Self { config, memories: Default::default(), consecutive_poor: 0 })
    }

    /// Judges the vitals of one moment and learns from them. Ask it at regular times.
    pub fn assess(&mut self, vitals: &Vitals, now: SystemTime) -> Assessment {
        let since = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let minutes = (since.as_secs() / 60) as i64 + i64::from(self.config.utc_offset_minutes);
        let hour = minutes.div_euclid(60).rem_euclid(24) as usize;
        let hours = since.as_secs_f64() / 3600.0;
        let config = &self.config;
        let findings: Vec<Finding> = Vital::ALL
            .into_iter()
            .zip(&mut self.memories)
            .filter_map(|(vital, memory)| Some(memory.judge(vital, vital.of(vitals)?, hour, hours, config)))
            .collect();
        let status = findings.iter().map(|finding| finding.status).max().unwrap_or(Status::Good);
        self.consecutive_poor =
            if status >= Status::Poor { self.consecutive_poor.saturating_add(1) } else { 0 };
        Assessment { status, consecutive_poor: self.consecutive_poor, findings }
    }

    /// What is usual for a vital, to be saved.
    #[must_use]
    pub fn baseline(&self, vital: Vital) -> &Baseline {
        &self.memories[vital as usize].baseline
    }

    /// Takes back what was saved.
    pub fn restore(&mut self, vital: Vital, baseline: Baseline) {
        self.memories[vital as usize].baseline = baseline;
    }
}

impl Memory {
    fn judge(&mut self, vital: Vital, value: f64, hour: usize, hours: f64, config: &HealthConfig) -> Finding {
        let limits = vital.limits(config);
        let (status, limit) = vital.status(value, limits);
        let usual = self.baseline.usual(hour, config.min_samples);
        let worse_percent = usual.filter(|(mean, _)| *mean != 0.0).map(|(mean, _)| {
            let change = (value - mean) / mean.abs() * 100.0;
            if vital == Vital::Hits { -change } else { change }
        });
        // A hundredth of the first bad limit is noise, however small the usual value.
        let noise = limits.fair.or(limits.poor).map_or(0.0, |limit| limit.abs() / 100.0);
        let worse = usual.is_some_and(|(mean, _)| {
            let allowed = mean.abs() * config.degradation_percent / 100.0;
            vital.is_worse(value, mean) && (value - mean).abs() >= allowed.max(noise) && value != mean
        });
        self.consecutive = if worse { self.consecutive.saturating_add(1) } else { 0 };
        self.baseline.learn(hour, value, worse, config.min_samples);
        self.recent.push(hours, value);
        let (trend, per_hour) = self.recent.trend();
        let mut finding = Finding {
            vital,
            status,
            value,
            limit,
            baseline: usual.map(|(mean, _)| mean),
            samples: usual.map_or(0, |(_, samples)| samples),
            worse_percent,
            consecutive: self.consecutive,
            degraded: self.consecutive >= config.consecutive,
            trend,
            per_hour,
            recommendation: String::new(),
        };
        finding.recommendation = crate::advice::recommend(&finding);
        finding
    }
}
