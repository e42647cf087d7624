//! What every part agrees on: a series, its reading, and one target's round of readings.

use std::sync::Arc;
use std::time::Duration;

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

/// One value of one series at the round's time. Names follow Prometheus; units stand in the name.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// Whose value.
    pub series: Arc<Series>,
    /// The value as the target told it: a counter is a total.
    pub value: f64,
}

/// Who a value belongs to. Labels are sorted by name; at most 32, bounded in bytes by the parser.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Series {
    /// Name of the target in the configuration; `host` is this machine.
    pub target: Arc<str>,
    /// Name of the metric.
    pub name: Arc<str>,
    /// Names and values, sorted by name.
    #[serde(serialize_with = "as_map")]
    pub labels: Vec<(Arc<str>, Arc<str>)>,
    /// What its values are.
    pub kind: Kind,
}

/// What the values of a series are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A total that grows until its process restarts; shown as a rate per second.
    Counter,
    /// A level.
    Gauge,
    /// A derived quantile or a bucket.
    Histogram,
    /// The target does not say.
    Unknown,
}

/// One target's answer. `error` is set: no readings, and it says why.
#[derive(Clone, Debug, PartialEq)]
pub struct Round {
    /// Name of the target.
    pub target: Arc<str>,
    /// When it answered, in milliseconds since 1970.
    pub at_ms: i64,
    /// How long that took.
    pub took: Duration,
    /// Why there is no answer.
    pub error: Option<String>,
    /// Its values, each series once.
    pub readings: Vec<Reading>,
}

impl Round {
    /// Whether the target answered.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.error.is_none()
    }

    /// The value of the first series of this name, whatever its labels.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<f64> {
        self.readings.iter().find(|reading| &*reading.series.name == name).map(|reading| reading.value)
    }
}

impl Series {
    /// A series with its labels put in order.
    #[must_use]
    pub fn new(target: &Arc<str>, name: &str, labels: &[(&str, &str)], kind: Kind) -> Self {
        let mut labels: Vec<(Arc<str>, Arc<str>)> =
            labels.iter().map(|(name, value)| (Arc::from(*name), Arc::from(*value))).collect();
        labels.sort();
        Self { target: Arc::clone(target), name: Arc::from(name), labels, kind }
    }

    /// The value of a label.
    #[must_use]
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(label, _)| &**label == name).map(|(_, value)| &**value)
    }
}

fn as_map<S: Serializer>(labels: &[(Arc<str>, Arc<str>)], to: S) -> Result<S::Ok, S::Error> {
    let mut map = to.serialize_map(Some(labels.len()))?;
    for (name, value) in labels {
        map.serialize_entry(&**name, &**value)?;
    }
    map.end()
}
