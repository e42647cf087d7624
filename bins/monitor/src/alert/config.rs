//! Everything that bounds alerts, as plain data.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::receiver::ReceiverConfig;
use super::rule::Rule;
use super::silence::Inhibit;
use super::{matcher, span};

/// The rules and inhibitions that ship, as TOML.
pub const BUILTIN_RULES: &str = include_str!("default.toml");

/// An `[alert]` table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Rules beside the built-in ones, or instead of one with the same name. At most 1000.
    pub rule: Vec<Rule>,
    /// Files with further `[[rule]]` and `[[inhibit]]` tables, read at the start. At most 64.
    pub files: Vec<PathBuf>,
    /// Whether the built-in rules and inhibitions count. Default true.
    pub builtin: bool,
    /// Names of built-in rules that are switched off.
    pub off: Vec<String>,
    /// Which alert makes another needless, beside the built-in ones. At most 100.
    pub inhibit: Vec<Inhibit>,
    /// Who is told. Default the console and a file of JSON lines. At most 32.
    pub receiver: Vec<ReceiverConfig>,
    /// Limits of the built-in rules that have a flag each.
    pub thresholds: Thresholds,
    /// Alerts that fire at once at most. Default 10000.
    pub max_alerts: usize,
    /// Series that are watched at most, all rules together. Default 100000.
    pub max_series: usize,
    /// Silences at most. Default 1000.
    pub max_silences: usize,
    /// Events kept. Default 500.
    pub history: usize,
    /// A target that says nothing for so long is down. Default 3 min.
    #[serde(with = "span")]
    pub silent_after: Duration,
    /// Notifications that wait for one receiver at most; the oldest go first, and that alerts. Default 1000.
    pub max_waiting: usize,
    /// Alerts in one notification at most; more become several. Default 100.
    pub max_in_one: usize,
    /// How long a notification is tried. Default 24 h.
    #[serde(with = "span")]
    pub keep_trying: Duration,
}

/// What a flag or variable of its own sets (SPEC M8).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Thresholds {
    /// Processor, in percent. Default 70.
    pub cpu_percent: f64,
    /// Memory, in percent. Default 80.
    pub memory_percent: f64,
    /// Mean answer, in milliseconds. Default 1000.
    pub response_ms: f64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { cpu_percent: 70.0, memory_percent: 80.0, response_ms: 1000.0 }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            rule: Vec::new(),
            files: Vec::new(),
            builtin: true,
            off: Vec::new(),
            inhibit: Vec::new(),
            receiver: vec![ReceiverConfig::console(), ReceiverConfig::log("alerts.jsonl".into())],
            thresholds: Thresholds::default(),
            max_alerts: 10_000,
            max_series: 100_000,
            max_silences: 1000,
            history: 500,
            silent_after: Duration::from_secs(180),
            max_waiting: 1000,
            max_in_one: 100,
            keep_trying: Duration::from_secs(86_400),
        }
    }
}

/// A file of rules.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Rules {
    rule: Vec<Rule>,
    inhibit: Vec<Inhibit>,
}

impl Config {
    /// Reads the built-in rules and those of `files` into `rule` and `inhibit`.
    ///
    /// # Errors
    /// The file, line and field that is wrong.
    pub fn complete(mut self) -> Result<Self, String> {
        if self.files.len() > 64 {
            return Err("config field `alert.files`: at most 64".to_owned());
        }
        for file in std::mem::take(&mut self.files) {
            let place = file.display();
            let text =
                std::fs::read_to_string(&file).map_err(|error| format!("alert rules {place}: {error}"))?;
            let more: Rules =
                toml::from_str(&text).map_err(|error| format!("alert rules {place}: {error}"))?;
            self.rule.extend(more.rule);
            self.inhibit.extend(more.inhibit);
        }
        if std::mem::replace(&mut self.builtin, false) {
            let shipped: Rules =
                toml::from_str(BUILTIN_RULES).map_err(|error| format!("built-in alert rules: {error}"))?;
            let known: BTreeSet<&str> = shipped.rule.iter().map(|rule| rule.name.as_str()).collect();
            if let Some(name) = self.off.iter().find(|name| !known.contains(name.as_str())) {
                let known: Vec<&str> = known.into_iter().collect();
                return Err(format!(
                    "config field `alert.off`: no built-in rule is called {name:?}; there are {}",
                    known.join(", ")
                ));
            }
            let mine: BTreeSet<String> = self.rule.iter().map(|rule| rule.name.clone()).collect();
            let wanted = shipped.rule.into_iter().filter(|rule| !mine.contains(&rule.name));
            let wanted = wanted.filter(|rule| !self.off.contains(&rule.name));
            let limits = self.thresholds;
            self.rule.extend(wanted.map(|rule| limits.apply(rule)));
            self.inhibit.extend(shipped.inhibit);
            self.off.clear();
        }
        self.validate()?;
        Ok(self)
    }

    /// The rules that count, once [`complete`](Self::complete).
    ///
    /// # Errors
    /// The rule and field that is wrong.
    pub fn rules(&self) -> Result<Vec<Rule>, String> {
        self.validate()?;
        Ok(self.rule.iter().filter(|rule| rule.enabled).cloned().collect())
    }

    /// Checks every bound; the error names the field.
    ///
    /// # Errors
    /// The first field that is wrong, and what it wants.
    pub fn validate(&self) -> Result<(), String> {
        let checks = [
            ("rule", self.rule.len() <= 1000, "at most 1000"),
            ("inhibit", self.inhibit.len() <= 100, "at most 100"),
            ("receiver", self.receiver.len() <= 32, "at most 32"),
            ("max_alerts", (1..=100_000).contains(&self.max_alerts), "must be 1 to 100000"),
            ("max_series", (1..=10_000_000).contains(&self.max_series), "must be 1 to 10000000"),
            ("max_silences", self.max_silences <= 100_000, "at most 100000"),
            ("history", (1..=100_000).contains(&self.history), "must be 1 to 100000"),
            ("silent_after", self.silent_after >= Duration::from_secs(1), "must be at least 1 s"),
            ("max_waiting", (1..=100_000).contains(&self.max_waiting), "must be 1 to 100000"),
            ("max_in_one", (1..=10_000).contains(&self.max_in_one), "must be 1 to 10000"),
            ("keep_trying", self.keep_trying >= Duration::from_secs(1), "must be at least 1 s"),
        ];
        if let Some((field, _, wants)) = checks.into_iter().find(|(_, good, _)| !good) {
            return Err(format!("config field `alert.{field}`: {wants}"));
        }
        let Thresholds { cpu_percent, memory_percent, response_ms } = self.thresholds;
        let limits =
            [("cpu_percent", cpu_percent), ("memory_percent", memory_percent), ("response_ms", response_ms)];
        if let Some((field, _)) = limits.into_iter().find(|(_, limit)| !(limit.is_finite() && *limit > 0.0)) {
            return Err(format!("config field `alert.thresholds.{field}`: must be above 0"));
        }
        let mut names = BTreeSet::new();
        for rule in &self.rule {
            rule.validate()?;
            if !names.insert(&rule.name) {
                return Err(format!("alert rule {:?}: stands twice", rule.name));
            }
        }
        for inhibit in &self.inhibit {
            let sides = [&inhibit.source, &inhibit.target];
            if sides.iter().any(|side| side.is_empty() || side.len() > matcher::MAX_MATCHERS)
                || inhibit.equal.len() > 8
            {
                return Err("config field `alert.inhibit`: `source` and `target` want 1 to 32 matchers, `equal` at most 8".to_owned());
            }
        }
        let mut names = BTreeSet::new();
        for receiver in &self.receiver {
            receiver.validate()?;
            if !names.insert(&receiver.name) {
                return Err(format!("alert receiver {:?}: stands twice", receiver.name));
            }
        }
        Ok(())
    }
}

impl Thresholds {
    /// Puts the limit of a flag into the built-in rule that has it; what clears it keeps its distance.
    fn apply(self, mut rule: Rule) -> Rule {
        let limit = match rule.name.as_str() {
            "cpu-high" => self.cpu_percent,
            "memory-high" => self.memory_percent,
            "response-slow" => self.response_ms,
            _ => return rule,
        };
        let ratio = rule.above.map_or(1.0, |above| limit / above);
        rule.above = Some(limit);
        rule.clear = rule.clear.map(|clear| clear * ratio);
        rule
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::Severity;

    #[test]
    fn the_rules_that_ship_are_good_and_say_what_to_do() {
        let config = Config::default().complete().unwrap();
        assert!(config.rule.len() >= 15);
        for rule in &config.rule {
            assert!(!rule.summary.is_empty() && !rule.recommendation.is_empty(), "{}", rule.name);
        }
        let severity = |name: &str| config.rule.iter().find(|rule| rule.name == name).unwrap().severity;
        assert_eq!(severity("cpu-high"), Severity::Warning);
        assert_eq!(
            (severity("memory-high"), severity("errors-high")),
            (Severity::Critical, Severity::Critical)
        );
    }

    #[test]
    fn flags_move_the_limits() {
        let thresholds = Thresholds { cpu_percent: 35.0, ..Thresholds::default() };
        let config = Config { thresholds, ..Config::default() }.complete().unwrap();
        let cpu = config.rule.iter().find(|rule| rule.name == "cpu-high").unwrap();
        assert_eq!((cpu.above, cpu.clear), (Some(35.0), Some(32.5)));
    }

    #[test]
    fn ones_own_rule_replaces_a_shipped_one() {
        let rule = Rule::above("cpu-high", "mine", 1.0);
        let off = vec!["swap-used".to_owned()];
        let config = Config { rule: vec![rule.clone()], off, ..Config::default() }.complete().unwrap();
        assert_eq!(config.rule.iter().filter(|one| one.name == "cpu-high").collect::<Vec<_>>(), [&rule]);
        assert!(config.rule.iter().all(|rule| rule.name != "swap-used"));
        let wrong = Config { off: vec!["no-such".to_owned()], ..Config::default() };
        assert!(wrong.complete().unwrap_err().contains("memory-high"));
    }

    #[test]
    fn files_are_read_and_blamed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rules.toml");
        std::fs::write(&file, "[[rule]]\nname = \"mine\"\nmetric = \"m\"\nabove = 1\n").unwrap();
        let config = Config { files: vec![file.clone()], ..Config::default() }.complete().unwrap();
        assert!(config.rule.iter().any(|rule| rule.name == "mine"));
        std::fs::write(&file, "[[rule]]\nname = \"mine\"\nmetirc = \"m\"\n").unwrap();
        let error = Config { files: vec![file], ..Config::default() }.complete().unwrap_err();
        assert!(error.contains("rules.toml") && error.contains("metirc"), "{error}");
    }
}
