//! Business metrics: what other series come to, by the labels that matter, beside the rest.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::intern::{Interner, Wanted};
use super::{Rounds, ticks};
use crate::config::{Fault, check_name, fault};
use crate::current::Current;
use crate::series::{Kind, Reading, Round};

/// `[[business]]`: a number made of the series of a target, exposed as `business_NAME`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Business {
    /// Name; the metric is `business_NAME`.
    pub name: String,
    /// What the chart is called; default the name.
    pub title: String,
    /// Unit on the chart.
    pub unit: String,
    /// Target whose series are summed.
    pub target: String,
    /// Their metric.
    pub metric: String,
    /// Only series with these labels.
    pub labels: BTreeMap<String, String>,
    /// Labels to keep apart; the others are summed over. Default none: one number.
    pub by: Vec<String>,
    /// `value` (the default) or, of a counter, `rate` per second.
    pub stat: Stat,
    /// Divides by the sum of another metric: a share, a mean, utilisation.
    pub per: Option<Per>,
    /// Multiplies; default 1. 100 for percent, 60 for a rate per minute.
    pub scale: Option<f64>,
}

/// What is taken of a series.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stat {
    /// Its value; of a counter the total.
    #[default]
    Value,
    /// Its growth per second.
    Rate,
}

/// `[business.per]`: what is divided by.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Per {
    /// Its metric, of the same target.
    pub metric: String,
    /// Only series with these labels.
    pub labels: BTreeMap<String, String>,
    /// `value` or `rate`.
    pub stat: Stat,
    /// A number instead of a metric: a capacity.
    pub constant: Option<f64>,
}

impl Business {
    pub(crate) fn check(&self, path: &str, targets: &HashSet<&str>) -> Result<(), Fault> {
        let at = |field: &str| format!("{path}.{field}");
        check_name(&at("name"), &self.name)?;
        let plain = self.name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        fault(&at("name"), plain, || format!("{:?} must be letters, digits and '_'", self.name))?;
        fault(&at("metric"), !self.metric.is_empty(), || "is missing; name a metric of the target".into())?;
        fault(&at("target"), targets.contains(self.target.as_str()), || {
            let mut known: Vec<&str> = targets.iter().copied().collect();
            known.sort_unstable();
            format!("{:?} is not watched; there are: {}", self.target, known.join(", "))
        })?;
        fault(&at("by"), self.by.len() <= 8, || "are more than 8".into())?;
        if let Some(per) = &self.per {
            let one = per.metric.is_empty() == per.constant.is_some();
            fault(&at("per.metric"), one, || "give metric or constant, one of them".into())?;
        }
        Ok(())
    }
}

/// Tells them all as the target `business`, round by round.
pub(super) async fn run(all: Vec<Business>, interval: Duration, rounds: Rounds) {
    let target: Arc<str> = Arc::from("business");
    let mut interner = Interner::new(&target, Wanted::default(), 4096);
    let mut ticks = ticks(interval);
    loop {
        ticks.tick().await;
        let started = Instant::now();
        interner.begin();
        let mut readings = Vec::new();
        for one in &all {
            compute(one, &rounds.current, &mut interner, &mut readings);
        }
        interner.end();
        let (target, at_ms) = (Arc::clone(&target), crate::now_ms());
        rounds.tell(Round { target, at_ms, took: started.elapsed(), error: None, readings });
    }
}

fn compute(one: &Business, current: &Current, interner: &mut Interner, readings: &mut Vec<Reading>) {
    let sums = sums(current, &one.target, (&one.metric, &one.labels, one.stat), &one.by);
    let divisor = match &one.per {
        None => Some(1.0),
        Some(Per { constant: Some(constant), .. }) => Some(*constant),
        Some(per) => {
            self::sums(current, &one.target, (&per.metric, &per.labels, per.stat), &[]).into_values().next()
        }
    };
    // Nothing by nothing is not known.
    let Some(divisor) = divisor.filter(|divisor| *divisor != 0.0) else { return };
    let name = format!("business_{}", one.name);
    for (values, sum) in sums {
        let labels: Vec<(&str, &str)> =
            one.by.iter().zip(&values).map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let value = sum / divisor * one.scale.unwrap_or(1.0);
        if value.is_finite()
            && let Some(series) = interner.labelled(&name, &labels, Kind::Gauge)
        {
            readings.push(Reading { series, value });
        }
    }
}

type What<'a> = (&'a str, &'a BTreeMap<String, String>, Stat);

fn sums(current: &Current, target: &str, what: What<'_>, by: &[String]) -> BTreeMap<Vec<String>, f64> {
    let (metric, labels, stat) = what;
    let mut sums = BTreeMap::new();
    current.each(target, |series, value, rate| {
        let wanted = *series.name == *metric
            && labels.iter().all(|(name, value)| series.label(name) == Some(value.as_str()));
        let number = if stat == Stat::Rate { rate } else { Some(value) };
        if let (true, Some(number)) = (wanted, number) {
            let key = by.iter().map(|name| series.label(name).unwrap_or_default().to_owned()).collect();
            *sums.entry(key).or_insert(0.0) += number;
        }
    });
    sums
}
