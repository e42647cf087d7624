//! The names that thresholds and stop rules use, and where each is read.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::sample::ServerSample;
use crate::slice::Slice;
use crate::summary::{Errors, Percentiles, Summary};
use crate::units::{duration, size};

/// A named figure of a run: `response.p99`, `errors`, `errors.timeout`, `rate`, `server.cpu.max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Metric(Figure);

/// What a metric's value counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Microseconds, written `250ms`.
    Time,
    /// 0 to 1, written `5%`.
    Share,
    /// Bytes, written `64MB`.
    Bytes,
    /// A plain number.
    Number,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Figure {
    Time(Series, Point),
    /// All errors, or those of one kind.
    Errors(Option<&'static str>),
    Success,
    Rate,
    Requests,
    ServerCpu(Over),
    ServerMemory,
    HostCpu(Over),
    HostMemory(Over),
    VolumeExponent,
    DriftResponse,
    DriftMemory,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Series {
    Response,
    Service,
    Lag,
    Late,
    Connect,
    Delivery,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Point {
    Min,
    Mean,
    P50,
    P90,
    P95,
    P99,
    P999,
    P9999,
    Max,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Over {
    Mean,
    Max,
}

const SERIES: &[(&str, Series)] = &[
    ("response", Series::Response),
    ("service", Series::Service),
    ("lag", Series::Lag),
    ("late", Series::Late),
    ("connect", Series::Connect),
    ("delivery", Series::Delivery),
];

const POINTS: &[(&str, Point)] = &[
    ("min", Point::Min),
    ("mean", Point::Mean),
    ("p50", Point::P50),
    ("p90", Point::P90),
    ("p95", Point::P95),
    ("p99", Point::P99),
    ("p99.9", Point::P999),
    ("p99.99", Point::P9999),
    ("max", Point::Max),
];

const SINGLE: &[(&str, Figure)] = &[
    ("errors", Figure::Errors(None)),
    ("success", Figure::Success),
    ("rate", Figure::Rate),
    ("requests", Figure::Requests),
    ("server.cpu.mean", Figure::ServerCpu(Over::Mean)),
    ("server.cpu.max", Figure::ServerCpu(Over::Max)),
    ("server.memory.max", Figure::ServerMemory),
    ("host.cpu.mean", Figure::HostCpu(Over::Mean)),
    ("host.cpu.max", Figure::HostCpu(Over::Max)),
    ("host.memory.mean", Figure::HostMemory(Over::Mean)),
    ("host.memory.max", Figure::HostMemory(Over::Max)),
    ("volume.exponent", Figure::VolumeExponent),
    ("drift.response", Figure::DriftResponse),
    ("drift.memory", Figure::DriftMemory),
];

impl Metric {
    /// What its value counts.
    #[must_use]
    pub fn unit(&self) -> Unit {
        match self.0 {
            Figure::Time(..) => Unit::Time,
            Figure::Errors(_) | Figure::Success | Figure::HostCpu(_) | Figure::HostMemory(_) => Unit::Share,
            Figure::ServerMemory => Unit::Bytes,
            _ => Unit::Number,
        }
    }

    /// Its value in a finished run, in the base of its unit; `None` when nothing was measured.
    #[must_use]
    pub fn of(&self, summary: &Summary) -> Option<f64> {
        match self.0 {
            Figure::Time(series, point) => point.of(series.of(summary)),
            Figure::Errors(kind) => share(&summary.errors, kind, summary.totals.ended),
            Figure::Success => share(&summary.errors, None, summary.totals.ended).map(|share| 1.0 - share),
            Figure::Rate => Some(summary.totals.rate),
            Figure::Requests => Some(summary.totals.ended as f64),
            Figure::ServerCpu(over) => over.of(&summary.server, |sample| sample.cpu_cores),
            Figure::ServerMemory => Over::Max.of(&summary.server, |sample| sample.memory_bytes as f64),
            Figure::HostCpu(over) => over.of(&summary.server, |sample| sample.host_cpu),
            Figure::HostMemory(over) => over.of(&summary.server, |sample| sample.host_memory),
            Figure::VolumeExponent => summary.volume_exponent(),
            Figure::DriftResponse => summary.drift_response(),
            Figure::DriftMemory => summary.drift_memory(),
        }
    }

    /// Whether a stop rule can use it: its value is known for each second.
    #[must_use]
    pub fn is_of_slices(&self) -> bool {
        match self.0 {
            Figure::Time(series, point) => {
                matches!(series, Series::Response | Series::Service | Series::Delivery)
                    || matches!((series, point), (Series::Lag | Series::Late, Point::P99 | Point::Max))
            }
            Figure::Errors(_) | Figure::Success | Figure::Rate => true,
            Figure::ServerCpu(over) => over == Over::Max,
            Figure::ServerMemory => true,
            _ => false,
        }
    }

    /// Its value in a second of a run.
    #[must_use]
    pub fn of_slice(&self, slice: &Slice) -> Option<f64> {
        match self.0 {
            Figure::Time(series, point) => series.of_slice(slice).and_then(|times| point.of(times)),
            Figure::Errors(kind) => share(&slice.errors, kind, slice.ended),
            Figure::Success => share(&slice.errors, None, slice.ended).map(|share| 1.0 - share),
            Figure::Rate => Some(slice.ended as f64 / slice.width_s.max(1e-9)),
            Figure::ServerCpu(_) => slice.server.as_ref().map(|sample| sample.cpu_cores),
            Figure::ServerMemory => slice.server.as_ref().map(|sample| sample.memory_bytes as f64),
            _ => None,
        }
    }

    /// Which errors a share counts, when it is a share: what a window of slices sums.
    pub(crate) fn errors_in(&self, errors: &Errors, ended: u64) -> Option<f64> {
        match self.0 {
            Figure::Errors(kind) => share(errors, kind, ended),
            Figure::Success => share(errors, None, ended).map(|share| 1.0 - share),
            _ => None,
        }
    }
}

fn share(errors: &Errors, kind: Option<&'static str>, ended: u64) -> Option<f64> {
    let count: u64 =
        errors.iter().filter(|(name, _)| kind.is_none_or(|kind| kind == *name)).map(|(_, count)| count).sum();
    (ended > 0).then(|| count as f64 / ended as f64)
}

impl Series {
    fn of(self, summary: &Summary) -> &Percentiles {
        match self {
            Self::Response => &summary.response,
            Self::Service => &summary.service,
            Self::Lag => &summary.lag,
            Self::Late => &summary.late,
            Self::Connect => &summary.connect,
            Self::Delivery => &summary.delivery,
        }
    }

    fn of_slice(self, slice: &Slice) -> Option<&Percentiles> {
        match self {
            Self::Response => Some(&slice.response),
            Self::Service => Some(&slice.service),
            Self::Lag => Some(&slice.lag),
            Self::Late => Some(&slice.late),
            Self::Delivery => Some(&slice.delivery),
            Self::Connect => None,
        }
    }
}

impl Over {
    fn of(self, samples: &[ServerSample], value: impl Fn(&ServerSample) -> f64) -> Option<f64> {
        let values = samples.iter().map(value);
        match self {
            Self::Max => values.reduce(f64::max),
            Self::Mean => values.reduce(|sum, value| sum + value).map(|sum| sum / samples.len() as f64),
        }
    }
}

impl Point {
    fn of(self, times: &Percentiles) -> Option<f64> {
        let value = match self {
            Self::Min => times.min_us,
            Self::Mean => times.mean_us,
            Self::P50 => times.p50_us,
            Self::P90 => times.p90_us,
            Self::P95 => times.p95_us,
            Self::P99 => times.p99_us,
            Self::P999 => times.p999_us,
            Self::P9999 => times.p9999_us,
            Self::Max => times.max_us,
        };
        (times.count > 0).then_some(value)
    }
}

impl Unit {
    pub(crate) fn fits(self, metric: Self) -> bool {
        // A bare number may stand for a share; 0 may stand for anything.
        self == metric
    }

    pub(crate) fn example(self) -> &'static str {
        match self {
            Self::Time => "a time, as \"<250ms\"",
            Self::Share => "a share, as \"<1%\"",
            Self::Bytes => "a size, as \"<512MB\"",
            Self::Number => "a number, as \">100\"",
        }
    }

    /// A value of this unit as a person reads it.
    #[must_use]
    pub fn text(self, value: f64) -> String {
        match self {
            Self::Time => {
                let exact = std::time::Duration::from_nanos((value * 1e3).round() as u64);
                let text = duration::text(exact);
                if text.len() <= 7 {
                    return text;
                }
                if value >= 1e6 {
                    format!("{:.3}s", value / 1e6)
                } else if value >= 1e3 {
                    format!("{:.2}ms", value / 1e3)
                } else {
                    format!("{value:.1}us")
                }
            }
            Self::Share => format!("{}%", (value * 1e6).round() / 1e4),
            Self::Bytes => {
                let text = size::text(value as u64);
                if text.len() <= 7 { text } else { format!("{:.1}MB", value / 1e6) }
            }
            Self::Number => format!("{}", (value * 1e3).round() / 1e3),
        }
    }
}

impl FromStr for Metric {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some((_, figure)) = SINGLE.iter().find(|(name, _)| *name == text) {
            return Ok(Self(*figure));
        }
        let unknown = || {
            format!(
                "`{text}` is no metric: write e.g. response.p99, lag.p99, errors, errors.timeout, rate or server.cpu.max"
            )
        };
        let (series, point) = text.split_once('.').ok_or_else(unknown)?;
        if series == "errors" {
            let kind = Errors::NAMES.iter().find(|name| **name == point).ok_or_else(unknown)?;
            return Ok(Self(Figure::Errors(Some(kind))));
        }
        let series = SERIES.iter().find(|(name, _)| *name == series).ok_or_else(unknown)?.1;
        let point = POINTS.iter().find(|(name, _)| *name == point).ok_or_else(unknown)?.1;
        Ok(Self(Figure::Time(series, point)))
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn name<'a, T: PartialEq>(table: &'a [(&'a str, T)], value: &T) -> &'a str {
            table.iter().find(|(_, entry)| entry == value).map_or("", |(name, _)| name)
        }
        match self.0 {
            Figure::Time(series, point) => write!(f, "{}.{}", name(SERIES, &series), name(POINTS, &point)),
            Figure::Errors(Some(kind)) => write!(f, "errors.{kind}"),
            figure => f.write_str(name(SINGLE, &figure)),
        }
    }
}

impl TryFrom<String> for Metric {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Metric> for String {
    fn from(metric: Metric) -> Self {
        metric.to_string()
    }
}
