//! Rules that end a run early: `errors = "10% over 5s"`, decided on what each second brought.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::metric::{Metric, Unit};
use crate::slice::Slice;
use crate::summary::Errors;
use crate::units::duration;

/// Rules by metric, as a table of the plan.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StopRules(pub BTreeMap<Metric, StopRule>);

/// A value that, once exceeded over a time, ends the run. Shares are taken over the whole window and need 20 requests
/// in it; everything else must exceed the value in each second of it. `success` and `rate` end the run when they fall
/// short of the value instead.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StopRule {
    /// Microseconds, a share from 0 to 1, bytes, or a plain number, by `unit`.
    pub value: f64,
    /// What the value counts.
    pub unit: Unit,
    /// The window, whole seconds, at most 10 minutes.
    pub over: Duration,
}

/// The slices of the longest window, and what the rules say of them.
#[derive(Debug)]
pub(crate) struct StopWatch {
    rules: StopRules,
    recent: VecDeque<Slice>,
    longest: usize,
}

/// Fewer requests than this say nothing about a share.
const FEWEST: u64 = 20;

impl StopRules {
    /// Adds or replaces a rule.
    ///
    /// # Errors
    /// [`ErrorKind::Plan`](crate::ErrorKind::Plan) when metric or rule cannot be read, or do not fit.
    pub fn set(&mut self, metric: &str, rule: &str) -> Result<(), Error> {
        let wrong = |reason| Error::plan(format!("stop.{metric}"), reason);
        let (metric, rule) =
            (metric.parse::<Metric>().map_err(wrong)?, rule.parse::<StopRule>().map_err(wrong)?);
        self.0.insert(metric, rule);
        self.check()
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        for (metric, rule) in &self.0 {
            let wrong = |reason: String| Error::plan(format!("stop.{metric}"), reason);
            if !metric.is_of_slices() {
                return Err(wrong("is known at the end only: use it under `pass`".to_owned()));
            }
            if !rule.unit.fits(metric.unit()) {
                return Err(wrong(format!("`{rule}` has the wrong unit: write {}", metric.unit().example())));
            }
        }
        Ok(())
    }
}

impl StopWatch {
    pub(crate) fn new(rules: StopRules) -> Self {
        let longest = rules.0.values().map(StopRule::seconds).max().unwrap_or(0);
        Self { rules, recent: VecDeque::with_capacity(longest), longest }
    }

    /// Takes a second and says which rule ends the run, if one does. Warm-up is not judged.
    pub(crate) fn push(&mut self, slice: &Slice) -> Option<String> {
        if self.longest == 0 || slice.warm_up {
            return None;
        }
        if self.recent.len() == self.longest {
            self.recent.pop_front();
        }
        self.recent.push_back(slice.clone());
        self.rules.0.iter().find_map(|(metric, rule)| self.broken(metric, rule))
    }

    fn broken(&self, metric: &Metric, rule: &StopRule) -> Option<String> {
        let first = self.recent.len().checked_sub(rule.seconds())?;
        let window = self.recent.range(first..);
        let lower = matches!(metric.to_string().as_str(), "success" | "rate");
        let exceeds = |value: f64| if lower { value < rule.value } else { value > rule.value };
        let seen = if metric.unit() == Unit::Share {
            let (mut errors, mut ended) = (Errors::default(), 0);
            for slice in window {
                errors.add(&slice.errors);
                ended += slice.ended;
            }
            if ended < FEWEST {
                return None;
            }
            metric.errors_in(&errors, ended).filter(|value| exceeds(*value))?
        } else {
            let mut mildest = None;
            for slice in window {
                let value = metric.of_slice(slice).filter(|value| exceeds(*value))?;
                let milder =
                    mildest.is_none_or(|so_far: f64| if lower { value > so_far } else { value < so_far });
                mildest = if milder { Some(value) } else { mildest };
            }
            mildest?
        };
        Some(format!("{metric} was {}: the rule is {rule}", metric.unit().text(seen)))
    }
}

impl StopRule {
    fn seconds(&self) -> usize {
        self.over.as_secs() as usize
    }
}

impl FromStr for StopRule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no stop rule: write a value and a window, as \"10% over 5s\"");
        let (value, over) = text.split_once(" over ").ok_or_else(wrong)?;
        let over = duration::parse(over.trim()).ok_or_else(wrong)?;
        if over.subsec_nanos() != 0 || !(1..=600).contains(&over.as_secs()) {
            return Err(format!("`{text}`: the window is whole seconds, 1s to 600s"));
        }
        let value = value.trim().trim_start_matches(['<', '>']);
        let (value, unit) = Unit::read(value).ok_or_else(wrong)?;
        Ok(Self { value, unit, over })
    }
}

impl TryFrom<String> for StopRule {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<StopRule> for String {
    fn from(rule: StopRule) -> Self {
        rule.to_string()
    }
}

impl fmt::Display for StopRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} over {}", self.unit.text(self.value), duration::text(self.over))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary::Percentiles;

    /// The second at which a rule ends a run whose seconds are so.
    fn ends(metric: &str, rule: &str, seconds: impl IntoIterator<Item = Slice>) -> Option<usize> {
        let mut rules = StopRules::default();
        rules.set(metric, rule).unwrap();
        let mut watch = StopWatch::new(rules);
        seconds.into_iter().position(|slice| watch.push(&slice).is_some())
    }

    fn failed(ended: u64, timeout: u64) -> Slice {
        Slice { width_s: 1.0, ended, errors: Errors { timeout, ..Errors::default() }, ..Slice::default() }
    }

    fn p99(ms: f64) -> Slice {
        let response = Percentiles { count: 5, p99_us: ms * 1e3, ..Percentiles::default() };
        Slice { width_s: 1.0, response, ..Slice::default() }
    }

    #[test]
    fn a_share_is_taken_over_the_window() {
        let quiet = || failed(100, 0);
        assert_eq!(ends("errors", "10% over 3s", [quiet(), quiet(), failed(100, 31), quiet()]), Some(2));
        assert_eq!(ends("errors", "10% over 3s", [failed(100, 90), quiet(), quiet(), quiet()]), Some(2));
        assert_eq!(ends("errors", "10% over 3s", [quiet(), quiet(), failed(100, 30), quiet()]), None);
        assert_eq!(ends("errors.timeout", "10% over 1s", [failed(100, 11)]), Some(0));
        assert_eq!(ends("errors.reset", "10% over 1s", [failed(100, 11)]), None);
        assert_eq!(ends("errors", "10% over 1s", [failed(19, 19)]), None, "19 requests say nothing");
        assert_eq!(ends("success", "90% over 1s", [failed(100, 5), failed(100, 11)]), Some(1));
    }

    #[test]
    fn a_time_must_exceed_in_each_second() {
        let run = || [p99(300.0), p99(100.0), p99(300.0), p99(260.0), p99(300.0)];
        assert_eq!(ends("response.p99", "250ms over 3s", run()), Some(4));
        assert_eq!(ends("response.p99", ">250ms over 2s", run()), Some(3));
        assert_eq!(ends("response.p99", "280ms over 2s", run()), None);
        assert_eq!(ends("rate", "5 over 2s", [failed(9, 0), failed(4, 0), failed(0, 0)]), Some(2));
    }

    #[test]
    fn the_warm_up_ends_nothing() {
        let warm = Slice { warm_up: true, ..failed(100, 100) };
        assert_eq!(ends("errors", "10% over 1s", [warm.clone(), warm]), None);
    }

    #[test]
    fn rules_are_read_and_written_as_text() {
        for text in ["10% over 5s", "250ms over 1m", "100 over 600s"] {
            let rule: StopRule = text.parse().unwrap();
            assert_eq!(rule.to_string().parse::<StopRule>().unwrap(), rule);
        }
        for bad in ["10%", "10% over", "10% over 0s", "10% over 1.5s", "10% over 11m", "x over 5s"] {
            assert!(bad.parse::<StopRule>().is_err(), "{bad}");
        }
    }
}
