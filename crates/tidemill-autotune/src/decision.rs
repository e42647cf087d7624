//! The journal: what was decided, why, on what evidence, from which value to which.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::evidence::Effect;
use crate::knob::TrialBy;

/// One decision. Whoever owns the tuner stores these, and gives them back by [`Tuner::restore`](crate::Tuner::restore).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Counts up by one, over restarts too.
    pub seq: u64,
    /// Since the owner's origin; to be read after a restart it has to be an origin that lasts, the Unix epoch.
    pub at: Duration,
    /// What.
    #[serde(flatten)]
    pub decision: Decision,
}

/// One knob's value before and after.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Turn {
    /// The knob's name.
    pub knob: String,
    /// Before.
    pub from: f64,
    /// After.
    pub to: f64,
}

/// How a trial ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The new value is better and stays.
    Kept,
    /// The new value is worse; the old one is back.
    Undone,
    /// Too little was seen within the bound; the old value is back.
    Inconclusive,
    /// A guard, an emergency, a restart or a person ended it; the old value is back.
    Aborted,
}

/// What can be decided.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Decision {
    /// Values were changed outright.
    Changed {
        /// The rule, controller or person.
        by: String,
        /// What.
        turns: Vec<Turn>,
        /// The readings that led to it.
        evidence: String,
    },
    /// An action was run.
    Ran {
        /// The rule.
        by: String,
        /// The action.
        action: String,
        /// The readings that led to it.
        evidence: String,
    },
    /// Values are tried.
    TrialBegan {
        /// Counts up.
        trial: u64,
        /// The rule.
        rule: String,
        /// What better means.
        objective: String,
        /// How.
        by: TrialBy,
        /// What.
        turns: Vec<Turn>,
        /// The readings that led to it.
        evidence: String,
    },
    /// A trial is over.
    TrialEnded {
        /// Its number.
        trial: u64,
        /// The rule.
        rule: String,
        /// How.
        outcome: Outcome,
        /// What was tried.
        turns: Vec<Turn>,
        /// What was seen.
        effect: Effect,
        /// Why it ended.
        why: String,
    },
    /// What a rule changed outright did harm and was taken back.
    Undone {
        /// The rule.
        rule: String,
        /// The way back.
        turns: Vec<Turn>,
        /// Which guard, and what it saw.
        why: String,
    },
    /// What a rule changed outright is no longer needed and was taken back.
    Restored {
        /// The rule.
        rule: String,
        /// The way back.
        turns: Vec<Turn>,
        /// The readings that led to it.
        evidence: String,
    },
    /// Too many bad steps in a row.
    EmergencyBegan {
        /// The readings of the last.
        evidence: String,
    },
    /// Every measure was taken back.
    EmergencyEnded,
    /// A trial was due, and the day's budget of false changes is spent.
    OverBudget {
        /// The rule.
        rule: String,
    },
}

impl Record {
    /// What happened, in one sentence.
    #[must_use]
    pub fn words(&self) -> String {
        match &self.decision {
            Decision::Changed { by, turns, evidence } => {
                format!("{by} changed {}{}", list(turns), because(evidence))
            }
            Decision::Ran { by, action, evidence } => format!("{by} ran {action}{}", because(evidence)),
            Decision::TrialBegan { trial, rule, objective, turns, evidence, .. } => {
                format!("trial {trial}: {rule} tries {} for {objective}{}", list(turns), because(evidence))
            }
            Decision::TrialEnded { trial, outcome, turns, effect, why, .. } => {
                format!("trial {trial}: {} {outcome}, {why} ({effect})", list(turns))
            }
            Decision::Undone { rule, turns, why } => format!("{rule} was undone, {}: {why}", list(turns)),
            Decision::Restored { rule, turns, evidence } => {
                format!("{rule} is no longer needed: {}{}", list(turns), because(evidence))
            }
            Decision::EmergencyBegan { evidence } => format!("an emergency began{}", because(evidence)),
            Decision::EmergencyEnded => "the emergency ended".to_owned(),
            Decision::OverBudget { rule } => {
                format!("{rule} was not tried: the day's budget of false changes is spent")
            }
        }
    }
}

fn list(turns: &[Turn]) -> String {
    turns.iter().map(Turn::to_string).collect::<Vec<_>>().join(", ")
}

fn because(evidence: &str) -> String {
    if evidence.is_empty() { String::new() } else { format!(" because {evidence}") }
}

impl fmt::Display for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} -> {}", self.knob, number(self.from), number(self.to))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kept => "kept",
            Self::Undone => "undone",
            Self::Inconclusive => "inconclusive",
            Self::Aborted => "aborted",
        })
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = |end: Option<f64>| end.map_or("?".to_owned(), number);
        let (low, high) = (end(self.low), end(self.high));
        write!(
            f,
            "effect {} [{low}, {high}], {} pairs, p {}",
            number(self.estimate),
            self.pairs,
            number(self.p_value)
        )
    }
}

/// Four significant digits, without zeros at the end.
pub(crate) fn number(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return format!("{value}");
    }
    let digits = (3 - value.abs().log10().floor() as i32).clamp(0, 12) as usize;
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (value, text) in
            [(0.0, "0"), (85.0, "85"), (1.0 / 3.0, "0.3333"), (1234567.0, "1234567"), (-2.5, "-2.5")]
        {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn a_record_is_read_as_it_was_written_and_says_what_happened() {
        let turns = vec![Turn { knob: "ttl".into(), from: 60.0, to: 90.0 }];
        let effect = Effect { estimate: -3.0, low: None, high: Some(-1.0), pairs: 7, p_value: 0.01 };
        let why = "the new value is worse".to_owned();
        let decision = Decision::TrialEnded {
            trial: 4,
            rule: "cache".into(),
            outcome: Outcome::Undone,
            turns,
            effect,
            why,
        };
        let record = Record { seq: 9, at: Duration::from_secs(5), decision };
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
        assert_eq!(
            record.words(),
            "trial 4: ttl 60 -> 90 undone, the new value is worse (effect -3 [?, -1], 7 pairs, p 0.01)"
        );
    }
}
