//! What better means: `response.ms lower`, `cache.hit_percent higher`; and what must not get worse meanwhile.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::words::{Token, Tokens};

/// A signal and its good direction.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Objective {
    /// The signal's name.
    pub signal: String,
    /// Whether more is better.
    pub higher: bool,
}

impl Objective {
    /// `new - old`, positive where the new value did better.
    #[must_use]
    pub fn gain(&self, old: f64, new: f64) -> f64 {
        if self.higher { new - old } else { old - new }
    }
}

impl FromStr for Objective {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let mut tokens = Tokens::read(text)?;
        let Some(Token::Word(signal)) = tokens.take() else {
            return Err(tokens.expected("the name of a signal"));
        };
        let higher = tokens.word("higher");
        if !higher && !tokens.word("lower") || !tokens.is_done() {
            return Err(tokens.expected("`higher` or `lower`, then the end"));
        }
        Ok(Self { signal, higher })
    }
}

impl TryFrom<String> for Objective {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<Objective> for String {
    fn from(objective: Objective) -> Self {
        objective.to_string()
    }
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.signal, if self.higher { "higher" } else { "lower" })
    }
}

/// What ends a change at once: a signal beyond a bound, or beyond a multiple of what it was before the change.
///
/// Every change is watched for [`probation`](crate::Config::probation_steps), every trial all the time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guard {
    /// The signal watched; more is worse.
    pub signal: String,
    /// Harm is a reading above this. None: only `ratio` counts.
    #[serde(default)]
    pub above: Option<f64>,
    /// Harm is a reading above this multiple of its median before the change. None: only `above` counts.
    #[serde(default)]
    pub ratio: Option<f64>,
    /// How many readings in a row. Default 2.
    #[serde(default = "two")]
    pub steps: u32,
}

fn two() -> u32 {
    2
}

impl Guard {
    /// Whether a reading is harm, given the median of the readings before the change.
    #[must_use]
    pub fn is_harm(&self, value: f64, before: Option<f64>) -> bool {
        let over = self.above.is_some_and(|bound| value > bound);
        // What was already beyond the bound before is not this change's doing.
        let over = over && before.is_none_or(|before| self.above.is_some_and(|bound| before <= bound));
        let grown =
            self.ratio.zip(before).is_some_and(|(ratio, before)| before > 0.0 && value > ratio * before);
        over || grown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn better_has_a_direction() {
        let lower: Objective = "response.ms lower".parse().unwrap();
        assert_eq!(lower.gain(200.0, 150.0), 50.0);
        let higher: Objective = "hits higher".parse().unwrap();
        assert_eq!(higher.gain(200.0, 150.0), -50.0);
        assert!("hits".parse::<Objective>().is_err() && "hits higher up".parse::<Objective>().is_err());
    }

    #[test]
    fn a_guard_blames_no_change_for_what_was_there_before() {
        let guard = Guard { signal: "errors".into(), above: Some(5.0), ratio: Some(2.0), steps: 2 };
        assert!(guard.is_harm(6.0, Some(1.0)) && guard.is_harm(3.0, Some(1.0)) && guard.is_harm(6.0, None));
        assert!(!guard.is_harm(6.0, Some(5.5)) && !guard.is_harm(1.5, Some(1.0)));
        assert!(!guard.is_harm(3.0, Some(0.0)), "a ratio to nothing says nothing");
    }
}
