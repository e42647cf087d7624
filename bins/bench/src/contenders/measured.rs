//! What one turn gave.

use crate::compare::Better;

/// A figure that turns are compared by.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Figure {
    /// Such as `response.p50`.
    pub name: &'static str,
    /// Its unit.
    pub unit: &'static str,
    /// Which way is good.
    pub better: Better,
}

/// What one turn gave.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measured {
    /// One value for each figure, in their order; not a number where nothing was measured.
    pub values: Vec<f64>,
    /// Why the turn says more about the generator than about the contender.
    pub invalid: Option<String>,
    /// Whether a signal ended it.
    pub interrupted: bool,
}

impl Figure {
    /// A cost.
    #[must_use]
    pub const fn cost(name: &'static str, unit: &'static str) -> Self {
        Self { name, unit, better: Better::Lower }
    }

    /// A rate.
    #[must_use]
    pub const fn rate(name: &'static str, unit: &'static str) -> Self {
        Self { name, unit, better: Better::Higher }
    }
}
