//! How much a registry holds.

use serde::Serialize;

/// Sizes and counts of a registry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Metric names (gauge).
    pub families: usize,
    /// Series (gauge).
    pub series: usize,
    /// Look-ups that ended in an overflow series.
    pub overflowed: u64,
    /// Series taken out because they were idle.
    pub expired: u64,
    /// Collections that ended in an error.
    pub failed_collections: u64,
    /// Expositions rendered.
    pub renders: u64,
}

impl Stats {
    /// What happened after `earlier`; gauges stay as they are now.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            overflowed: self.overflowed.saturating_sub(earlier.overflowed),
            expired: self.expired.saturating_sub(earlier.expired),
            failed_collections: self.failed_collections.saturating_sub(earlier.failed_collections),
            renders: self.renders.saturating_sub(earlier.renders),
            ..self.clone()
        }
    }
}
