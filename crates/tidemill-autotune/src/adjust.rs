//! What a rule does: `cache.* capacity * 0.7`, `workers + 2`, `pace = 0.5`, `run memory.release`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::words::{Token, Tokens};

/// One change of every knob a pattern names, or an action the program knows by name.
///
/// A pattern is a dotted name in which `*` stands for one part: `cache.*.capacity` is `cache.prices.capacity`; a blank may stand
/// for the last dot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Adjustment {
    text: String,
    what: What,
}

#[derive(Clone, Debug, PartialEq)]
enum What {
    Knobs { pattern: String, change: Change },
    Action(String),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Change {
    By(f64),
    Times(f64),
    To(f64),
}

impl Adjustment {
    /// Whether it changes the knob of this name.
    #[must_use]
    pub fn is_about(&self, knob: &str) -> bool {
        matches!(&self.what, What::Knobs { pattern, .. } if matches(pattern, knob))
    }

    /// The value it wants instead of `value`, before any bound.
    #[must_use]
    pub fn apply(&self, value: f64) -> f64 {
        match self.what {
            What::Knobs { change: Change::By(by), .. } => value + by,
            What::Knobs { change: Change::Times(by), .. } => value * by,
            What::Knobs { change: Change::To(to), .. } => to,
            What::Action(_) => value,
        }
    }

    /// The action it runs, when it is one.
    #[must_use]
    pub fn action(&self) -> Option<&str> {
        match &self.what {
            What::Action(name) => Some(name),
            What::Knobs { .. } => None,
        }
    }
}

fn matches(pattern: &str, name: &str) -> bool {
    let (mut pattern, mut name) = (pattern.split('.'), name.split('.'));
    loop {
        match (pattern.next(), name.next()) {
            (None, None) => return true,
            (Some("*"), Some(_)) => {}
            (Some(one), Some(other)) if one == other => {}
            _ => return false,
        }
    }
}

impl FromStr for Adjustment {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let mut tokens = Tokens::read(text)?;
        let Some(Token::Word(mut pattern)) = tokens.take() else {
            return Err(tokens.expected("the name of a knob, or `run` and an action"));
        };
        let what = if pattern == "run" {
            let Some(Token::Word(action)) = tokens.take() else {
                return Err(tokens.expected("the name of an action"));
            };
            What::Action(action)
        } else {
            if let Some(Token::Word(last)) = tokens.peek().cloned() {
                tokens.take();
                pattern = format!("{pattern}.{last}");
            }
            let sign = ["*", "+", "-", "="].into_iter().find(|sign| tokens.sign(sign));
            let Some(sign) = sign else { return Err(tokens.expected("one of * + - =")) };
            let Some(Token::Number(number, _)) = tokens.take() else {
                return Err(tokens.expected("a number"));
            };
            let change = match sign {
                "*" => Change::Times(number),
                "+" => Change::By(number),
                "-" => Change::By(-number),
                _ => Change::To(number),
            };
            What::Knobs { pattern, change }
        };
        if !tokens.is_done() {
            return Err(tokens.expected("the end"));
        }
        Ok(Self { text: text.to_owned(), what })
    }
}

impl TryFrom<String> for Adjustment {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<Adjustment> for String {
    fn from(adjustment: Adjustment) -> Self {
        adjustment.text
    }
}

impl fmt::Display for Adjustment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form() {
        for (text, knob, from, to) in [
            ("cache.* capacity * 0.7", "cache.prices.capacity", 100.0, 70.0),
            ("cache.*.capacity * 0.7", "cache.prices.capacity", 100.0, 70.0),
            ("workers + 2", "workers", 4.0, 6.0),
            ("workers - 1", "workers", 4.0, 3.0),
            ("pace = 0.5", "pace", 4.0, 0.5),
            ("*.ttl * 1.5", "prices.ttl", 60.0, 90.0),
        ] {
            let adjustment: Adjustment = text.parse().unwrap();
            assert!(adjustment.is_about(knob), "{text}");
            assert_eq!(adjustment.apply(from), to, "{text}");
            assert!(!adjustment.is_about("other.name.altogether.long"));
        }
        let action: Adjustment = "run memory.release".parse().unwrap();
        assert_eq!(action.action(), Some("memory.release"));
        assert!(!action.is_about("memory.release"));
    }

    #[test]
    fn an_error_says_what_was_expected() {
        for (text, expected) in [
            ("workers", "one of * + - ="),
            ("workers + two", "a number"),
            ("run", "an action"),
            ("workers + 2 3", "the end"),
        ] {
            let error = text.parse::<Adjustment>().unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
