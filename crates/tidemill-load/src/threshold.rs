//! Promises and what became of them: `"response.p99" = "<250ms"`.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::metric::{Metric, Unit};
use crate::sample::round;
use crate::summary::Summary;
use crate::units;

/// Promises by metric, as a table of the plan.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Thresholds(pub BTreeMap<Metric, Bound>);

/// A bound of a metric: `<`, `<=`, `>` or `>=` and a value with the metric's unit (`ms`, `%`, `MB` or none).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Bound {
    /// How the metric must stand to the value.
    pub relation: Relation,
    /// Microseconds, a share from 0 to 1, bytes, or a plain number, by `unit`.
    pub value: f64,
    /// What the value counts.
    pub unit: Unit,
}

/// How a metric must stand to a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// `<`
    Below,
    /// `<=`
    AtMost,
    /// `>`
    Above,
    /// `>=`
    AtLeast,
}

/// What became of one promise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// The metric: `response.p99`.
    pub metric: String,
    /// The bound as text: `<250ms`.
    pub bound: String,
    /// What was measured, in the bound's own unit (microseconds, share, bytes or number); `None` when there was nothing
    /// to measure, which breaks the promise.
    pub measured: Option<f64>,
    /// The same as text: `180.2ms`.
    pub measured_text: String,
    /// Whether the promise was kept.
    pub met: bool,
}

impl Thresholds {
    /// Adds or replaces a promise.
    ///
    /// # Errors
    /// [`ErrorKind::Plan`](crate::ErrorKind::Plan) when metric or bound cannot be read, or their units differ.
    pub fn set(&mut self, metric: &str, bound: &str) -> Result<(), Error> {
        let wrong = |reason| Error::plan(format!("pass.{metric}"), reason);
        let (metric, bound) =
            (metric.parse::<Metric>().map_err(wrong)?, bound.parse::<Bound>().map_err(wrong)?);
        self.0.insert(metric, bound);
        self.check()
    }

    /// Judges a run.
    #[must_use]
    pub fn judge(&self, summary: &Summary) -> Vec<Judged> {
        self.0.iter().map(|(metric, bound)| bound.judge(metric, metric.of(summary))).collect()
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        for (metric, bound) in &self.0 {
            if !bound.unit.fits(metric.unit()) {
                return Err(Error::plan(
                    format!("pass.{metric}"),
                    format!("`{bound}` has the wrong unit: write {}", metric.unit().example()),
                ));
            }
        }
        Ok(())
    }
}

impl Bound {
    /// Whether a value keeps the bound.
    #[must_use]
    pub fn holds(&self, measured: f64) -> bool {
        match self.relation {
            Relation::Below => measured < self.value,
            Relation::AtMost => measured <= self.value,
            Relation::Above => measured > self.value,
            Relation::AtLeast => measured >= self.value,
        }
    }

    fn judge(&self, metric: &Metric, measured: Option<f64>) -> Judged {
        Judged {
            metric: metric.to_string(),
            bound: self.to_string(),
            measured: measured.map(round),
            measured_text: measured
                .map_or_else(|| "nothing measured".to_owned(), |value| metric.unit().text(value)),
            met: measured.is_some_and(|value| self.holds(value)),
        }
    }
}

impl FromStr for Bound {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let relations = [
            ("<=", Relation::AtMost),
            (">=", Relation::AtLeast),
            ("<", Relation::Below),
            (">", Relation::Above),
        ];
        let found = relations.iter().find_map(|(sign, relation)| Some((text.strip_prefix(sign)?, *relation)));
        let wrong =
            || format!("`{text}` is no bound: write a relation and a value, as \"<250ms\" or \">99%\"");
        let (value, relation) = found.ok_or_else(wrong)?;
        let (value, unit) = Unit::read(value).ok_or_else(wrong)?;
        Ok(Self { relation, value, unit })
    }
}

impl TryFrom<String> for Bound {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Bound> for String {
    fn from(bound: Bound) -> Self {
        bound.to_string()
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.relation {
            Relation::Below => "<",
            Relation::AtMost => "<=",
            Relation::Above => ">",
            Relation::AtLeast => ">=",
        };
        write!(f, "{sign}{}", self.unit.text(self.value))
    }
}

impl Unit {
    /// A value and what it counts; times are read as microseconds, shares as 0 to 1.
    pub(crate) fn read(text: &str) -> Option<(f64, Self)> {
        let (number, unit) = units::split(text)?;
        match unit {
            "" => Some((number, Self::Number)),
            "%" => Some((number / 100.0, Self::Share)),
            _ => match units::seconds(text) {
                Some(seconds) => Some((seconds * 1e6, Self::Time)),
                None => Some((units::bytes(text)? as f64, Self::Bytes)),
            },
        }
    }
}
