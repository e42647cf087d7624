//! Which targets have knobs, and what moves them, as plain data.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A `[tuning]` table.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Targets with knobs. Default none. At most 64.
    pub target: Vec<Target>,
}

/// A `[[tuning.target]]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// The name of a `[[target]]` that is watched: its values are looked at.
    pub name: String,
    /// Where its `/api/v2/knobs` is: `http://127.0.0.1:8000`.
    pub url: String,
    /// Environment variable with the token that its changes ask for. Default none.
    #[serde(default)]
    pub token_env: Option<String>,
    /// It runs on this machine: this host's processor, memory and disk are its own. Default true.
    #[serde(default = "yes")]
    pub here: bool,
    /// While we move its knobs its own tuner is switched off, and on again when we end. Without this a target that tunes itself
    /// is watched and left alone. Default false.
    #[serde(default)]
    pub take_over: bool,
    /// How often. Default 10 s.
    #[serde(default = "ten_seconds", with = "humantime_serde")]
    pub interval: Duration,
    /// How long one answer may take. Default 5 s.
    #[serde(default = "five_seconds", with = "humantime_serde")]
    pub timeout: Duration,
    /// What rules can look at beside `cpu.percent`, `memory.percent`, `disk.wait_percent`, `network.percent`, `response.ms`, `errors.percent`,
    /// `cache.hit_percent`, `requests` and what the target itself tells. At most 100.
    #[serde(default)]
    pub signal: Vec<Signal>,
    /// Rules, guards and bounds. Its `interval` is the one above.
    #[serde(default)]
    pub tuner: tidemill_autotune::Config,
}

/// A signal made of a metric of the target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signal {
    /// As rules call it.
    pub name: String,
    /// The metric; series are added up.
    pub metric: String,
    /// Only series with these labels. Default all.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

impl Config {
    /// Checks it against the names of what is watched.
    ///
    /// # Errors
    /// The first field that is wrong, and what it wants.
    pub fn validate<'a>(&self, watched: impl IntoIterator<Item = &'a str>) -> Result<(), String> {
        if self.target.len() > 64 {
            return Err("config field `tuning.target`: at most 64".to_owned());
        }
        let watched: BTreeSet<&str> = watched.into_iter().collect();
        let mut names = BTreeSet::new();
        for target in &self.target {
            let of =
                |field: &str, wants: &str| Err(format!("tuning target {:?}: `{field}` {wants}", target.name));
            if !watched.contains(target.name.as_str()) {
                return of("name", "must be that of a [[target]] that is watched");
            }
            if !names.insert(&target.name) {
                return of("name", "stands twice");
            }
            if let Err(wants) = crate::address::Address::parse(&target.url) {
                return of("url", wants);
            }
            if target.interval < Duration::from_millis(10) || target.interval > Duration::from_secs(3600) {
                return of("interval", "must be 10 ms to 1 h");
            }
            if target.timeout.is_zero() || target.timeout > Duration::from_secs(60) {
                return of("timeout", "must be above 0 and at most 1 min");
            }
            if target.signal.len() > 100 {
                return of("signal", "at most 100");
            }
            target.rules().map_err(|error| format!("tuning target {:?}: {error}", target.name))?;
        }
        Ok(())
    }
}

impl Target {
    /// The tuner's settings with the rules that make sense from afar: an action of a program can only be run by the program.
    ///
    /// # Errors
    /// A field or rule that is wrong.
    pub fn rules(&self) -> Result<tidemill_autotune::Config, tidemill_autotune::Error> {
        let mut config = self.tuner.clone();
        config.interval = self.interval;
        config.fresh = config.fresh.max(self.interval * 3);
        if std::mem::replace(&mut config.builtin, false) {
            let shipped = tidemill_autotune::builtin_rules()?;
            let known: Vec<String> = shipped.iter().map(|rule| rule.name.clone()).collect();
            config.off.retain(|off| !known.contains(off) || config.rule.iter().any(|rule| rule.name == *off));
            let mine: BTreeSet<&str> = config.rule.iter().map(|rule| rule.name.as_str()).collect();
            let wanted = shipped.into_iter().filter(|rule| !mine.contains(rule.name.as_str()));
            let wanted: Vec<_> = wanted.filter(|rule| !self.tuner.off.contains(&rule.name)).collect();
            config.rule.extend(wanted);
        }
        for rule in &mut config.rule {
            rule.adjust.retain(|adjust| adjust.action().is_none());
        }
        config.rule.retain(|rule| !rule.adjust.is_empty());
        if config.bad.is_none() {
            // Five of these in a row are an emergency (SPEC T4). A busy processor is none: it is what a collector is for.
            config.bad = "memory.percent > 95 or errors.percent > 20 or response.ms > 5000".parse().ok();
        }
        config.validate()?;
        Ok(config)
    }
}

fn yes() -> bool {
    true
}

fn ten_seconds() -> Duration {
    Duration::from_secs(10)
}

fn five_seconds() -> Duration {
    Duration::from_secs(5)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(more: &str) -> Target {
        toml::from_str(&format!("name = \"c\"\nurl = \"http://127.0.0.1:1\"\n{more}")).unwrap()
    }

    #[test]
    fn the_rules_of_the_specification_are_there_and_run_no_action() {
        let config = target("").rules().unwrap();
        let names: Vec<&str> = config.rule.iter().map(|rule| rule.name.as_str()).collect();
        for name in [
            "memory-high",
            "slow-responses",
            "cache-misses",
            "workers-up-queue",
            "workers-down-idle",
            "workers-up-room",
            "workers-down-full",
            "cpu-high",
            "disk-wait",
            "network-full",
        ] {
            assert!(names.contains(&name), "{name} is not in {names:?}");
        }
        assert!(!names.contains(&"cache-cold"), "it is only an action");
        assert!(config.bad.is_some() && config.bad_steps == 5);
        let off = target("[tuner]\noff = [\"cpu-high\"]\n").rules().unwrap();
        assert!(off.rule.iter().all(|rule| rule.name != "cpu-high"));
    }

    #[test]
    fn a_fault_names_the_target_and_the_field() {
        let config = Config { target: vec![target("")] };
        config.validate(["c"]).unwrap();
        assert!(config.validate(["other"]).unwrap_err().contains("`name`"));
        let twice = Config { target: vec![target(""), target("")] };
        assert!(twice.validate(["c"]).unwrap_err().contains("twice"));
        let wrong = Config { target: vec![target("[tuner]\nalpha = 7.0\n")] };
        assert!(wrong.validate(["c"]).unwrap_err().contains("alpha"));
    }
}
