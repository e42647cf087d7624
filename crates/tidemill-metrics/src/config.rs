//! What a registry may be told: a prefix and its bounds, checked when it is built.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::Error;
use crate::name;

/// Settings of a [`Registry`](crate::Registry).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Stands before every name, with an underscore between. Default: empty, nothing.
    pub prefix: String,
    /// Label sets a metric may have; all further ones share a series with `__overflow__` in every label.
    /// Default 1000.
    pub max_series: usize,
    /// Metrics the registry may hold. Default 1000.
    pub max_families: usize,
    /// Series that nobody holds a handle of leave the exposition when they have not changed for this long: `"30s"`,
    /// `"15m"`, `"2h"`, `"never"`. A series whose handle lives is never taken out. Default never.
    #[serde(deserialize_with = "read_idle", serialize_with = "write_idle")]
    pub idle: Option<Duration>,
    /// Upper bounds of the classic buckets of histograms, ascending; each is moved to the nearest boundary
    /// 2^(i/8), so that the counts are exact. Default: the powers of two from 2^-10 to 2^6 (1 ms to 64 s).
    pub buckets: Vec<f64>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            prefix: String::new(),
            max_series: 1000,
            max_families: 1000,
            idle: None,
            buckets: (-10..=6).map(|power| f64::from(power).exp2()).collect(),
        }
    }
}

impl Config {
    pub(crate) fn check(&self) -> Result<(), Error> {
        if !self.prefix.is_empty() && !name::is_metric(&self.prefix) {
            return Err(Error::config("prefix", format!("`{}` is no metric name", self.prefix)));
        }
        for (field, value) in [("max_series", self.max_series), ("max_families", self.max_families)] {
            if value == 0 || value > 1 << 24 {
                return Err(Error::config(field, format!("{value} is not within 1 to {}", 1 << 24)));
            }
        }
        if self.idle == Some(Duration::ZERO) {
            return Err(Error::config("idle", "zero would take out every series: say `never`".to_owned()));
        }
        check_buckets(&self.buckets)
    }
}

fn read_idle<'de, D: Deserializer<'de>>(source: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(source)?;
    if text == "never" {
        return Ok(None);
    }
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let unit = match &text[split..] {
        "ms" => 1,
        "s" => 1000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => 0,
    };
    let number = text[..split].parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    match number {
        Some(ms) if unit > 0 => Ok(Some(Duration::from_millis(ms))),
        _ => Err(serde::de::Error::custom(format!("`{text}` is no duration such as `15m`, nor `never`"))),
    }
}

fn write_idle<S: Serializer>(idle: &Option<Duration>, target: S) -> Result<S::Ok, S::Error> {
    match idle {
        None => target.serialize_str("never"),
        Some(idle) => target.serialize_str(&format!("{}ms", idle.as_millis())),
    }
}

pub(crate) fn check_buckets(bounds: &[f64]) -> Result<(), Error> {
    let fail = |reason: String| Err(Error::config("buckets", reason));
    if bounds.is_empty() || bounds.len() > 512 {
        return fail(format!("{} bounds are not within 1 to 512", bounds.len()));
    }
    if !bounds.iter().all(|bound| (crate::ZERO_THRESHOLD..=crate::LARGEST).contains(bound)) {
        return fail("a bound is not within 2^-30 to 2^34".to_owned());
    }
    if !bounds.is_sorted_by(|a, b| a < b) {
        return fail("the bounds do not ascend".to_owned());
    }
    Ok(())
}
