//! The three priorities.

use serde::{Deserialize, Serialize};

/// How urgent a job is among those that wait. It moves one step up for each `aging` it has waited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Before all others.
    High,
    /// The default.
    #[default]
    Normal,
    /// When nothing else waits, or after `2 · aging`.
    Low,
}

impl Priority {
    /// All three, the most urgent first.
    pub const ALL: [Self; 3] = [Self::High, Self::Normal, Self::Low];

    pub(crate) fn index(self) -> usize {
        self as usize
    }
}
