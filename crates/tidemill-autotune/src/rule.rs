//! One rule: when it applies, what it changes, and what would show that the change was good.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::adjust::Adjustment;
use crate::condition::Condition;
use crate::config::span;
use crate::error::Error;
use crate::objective::Objective;

/// A rule as it stands in TOML.
///
/// ```
/// use tidemill_autotune::Rule;
/// let rule: Rule = toml::from_str(r#"
///     name = "slow"
///     when = "mean(response.ms, 60s) > 1500 for 3"
///     do = ["concurrency + 2"]
///     objective = "response.ms lower"
///     cooldown = "5m"
/// "#)?;
/// rule.validate()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Its name in the journal, unique.
    pub name: String,
    /// When it applies.
    pub when: Condition,
    /// What it does then, in this order. At most 32.
    #[serde(rename = "do")]
    pub adjust: Vec<Adjustment>,
    /// Tried against the old value, and kept only when this is better. None: changed outright, and watched.
    #[serde(default)]
    pub objective: Option<Objective>,
    /// When what it changed outright goes back to what it was. None: never by itself.
    #[serde(default)]
    pub restore: Option<Condition>,
    /// How long after it fired, or was undone, it does not fire again. Default 5 min.
    #[serde(default = "cooldown", with = "span")]
    pub cooldown: Duration,
    /// Of several that apply, the highest goes first. Default 0.
    #[serde(default)]
    pub priority: i32,
    /// Of one group, at most one change is under watch or trial at a time. Default none.
    #[serde(default)]
    pub group: Option<String>,
    /// One of the safe measures an emergency takes at once. Default no.
    #[serde(default)]
    pub emergency: bool,
    /// Whether it counts at all. Default yes.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// What it is for, in words. Default empty.
    #[serde(default)]
    pub why: String,
}

fn cooldown() -> Duration {
    Duration::from_secs(300)
}

fn yes() -> bool {
    true
}

impl Rule {
    /// A rule that is changed outright, with the defaults of TOML.
    ///
    /// # Errors
    /// `Syntax` of either text.
    pub fn new(name: &str, when: &str, adjust: &[&str]) -> Result<Self, Error> {
        Ok(Self {
            name: name.to_owned(),
            when: when.parse()?,
            adjust: adjust.iter().map(|text| text.parse()).collect::<Result<_, _>>()?,
            objective: None,
            restore: None,
            cooldown: cooldown(),
            priority: 0,
            group: None,
            emergency: false,
            enabled: true,
            why: String::new(),
        })
    }

    /// Checks what the types cannot.
    ///
    /// # Errors
    /// `Config`, with the rule's name.
    pub fn validate(&self) -> Result<(), Error> {
        let bad = |why: &str| Err(Error::config(format!("rule {:?}", self.name), why));
        if self.name.is_empty() || self.name.len() > 128 {
            return bad("wants a name of 1 to 128 bytes");
        }
        if self.adjust.is_empty() || self.adjust.len() > 32 {
            return bad("wants 1 to 32 adjustments in `do`");
        }
        if self.objective.is_some() && self.adjust.iter().any(|adjust| adjust.action().is_some()) {
            return bad("an action cannot be tried and taken back: drop the `objective` or the `run`");
        }
        if self.objective.is_some() && self.restore.is_some() {
            return bad("what a trial kept stays: drop the `objective` or the `restore`");
        }
        Ok(())
    }
}
