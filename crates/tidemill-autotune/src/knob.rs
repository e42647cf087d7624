//! What can be turned: a number with bounds, a step, a price, and the way it can be tried.

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// One setting of the program, without the program: its value is an argument everywhere.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Knob {
    /// Dotted: `cache.prices.capacity`.
    pub name: String,
    /// For people: `bytes`, `s`, `workers`. Default empty.
    #[serde(default)]
    pub unit: String,
    /// The smallest value it may ever have.
    pub low: f64,
    /// The largest.
    pub high: f64,
    /// Values are `low` plus whole steps; 0: any value. Default 0.
    #[serde(default)]
    pub step: f64,
    /// What one change costs. Default free.
    #[serde(default)]
    pub cost: Cost,
    /// How a new value can be tried. Default by switchback.
    #[serde(default)]
    pub trial: TrialBy,
}

/// What a change of a knob costs, which bounds how often it is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cost {
    /// A store of a number.
    #[default]
    Free,
    /// Felt for a while: a cache that refills. Washout is doubled.
    Felt,
    /// A restart of a part: never switched back and forth, so it is not tried by switchback.
    Dear,
}

/// How a new value is compared with the old one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrialBy {
    /// Both values at once, each for a share of the keys, hosts or requests.
    Split,
    /// One value after the other, in blocks whose order is a coin's.
    #[default]
    Switchback,
    /// Not at all: a rule's change is made outright, and watched.
    Never,
}

impl Knob {
    /// A knob within bounds, of any value, tried by switchback.
    #[must_use]
    pub fn new(name: &str, low: f64, high: f64) -> Self {
        let (cost, trial) = (Cost::Free, TrialBy::Switchback);
        Self { name: name.to_owned(), unit: String::new(), low, high, step: 0.0, cost, trial }
    }

    /// The unit it is shown with.
    #[must_use]
    pub fn unit(mut self, unit: &str) -> Self {
        unit.clone_into(&mut self.unit);
        self
    }

    /// Only `low` plus whole steps of this.
    #[must_use]
    pub fn step(mut self, step: f64) -> Self {
        self.step = step;
        self
    }

    /// What a change costs.
    #[must_use]
    pub fn cost(mut self, cost: Cost) -> Self {
        self.cost = cost;
        self
    }

    /// How it is tried.
    #[must_use]
    pub fn trial(mut self, trial: TrialBy) -> Self {
        self.trial = trial;
        self
    }

    /// The nearest value it may have.
    #[must_use]
    pub fn clamp(&self, value: f64) -> f64 {
        if value.is_nan() {
            return self.low;
        }
        let value = value.clamp(self.low, self.high);
        if self.step <= 0.0 {
            return value;
        }
        let steps = ((value - self.low) / self.step).round();
        let most = ((self.high - self.low) / self.step + 1e-9).floor();
        self.low + steps.min(most) * self.step
    }

    /// As [`clamp`](Self::clamp), but at least one step away from `from` in the direction of `wanted`, when there is room:
    /// two workers times 1.2 are three.
    #[must_use]
    pub fn towards(&self, from: f64, wanted: f64) -> f64 {
        let next = self.clamp(wanted);
        if next != from || self.step <= 0.0 || wanted == from || wanted.is_nan() {
            return next;
        }
        self.clamp(from + self.step.copysign(wanted - from))
    }

    /// Checks bounds and step.
    ///
    /// # Errors
    /// `Config`, with the knob's name.
    pub fn validate(&self) -> Result<(), Error> {
        let bad = |why: &str| Err(Error::config(format!("knob {:?}", self.name), why));
        let name_is_plain = self
            .name
            .split('.')
            .all(|part| !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || c == '_'));
        if !name_is_plain || self.name.len() > 128 {
            return bad("wants a dotted name of letters, digits and `_`, at most 128 bytes");
        }
        if !(self.low.is_finite() && self.high.is_finite() && self.low <= self.high) {
            return bad("wants low <= high, both finite");
        }
        if !(self.step.is_finite() && self.step >= 0.0 && self.step <= (self.high - self.low).max(0.0)) {
            return bad("wants a step from 0 to high - low");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_small_knob_still_moves_by_a_step() {
        let workers = Knob::new("workers", 2.0, 16.0).step(1.0);
        assert_eq!(workers.towards(2.0, 2.4), 3.0);
        assert_eq!(workers.towards(3.0, 2.7), 2.0);
        assert_eq!(workers.towards(2.0, 1.4), 2.0, "no room below");
        assert_eq!(workers.towards(16.0, 99.0), 16.0);
        assert_eq!(workers.towards(4.0, 4.0), 4.0);
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        for knob in [
            Knob::new("a b", 0.0, 1.0),
            Knob::new("", 0.0, 1.0),
            Knob::new("a..b", 0.0, 1.0),
            Knob::new("a", 2.0, 1.0),
            Knob::new("a", f64::NAN, 1.0),
            Knob::new("a", 0.0, 1.0).step(2.0),
        ] {
            assert!(knob.validate().is_err(), "{knob:?}");
        }
    }

    proptest! {
        #[test]
        fn never_out_of_bounds(low in -1e6..1e6_f64, width in 0.0..1e6_f64, parts in 0_u32..50, value: f64, from: f64) {
            let step = if parts == 0 { 0.0 } else { width / f64::from(parts) };
            let knob = Knob::new("k", low, low + width).step(step);
            for value in [knob.clamp(value), knob.towards(knob.clamp(from), value)] {
                prop_assert!(knob.low <= value && value <= knob.high + 1e-6, "{value} of {knob:?}");
                prop_assert!((knob.clamp(value) - value).abs() <= 1e-9 * width.max(1.0));
            }
        }
    }
}
