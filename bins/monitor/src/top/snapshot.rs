//! What is known at one moment, read from the monitor's API or made of the same data in this process.

use std::collections::BTreeMap;

use serde::Deserialize;

/// One moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// `good` and so on; empty where nobody judges.
    pub status: String,
    /// Who is watched, with their values.
    pub targets: Vec<Target>,
    /// What fires.
    pub alerts: Vec<Alert>,
}

/// One that is watched.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Target {
    /// Its name.
    pub name: String,
    /// Whether it answered.
    pub up: bool,
    /// Why not.
    pub error: Option<String>,
    /// How long it took.
    pub took_ms: f64,
    /// Its values.
    pub series: Vec<Seen>,
}

/// One value.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Seen {
    /// Name of the metric.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
    /// Of a counter: per second.
    pub rate: Option<f64>,
}

/// What fires.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Alert {
    /// Name of the rule.
    pub rule: String,
    /// `critical`, `error`, `warning` or `info`.
    pub severity: String,
    /// `firing`, `acknowledged`, `silenced` or `inhibited`.
    pub state: String,
    /// On whom.
    pub target: String,
    /// In a sentence.
    pub summary: String,
    /// Since when.
    pub since_ms: i64,
}

impl Target {
    /// The sum over series of this name, as a level.
    pub(super) fn level(&self, name: &str) -> Option<f64> {
        self.sum(name, |seen| Some(seen.value))
    }

    /// The sum over series of this name, as a rate per second.
    pub(super) fn rate(&self, name: &str) -> Option<f64> {
        self.sum(name, |seen| seen.rate)
    }

    /// Series of this name.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Seen> {
        self.series.iter().filter(move |seen| seen.name == name)
    }

    fn sum(&self, name: &str, of: impl Fn(&Seen) -> Option<f64>) -> Option<f64> {
        let mut values = self.all(name).filter_map(of).peekable();
        values.peek()?;
        Some(values.sum())
    }
}
