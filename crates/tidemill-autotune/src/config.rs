//! Everything that bounds the tuner, as plain data.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::condition::Condition;
use crate::error::Error;
use crate::objective::Guard;
use crate::rule::Rule;

/// The tuner's settings; a `[tuning]` table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether anything is changed. Off, it still takes readings and orders by hand. Default true.
    pub enabled: bool,
    /// How often [`step`](crate::Tuner::step) is called; a step is the unit of `for`, of blocks and of probation. Default 1 s.
    #[serde(with = "span")]
    pub interval: Duration,
    /// A reading older than this is none. Default 30 s.
    #[serde(with = "span")]
    pub fresh: Duration,
    /// Chance of a verdict in one trial when nothing changed, both directions together. Default 0.05.
    pub alpha: f64,
    /// How many false changes a day of 24 h the trials together may be expected to make: a trial costs its `alpha`. Default 0.5.
    pub false_changes_a_day: f64,
    /// Pairs after which a trial without a verdict ends as inconclusive, and the old value stays. Default 40, at least 6.
    pub max_pairs: u32,
    /// Steps in one block of a switchback, at least; three times the objective's memory when that is longer. Default 10.
    pub block_steps: u32,
    /// Steps in one block at most. Default 120.
    pub max_block_steps: u32,
    /// Steps at the start of a block that count for nothing, since the value before is still felt. Default 2.
    pub washout_steps: u32,
    /// Share of the keys in each of the two groups of a split. Default 0.25; at most 0.5.
    pub split_share: f64,
    /// Steps during which a change made outright is watched by the guards. Default 30.
    pub probation_steps: u32,
    /// What ends a change or a trial at once. Default none: every program has its own. At most 32.
    pub guard: Vec<Guard>,
    /// What a bad step is. None: there are no emergencies. Default none.
    pub bad: Option<Condition>,
    /// Bad steps in a row that are an emergency. Default 5.
    pub bad_steps: u32,
    /// What a good step is, for the way back. None: a step that is not bad. Default none.
    pub good: Option<Condition>,
    /// Good steps in a row before each single measure of an emergency is taken back. Default 30.
    pub good_steps: u32,
    /// Rules beside the built-in ones, or instead of one with the same name. At most 256.
    pub rule: Vec<Rule>,
    /// Names of built-in rules that are switched off.
    pub off: Vec<String>,
    /// Whether the built-in rules count. Default true.
    pub builtin: bool,
    /// Signals at most. Default 1000.
    pub max_signals: usize,
    /// Readings kept of each. Default 256.
    pub max_readings: usize,
    /// Knobs at most. Default 1000.
    pub max_knobs: usize,
    /// Decisions kept in memory until they are taken or pushed out. Default 1000.
    pub max_records: usize,
    /// Seed of the coins. Default 0.
    pub seed: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            interval: Duration::from_secs(1),
            fresh: Duration::from_secs(30),
            alpha: 0.05,
            false_changes_a_day: 0.5,
            max_pairs: 40,
            block_steps: 10,
            max_block_steps: 120,
            washout_steps: 2,
            split_share: 0.25,
            probation_steps: 30,
            guard: Vec::new(),
            bad: None,
            bad_steps: 5,
            good: None,
            good_steps: 30,
            rule: Vec::new(),
            off: Vec::new(),
            builtin: true,
            max_signals: 1000,
            max_readings: 256,
            max_knobs: 1000,
            max_records: 1000,
            seed: 0,
        }
    }
}

impl Config {
    /// Checks every bound; the error names the field.
    ///
    /// # Errors
    /// `Config`.
    pub fn validate(&self) -> Result<(), Error> {
        let checks = [
            ("interval", !self.interval.is_zero(), "must be more than nothing"),
            ("fresh", self.fresh >= self.interval, "must be at least one interval"),
            ("alpha", self.alpha > 0.0 && self.alpha <= 0.5, "must be above 0 and at most 0.5"),
            ("false_changes_a_day", self.false_changes_a_day >= 0.0, "must not be negative"),
            (
                "max_pairs",
                (6..=10_000).contains(&self.max_pairs),
                "must be 6 to 10000: six pairs can be certain",
            ),
            ("block_steps", self.block_steps >= 1, "must be at least 1"),
            ("max_block_steps", self.max_block_steps >= self.block_steps, "must be at least `block_steps`"),
            ("washout_steps", self.washout_steps < self.block_steps, "must leave something of `block_steps`"),
            (
                "split_share",
                self.split_share > 0.0 && self.split_share <= 0.5,
                "must be above 0 and at most 0.5",
            ),
            ("guard", self.guard.len() <= 32, "at most 32"),
            ("bad_steps", self.bad_steps >= 1, "must be at least 1"),
            ("good_steps", self.good_steps >= 1, "must be at least 1"),
            ("rule", self.rule.len() <= 256, "at most 256"),
            ("max_signals", (1..=1_000_000).contains(&self.max_signals), "must be 1 to 1000000"),
            ("max_readings", (16..=100_000).contains(&self.max_readings), "must be 16 to 100000"),
            ("max_knobs", (1..=100_000).contains(&self.max_knobs), "must be 1 to 100000"),
            ("max_records", (16..=1_000_000).contains(&self.max_records), "must be 16 to 1000000"),
        ];
        for (field, good, why) in checks {
            if !good {
                return Err(Error::config(format!("config field `{field}`"), why));
            }
        }
        for guard in &self.guard {
            if guard.above.is_none() && guard.ratio.is_none() || guard.steps == 0 {
                let place = format!("guard on {:?}", guard.signal);
                return Err(Error::config(place, "wants `above` or `ratio`, and `steps` of at least 1"));
            }
        }
        self.rule.iter().try_for_each(Rule::validate)
    }
}

/// Durations as `"30s"`, `"500ms"`, `"5m"`, `"1h"`.
pub(crate) mod span {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(crate) fn serialize<S: Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        let ms = span.as_millis();
        let text = if ms.is_multiple_of(1000) { format!("{}s", ms / 1000) } else { format!("{ms}ms") };
        serializer.serialize_str(&text)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(deserializer)?;
        let unit = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        let number = text[..text.len() - unit.len()].parse().ok().filter(|_| !unit.is_empty());
        number.and_then(|number| crate::words::span(number, unit)).ok_or_else(|| {
            D::Error::custom(format!("{text:?} is no duration: write \"30s\", \"500ms\", \"5m\" or \"1h\""))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn toml_reads_what_it_writes() {
        let text = "interval = \"500ms\"\nbad = \"errors > 5\"\n[[guard]]\nsignal = \"refused\"\nabove = 0.0\n\
                    [[rule]]\nname = \"r\"\nwhen = \"a > 1 for 3\"\ndo = [\"b + 1\"]\ncooldown = \"1h\"\n";
        let config: Config = toml::from_str(text).unwrap();
        assert_eq!(config.rule[0].cooldown, Duration::from_secs(3600));
        let again: Config = toml::from_str(&toml::to_string(&config).unwrap()).unwrap();
        assert_eq!(again, config);
        config.validate().unwrap();
    }

    #[test]
    fn an_error_names_the_field() {
        let refused = |change: fn(&mut Config)| {
            let mut config = Config::default();
            change(&mut config);
            config.validate().unwrap_err().to_string()
        };
        assert!(refused(|config| config.alpha = f64::NAN).contains("`alpha`"));
        assert!(refused(|config| config.washout_steps = 10).contains("`washout_steps`"));
        assert!(refused(|config| config.max_pairs = 3).contains("`max_pairs`"));
        let guard = Guard { signal: "x".into(), above: None, ratio: None, steps: 2 };
        assert!(Config { guard: vec![guard], ..Config::default() }.validate().is_err());
        let unknown = toml::from_str::<Config>("alhpa = 1").unwrap_err().to_string();
        assert!(unknown.contains("alhpa"), "{unknown}");
        let text = toml::from_str::<Config>("[[rule]]\nname = \"r\"\nwhen = \"a >\"\ndo = []")
            .unwrap_err()
            .to_string();
        assert!(text.contains("line 3") && text.contains("expected a number"), "{text}");
    }
}
