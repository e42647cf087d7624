//! When a rule applies: `memory.percent > 85 and mean(cpu.percent, 60s) > 70 for 3`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::signal::{Fold, Signals};
use crate::words::{Token, Tokens, span};

/// Comparisons of signals, joined by `and` and `or` (`and` binds tighter), that must hold for a number of steps in a row.
///
/// `NAME` is the newest reading; `mean(NAME, 60s)`, `min`, `max`, `p50` ... `p99` fold the readings of a span. A number may carry
/// a unit (`85%`, `1500ms`): it is there for the reader. A signal without a fresh reading makes its comparison false.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Condition {
    text: String,
    /// Any of these, each of them whole.
    any: Vec<Vec<Comparison>>,
    steps: u32,
}

#[derive(Clone, Debug, PartialEq)]
struct Comparison {
    signal: String,
    fold: Fold,
    span: Option<Duration>,
    above: bool,
    or_equal: bool,
    bound: f64,
}

impl Condition {
    /// Whether it holds at this step. Readings older than `fresh` are none.
    #[must_use]
    pub fn holds(&self, signals: &Signals, now: Duration, fresh: Duration) -> bool {
        self.any.iter().any(|all| all.iter().all(|comparison| comparison.holds(signals, now, fresh)))
    }

    /// How many steps in a row it must hold, at least 1.
    #[must_use]
    pub fn steps(&self) -> u32 {
        self.steps
    }

    /// The signals it looks at.
    pub fn signals(&self) -> impl Iterator<Item = &str> {
        self.any.iter().flatten().map(|comparison| comparison.signal.as_str())
    }

    /// The newest readings it looks at, in words: `memory.percent = 91.2`.
    #[must_use]
    pub fn evidence(&self, signals: &Signals) -> String {
        let mut seen = Vec::new();
        for name in self.signals() {
            if let Some(latest) = signals.get(name).and_then(|series| series.latest()) {
                let text = format!("{name} = {}", crate::decision::number(latest.value));
                if !seen.contains(&text) {
                    seen.push(text);
                }
            }
        }
        seen.join(", ")
    }
}

impl Comparison {
    fn holds(&self, signals: &Signals, now: Duration, fresh: Duration) -> bool {
        let series = signals.get(&self.signal);
        let value = series.and_then(|series| series.fold(self.fold, now, self.span.unwrap_or(fresh)));
        value.is_some_and(|value| {
            let beyond = if self.above { value > self.bound } else { value < self.bound };
            beyond || (self.or_equal && value == self.bound)
        })
    }

    fn read(tokens: &mut Tokens<'_>) -> Result<Self, Error> {
        let Some(Token::Word(name)) = tokens.take() else {
            return Err(tokens.expected("the name of a signal"));
        };
        let (signal, fold, over) = if tokens.sign("(") {
            let fold =
                fold(&name).ok_or_else(|| tokens.expected("mean, min, max or p1 to p99 before a bracket"))?;
            let Some(Token::Word(signal)) = tokens.take() else {
                return Err(tokens.expected("the name of a signal"));
            };
            let over = tokens.sign(",").then(|| tokens.take());
            let Some(Some(Token::Number(number, unit))) = over else {
                return Err(tokens.expected("a comma and a span such as 60s"));
            };
            let over = span(number, &unit).ok_or_else(|| tokens.expected("a span in ms, s, min or h"))?;
            if !tokens.sign(")") {
                return Err(tokens.expected("a closing bracket"));
            }
            (signal, fold, Some(over))
        } else {
            (name, Fold::Latest, None)
        };
        let Some((above, or_equal)) =
            [(">=", (true, true)), ("<=", (false, true)), (">", (true, false)), ("<", (false, false))]
                .into_iter()
                .find_map(|(sign, meaning)| tokens.sign(sign).then_some(meaning))
        else {
            return Err(tokens.expected("one of > >= < <="));
        };
        let negative = tokens.sign("-");
        let Some(Token::Number(number, _)) = tokens.take() else { return Err(tokens.expected("a number")) };
        let bound = if negative { -number } else { number };
        Ok(Self { signal, fold, span: over, above, or_equal, bound })
    }
}

fn fold(name: &str) -> Option<Fold> {
    match name {
        "mean" => Some(Fold::Mean),
        "min" => Some(Fold::Least),
        "max" => Some(Fold::Most),
        other => {
            let percent: u8 = other.strip_prefix('p')?.parse().ok()?;
            (1..100).contains(&percent).then_some(Fold::Quantile(percent))
        }
    }
}

impl FromStr for Condition {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let mut tokens = Tokens::read(text)?;
        let mut any = vec![vec![Comparison::read(&mut tokens)?]];
        loop {
            if tokens.word("and") {
                let next = Comparison::read(&mut tokens)?;
                any.last_mut().into_iter().for_each(|all| all.push(next.clone()));
            } else if tokens.word("or") {
                any.push(vec![Comparison::read(&mut tokens)?]);
            } else {
                break;
            }
        }
        let mut steps = 1;
        if tokens.word("for") {
            let Some(Token::Number(number, _)) = tokens.take() else {
                return Err(tokens.expected("a number of steps"));
            };
            if !(1.0..=1_000_000.0).contains(&number) || number.fract() != 0.0 {
                return Err(Error::syntax(text, 0, "`for` wants a whole number of steps from 1 to 1000000"));
            }
            steps = number as u32;
        }
        if !tokens.is_done() {
            return Err(tokens.expected("`and`, `or`, `for` or the end"));
        }
        Ok(Self { text: text.to_owned(), any, steps })
    }
}

impl TryFrom<String> for Condition {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<Condition> for String {
    fn from(condition: Condition) -> Self {
        condition.text
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn holds(condition: &str, readings: &[(&str, u64, f64)], now: u64) -> bool {
        let mut signals = Signals::new(10, 100);
        for (name, at, value) in readings {
            signals.push(name, s(*at), *value);
        }
        condition.parse::<Condition>().unwrap().holds(&signals, s(now), s(30))
    }

    #[test]
    fn and_binds_tighter_than_or() {
        let readings = [("a", 1, 5.0), ("b", 1, 5.0), ("c", 1, 5.0)];
        assert!(holds("a > 4 or b > 9 and c > 9", &readings, 1));
        assert!(!holds("a > 9 and b > 4 or c > 9", &readings, 1));
        assert!(holds("a >= 5 and b <= 5%", &readings, 1));
        assert!(!holds("a > 5 or b < -5", &readings, 1));
    }

    #[test]
    fn folds_and_stale_readings() {
        let readings = [("a", 10, 1.0), ("a", 20, 3.0)];
        assert!(holds("mean(a, 60s) < 2.5 for 3", &readings, 20));
        assert!(holds("p99(a, 1min) >= 3", &readings, 20));
        assert!(!holds("a > 2", &readings, 100), "80 s old");
        assert!(!holds("nothing > 2", &readings, 20));
    }

    #[test]
    fn an_error_says_where() {
        for (text, where_) in [
            ("a >", "character 3: expected a number"),
            ("a ! 3", "character 2: '!' has no meaning here"),
            ("mean(a) > 3", "expected a comma and a span"),
            ("what(a, 3s) > 3", "expected mean, min, max"),
            ("a > 3 for 2.5", "whole number of steps"),
            ("a > 3 4", "character 6: expected `and`"),
            ("", "expected the name of a signal"),
        ] {
            let error = text.parse::<Condition>().unwrap_err().to_string();
            assert!(error.contains(where_), "{text}: {error}");
        }
    }
}
