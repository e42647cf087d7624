//! What the engine counted.

use serde::Serialize;

/// What was counted; monotone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Rounds looked at.
    pub rounds: u64,
    /// Alerts that fired.
    pub fired: u64,
    /// Alerts that were over.
    pub resolved: u64,
    /// Series and alerts beyond a bound, which were not watched.
    pub dropped: u64,
}
