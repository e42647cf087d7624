//! How one series stands with one rule: bad and good readings in a row, and the alert it fires.

use std::sync::Arc;
use std::time::Duration;

use super::active::{Alert, fingerprint};
use super::baseline::Baseline;
use super::engine::clip;
use super::matcher::Labels;
use super::rule::{Kind, Rule};

/// What was not seen for an hour and fires nothing is forgotten.
const FORGOTTEN_MS: i64 = 3_600_000;

/// A rule and what it looks at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// Its place among the rules.
    pub(super) rule: usize,
    pub(super) target: Arc<str>,
    /// Of the series, or of the group of series.
    pub(super) labels: Labels,
}

/// What is remembered of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Standing {
    bad: u32,
    good: u32,
    /// Rounds of its target in a row that did not tell it.
    pub(super) missing: u32,
    /// The round it was seen in last.
    pub(super) round: u64,
    seen_ms: i64,
    pub(super) fired_ms: Option<i64>,
    pub(super) baseline: Baseline,
    pub(super) alert: Option<Alert>,
    /// It fires, and no event says so yet.
    pub(super) is_new: bool,
}

impl Standing {
    /// Counts a value; whether it was bad.
    pub(super) fn count(&mut self, now_ms: i64, round: u64, rule: &Rule, value: f64) -> bool {
        (self.seen_ms, self.round, self.missing) = (now_ms, round, 0);
        let firing = self.alert.is_some();
        let bad = match rule.kind {
            Kind::Absence => value < 1.0,
            Kind::Degradation => self.baseline.is_bad(rule, value),
            Kind::Threshold | Kind::Rate => rule.is_bad(value, firing),
        };
        if rule.kind == Kind::Degradation && !bad {
            self.baseline.learn(rule, value);
        }
        if bad {
            (self.bad, self.good) = (self.bad.saturating_add(1), 0);
        } else {
            (self.bad, self.good) = (0, self.good.saturating_add(1));
        }
        if let Some(alert) = self.alert.as_mut().filter(|_| bad) {
            (alert.value, alert.fresh) = (told(rule, value), true);
        }
        bad
    }

    /// The alert that is over with the last value.
    pub(super) fn ended(&mut self, rule: &Rule) -> Option<Alert> {
        let over = self.good >= rule.down;
        self.alert.take_if(|_| over)
    }

    /// Whether the last value makes it fire.
    pub(super) fn fires(&mut self, now_ms: i64, rule: &Rule) -> bool {
        // A clock that was set back does not lengthen the cooldown.
        self.fired_ms = self.fired_ms.map(|fired| fired.min(now_ms));
        let cool = self.fired_ms.is_none_or(|fired| now_ms - fired >= millis(rule.cooldown));
        self.alert.is_none() && self.bad >= rule.up && cool
    }

    /// Fires.
    pub(super) fn fire(&mut self, now_ms: i64, rule: &Rule, key: &Key, value: f64) -> Alert {
        let (threshold, baseline) = match rule.kind {
            Kind::Absence => (None, None),
            Kind::Degradation => (Some(self.baseline.limit(rule)), Some(self.baseline.mean)),
            Kind::Threshold | Kind::Rate => (rule.limit_of(value), None),
        };
        let mut labels = Labels::new();
        for (name, value) in &key.labels {
            let taken = matches!(name.as_str(), "alertname" | "severity" | "target");
            let name = if taken { format!("exported_{name}") } else { name.clone() };
            labels.insert(name, value.clone());
        }
        labels.insert("alertname".to_owned(), rule.name.clone());
        labels.insert("severity".to_owned(), rule.severity.name().to_owned());
        labels.insert("target".to_owned(), key.target.to_string());
        let mut alert = Alert {
            id: key.id(rule),
            rule: rule.name.clone(),
            kind: rule.kind,
            severity: rule.severity,
            target: key.target.to_string(),
            metric: rule.metric.clone(),
            labels,
            value: told(rule, value),
            threshold,
            baseline,
            since_ms: now_ms,
            told_ms: None,
            escalated_ms: None,
            acknowledged: None,
            summary: String::new(),
            recommendation: rule.recommendation.clone(),
            inhibited: false,
            fresh: true,
        };
        alert.summary = summary(rule, &alert);
        (self.fired_ms, self.is_new) = (Some(now_ms), true);
        self.alert = Some(alert.clone());
        alert
    }

    /// Whether it has to be remembered.
    pub(super) fn is_wanted(&self, now_ms: i64) -> bool {
        self.alert.is_some() || now_ms - self.seen_ms < FORGOTTEN_MS
    }

    /// As an earlier process left it.
    pub(super) fn restored(
        now_ms: i64,
        fired_ms: Option<i64>,
        baseline: Baseline,
        alert: Option<Alert>,
    ) -> Self {
        Self { seen_ms: now_ms, fired_ms, baseline, alert, ..Self::default() }
    }
}

impl Key {
    /// The id of its alert.
    pub(super) fn id(&self, rule: &Rule) -> String {
        let labels = self.labels.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]);
        fingerprint([rule.name.as_str(), &self.target].into_iter().chain(labels))
    }
}

/// A duration as the engine counts time.
pub(super) fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

fn told(rule: &Rule, value: f64) -> Option<f64> {
    (rule.kind != Kind::Absence && value.is_finite()).then_some(value)
}

fn summary(rule: &Rule, alert: &Alert) -> String {
    let number = |value: Option<f64>| value.map_or("?".to_owned(), number);
    let fixed = [
        ("value", number(alert.value)),
        ("threshold", number(alert.threshold)),
        ("baseline", number(alert.baseline)),
        ("metric", alert.metric.clone()),
    ];
    let text = match (rule.summary.as_str(), rule.kind) {
        ("", Kind::Absence) => "{metric} is absent",
        ("", Kind::Degradation) => "{metric} is {value}, usual is {baseline}",
        ("", Kind::Rate) => "{metric} grows by {value} a second, the limit is {threshold}",
        ("", Kind::Threshold) => "{metric} is {value}, the limit is {threshold}",
        (text, _) => text,
    };
    let labels = alert.labels.iter().map(|(name, value)| (name.as_str(), value.clone()));
    let all: Vec<(&str, String)> = fixed.into_iter().chain(labels).collect();
    clip(&fill(text, &all), 2000).to_owned()
}

/// `{name}` becomes its value; what has none stays. Values are not looked into again.
fn fill(text: &str, values: &[(&str, String)]) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        let found = after.split_once('}').and_then(|(name, after)| {
            let (_, value) = values.iter().find(|(known, _)| *known == name)?;
            Some((value, after))
        });
        rest = match found {
            Some((value, after)) => {
                filled.push_str(value);
                after
            }
            None => {
                filled.push('{');
                after
            }
        };
    }
    filled.push_str(rest);
    filled
}

/// Four significant digits at most, without zeros at the end.
fn number(value: f64) -> String {
    let digits = if value == 0.0 { 0.0 } else { value.abs().log10().floor() };
    let decimals = (3.0 - digits).clamp(0.0, 9.0) as usize;
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (value, text) in
            [(0.0, "0"), (91.25, "91.25"), (0.012_345, "0.01235"), (123_456.7, "123457"), (2.0, "2")]
        {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn a_text_is_filled_once() {
        let values = [("a", "{b}".to_owned()), ("b", "x".to_owned())];
        assert_eq!(fill("{a} {b} {c} {", &values), "{b} x {c} {");
    }
}
