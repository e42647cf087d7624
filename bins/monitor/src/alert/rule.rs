//! What is watched: a metric, when it is bad, for how long, and who hears of it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::severity::Severity;
use super::span;

/// One rule; a `[[alert.rule]]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Unique; becomes the label `alertname`.
    pub name: String,
    /// What is looked at. Default `threshold`.
    #[serde(default)]
    pub kind: Kind,
    /// Name of the metric. `up` is 1 where a target answered and 0 where it did not.
    pub metric: String,
    /// Another metric: the value is then `scale * metric / per`, of the growth of both where `kind = "rate"`.
    #[serde(default)]
    pub per: Option<String>,
    /// With `per`. Default 100: a share in percent.
    #[serde(default)]
    pub scale: Option<f64>,
    /// Which targets, with `*`; a `!` before it means all others. Default all.
    #[serde(default)]
    pub target: Option<String>,
    /// Which series: label and value, with `*`. Default all.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Whether each series is watched alone, or all of them together. Default `each`.
    #[serde(default)]
    pub fold: Fold,
    /// With a fold: one value for each of these labels' values. Default none: one a target.
    #[serde(default)]
    pub by: Vec<String>,
    /// Bad above this.
    #[serde(default)]
    pub above: Option<f64>,
    /// Bad below this.
    #[serde(default)]
    pub below: Option<f64>,
    /// Good again only on the far side of this, so that a value at the limit does not flap. Default the limit itself.
    #[serde(default)]
    pub clear: Option<f64>,
    /// For `rate`: growth per second over this long. Default since the last reading.
    #[serde(default, with = "span::optional")]
    pub window: Option<Duration>,
    /// For `degradation`: which direction is worse. Default `higher`.
    #[serde(default)]
    pub worse: Worse,
    /// For `degradation`: worse than usual by this many percent. Default 20.
    #[serde(default = "twenty")]
    pub percent: f64,
    /// For `degradation`: readings that a usual value needs. Default 30.
    #[serde(default = "thirty")]
    pub samples: u32,
    /// Default `warning`.
    #[serde(default)]
    pub severity: Severity,
    /// Bad readings in a row before it fires. Default 1.
    #[serde(default = "one")]
    pub up: u32,
    /// Good readings in a row before it is over. Default 1.
    #[serde(default = "one")]
    pub down: u32,
    /// It fires again no sooner than this after it fired last. Default 5 min.
    #[serde(default = "five_minutes", with = "span")]
    pub cooldown: Duration,
    /// Not acknowledged for this long, it becomes one severity worse, and so on to critical. Default never.
    #[serde(default, with = "span::optional")]
    pub escalate: Option<Duration>,
    /// What is wrong, in a sentence; `{value}`, `{threshold}`, `{target}`, `{metric}` and labels are filled in.
    #[serde(default)]
    pub summary: String,
    /// What to do.
    #[serde(default)]
    pub recommendation: String,
    /// Default true.
    #[serde(default = "yes")]
    pub enabled: bool,
}

/// What of a metric is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Its value against `above` or `below`.
    #[default]
    Threshold,
    /// Its growth per second against `above` or `below`; a total that falls began anew.
    Rate,
    /// That it is there at all.
    Absence,
    /// Its value against what is usual for it.
    Degradation,
}

/// How several series become one value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fold {
    /// They do not.
    #[default]
    Each,
    /// Added up.
    Sum,
    /// The largest.
    Max,
    /// The smallest.
    Min,
    /// On average.
    Mean,
}

/// Which direction is worse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Worse {
    /// More is worse.
    #[default]
    Higher,
    /// Less is worse.
    Lower,
}

impl Rule {
    /// Bad above `limit`; everything else by default.
    #[must_use]
    pub fn above(name: &str, metric: &str, limit: f64) -> Self {
        Self {
            name: name.to_owned(),
            kind: Kind::Threshold,
            metric: metric.to_owned(),
            per: None,
            scale: None,
            target: None,
            labels: BTreeMap::new(),
            fold: Fold::Each,
            by: Vec::new(),
            above: Some(limit),
            below: None,
            clear: None,
            window: None,
            worse: Worse::Higher,
            percent: 20.0,
            samples: 30,
            severity: Severity::Warning,
            up: 1,
            down: 1,
            cooldown: five_minutes(),
            escalate: None,
            summary: String::new(),
            recommendation: String::new(),
            enabled: true,
        }
    }

    /// The limit that a bad value has crossed. None for absence and degradation.
    #[must_use]
    pub fn limit_of(&self, value: f64) -> Option<f64> {
        let below = self.below.filter(|below| value < *below);
        below.or(self.above).or(self.below)
    }

    /// Whether a value is bad; `firing` widens the limit to `clear`.
    #[must_use]
    pub fn is_bad(&self, value: f64, firing: bool) -> bool {
        if value.is_nan() {
            return false;
        }
        let clear = self.clear.filter(|_| firing);
        self.above.is_some_and(|above| value > clear.unwrap_or(above))
            || self.below.is_some_and(|below| value < clear.unwrap_or(below))
    }

    /// Checks it.
    ///
    /// # Errors
    /// The field, and what it wants.
    pub fn validate(&self) -> Result<(), String> {
        let of = |field: &str, wants: &str| Err(format!("alert rule {:?}: `{field}` {wants}", self.name));
        if self.name.is_empty() || self.name.len() > 120 {
            return of("name", "wants 1 to 120 bytes");
        }
        if self.metric.is_empty() || self.metric.len() > 240 {
            return of("metric", "wants the name of a metric");
        }
        if matches!(self.kind, Kind::Threshold | Kind::Rate) && self.above.is_none() && self.below.is_none() {
            return of("above", "or `below` is wanted: when is it bad?");
        }
        if self.kind == Kind::Absence && self.target.is_none() {
            return of("target", "is wanted: absent from which target?");
        }
        if self.above.is_some() && self.below.is_some() && self.clear.is_some() {
            return of("clear", "cannot stand beside both `above` and `below`");
        }
        if [self.above, self.below, self.clear].into_iter().flatten().any(|limit| !limit.is_finite()) {
            return of("above", "`below` and `clear` want finite numbers");
        }
        if self.above.zip(self.clear).is_some_and(|(above, clear)| clear > above) {
            return of("clear", "must not be above `above`");
        }
        if self.below.zip(self.clear).is_some_and(|(below, clear)| clear < below) {
            return of("clear", "must not be below `below`");
        }
        if self.kind == Kind::Degradation && !(self.percent > 0.0 && self.percent <= 10_000.0) {
            return of("percent", "must be above 0 and at most 10000");
        }
        if self.kind == Kind::Degradation && !(2..=100_000).contains(&self.samples) {
            return of("samples", "must be 2 to 100000");
        }
        for (field, count) in [("up", self.up), ("down", self.down)] {
            if !(1..=1000).contains(&count) {
                return of(field, "must be 1 to 1000");
            }
        }
        if self.escalate.is_some_and(|after| after < Duration::from_secs(1)) {
            return of("escalate", "must be at least 1 s");
        }
        if self.by.len() > 8 || self.labels.len() > super::matcher::MAX_MATCHERS {
            return of("by", "takes at most 8 labels, and `labels` at most 32");
        }
        if self.summary.len() > 1000 || self.recommendation.len() > 2000 {
            return of("summary", "takes at most 1000 bytes, and `recommendation` at most 2000");
        }
        Ok(())
    }
}

fn twenty() -> f64 {
    20.0
}

fn thirty() -> u32 {
    30
}

fn one() -> u32 {
    1
}

fn five_minutes() -> Duration {
    Duration::from_secs(300)
}

fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_reads_as_it_is_written() {
        let rule: Rule = toml::from_str(
            "name = \"errors\"\nkind = \"rate\"\nmetric = \"errors_total\"\nper = \"requests_total\"\nabove = 5\n\
             fold = \"sum\"\nwindow = \"1m\"\nescalate = \"10m\"\nseverity = \"critical\"",
        )
        .unwrap();
        rule.validate().unwrap();
        assert_eq!((rule.up, rule.down, rule.window), (1, 1, Some(Duration::from_secs(60))));
        let again: Rule = toml::from_str(&toml::to_string(&rule).unwrap()).unwrap();
        assert_eq!(again, rule);
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        let refused = |change: fn(&mut Rule)| {
            let mut rule = Rule::above("r", "m", 1.0);
            change(&mut rule);
            rule.validate().unwrap_err()
        };
        assert!(refused(|rule| rule.above = None).contains("`above`"));
        assert!(refused(|rule| rule.clear = Some(2.0)).contains("`clear`"));
        assert!(refused(|rule| rule.up = 0).contains("`up`"));
        assert!(refused(|rule| rule.metric.clear()).contains("`metric`"));
        assert!(refused(|rule| rule.above = Some(f64::NAN)).contains("finite"));
        assert!(refused(|rule| rule.escalate = Some(Duration::ZERO)).contains("`escalate`"));
        assert!(toml::from_str::<Rule>("name = \"r\"\nmetric = \"m\"\nabvoe = 1").is_err());
    }

    #[test]
    fn clear_widens_the_limit_of_what_fires() {
        let rule = Rule { clear: Some(70.0), ..Rule::above("r", "m", 80.0) };
        assert!(!rule.is_bad(75.0, false) && rule.is_bad(75.0, true) && !rule.is_bad(70.0, true));
        assert!(!rule.is_bad(f64::NAN, true));
    }
}
