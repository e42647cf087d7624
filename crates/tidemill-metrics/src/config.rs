//! What a registry may be told: a prefix and its bounds, checked when it is built.

use serde::{Deserialize, Serialize};

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
        check_buckets(&self.buckets)
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
