//! An alert that fires, and what happens to it.

use serde::{Deserialize, Serialize};

use super::matcher::Labels;
use super::rule::Kind;
use super::severity::Severity;

/// One alert, from when it fires until it is over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// The same for the same rule, target and labels, over restarts too.
    pub id: String,
    /// Name of the rule.
    pub rule: String,
    /// What kind of rule.
    pub kind: Kind,
    /// Now, escalations counted in.
    pub severity: Severity,
    /// Name of the target.
    pub target: String,
    /// The metric that was looked at.
    pub metric: String,
    /// `alertname`, `severity`, `target` and those of the series.
    pub labels: Labels,
    /// The last value that was bad.
    pub value: Option<f64>,
    /// What it was compared with.
    pub threshold: Option<f64>,
    /// What is usual, where that is what it was compared with.
    pub baseline: Option<f64>,
    /// When it fired, in milliseconds since 1970.
    pub since_ms: i64,
    /// When somebody was told; none while it is held back.
    pub told_ms: Option<i64>,
    /// When it became worse last, or was told first: escalation counts from here.
    pub escalated_ms: Option<i64>,
    /// By whom, and when.
    pub acknowledged: Option<Acknowledged>,
    /// What is wrong.
    pub summary: String,
    /// What to do.
    pub recommendation: String,
    /// It was held back by another one; it is told after the next bad reading.
    #[serde(default)]
    pub inhibited: bool,
    /// It was bad again after the one that held it back was over.
    #[serde(default = "yes")]
    pub fresh: bool,
}

/// Who has seen an alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledged {
    /// Who.
    pub by: String,
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
}

/// Something that happened to an alert.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Counts up by one, over restarts too.
    pub seq: u64,
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// What.
    pub change: Change,
    /// The alert as it is after it.
    pub alert: Alert,
    /// Whether receivers are told.
    pub told: bool,
    /// Why not, or why it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// It fires.
    Fired,
    /// What held it back is over; receivers are told now that it fires.
    Released,
    /// Nobody acknowledged it; it is worse now.
    Escalated,
    /// Somebody has seen it.
    Acknowledged,
    /// It is over.
    Resolved,
    /// It happened once and has no end: a result of tuning, an error of our own.
    Noticed,
}

impl Event {
    /// Whether the alert is over with this.
    #[must_use]
    pub fn is_end(&self) -> bool {
        self.change == Change::Resolved
    }

    /// As the log names it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match (self.change, self.alert.kind) {
            (Change::Noticed, _) if self.alert.rule == super::AUTO_TUNING => "auto_tuning_started",
            (Change::Noticed, _) if self.alert.rule == super::STARTED => "post_deployment_monitoring_started",
            _ if self.alert.metric == super::POOR_ROUNDS => "consecutive_poor_performance",
            (_, Kind::Degradation) => "performance_degradation_detected",
            _ => "threshold_violation",
        }
    }

    /// In a sentence.
    #[must_use]
    pub fn words(&self) -> String {
        let Alert { rule, target, severity, summary, .. } = &self.alert;
        let name = severity.name();
        match self.change {
            Change::Fired | Change::Released => format!("{name}: {rule} on {target}: {summary}"),
            Change::Escalated => format!("{name} now, nobody acknowledged it: {rule} on {target}: {summary}"),
            Change::Acknowledged => {
                let by = self.alert.acknowledged.as_ref().map_or("", |one| one.by.as_str());
                format!("{rule} on {target} was acknowledged by {by}")
            }
            Change::Resolved => {
                format!("over: {rule} on {target}, {}", self.why.as_deref().unwrap_or("good again"))
            }
            Change::Noticed => format!("{name}: {summary}"),
        }
    }
}

/// The same number for the same words everywhere: FNV-1a (Fowler, Noll, Vo), as it has to outlive this build.
#[must_use]
pub(super) fn fingerprint<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for word in words {
        for byte in word.bytes().chain([0xff]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    format!("{hash:016x}")
}

fn yes() -> bool {
    true
}
