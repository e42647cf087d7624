//! What reading the facts of a machine counted.

use serde::Serialize;

/// Counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FactsStats {
    /// Times everything was read.
    pub reads: u64,
    /// Facts that were told the last time; a level.
    pub facts: u64,
    /// Files that are there and could not be read. One that is not there is not counted: few machines have all.
    pub unreadable: u64,
    /// Lines and values that were not as the kernel documents them, or told twice.
    pub odd: u64,
    /// Files longer than 1 MiB, and processors, devices, file systems and facts beyond their bound.
    pub beyond: u64,
}

impl FactsStats {
    /// What was counted since `earlier`; the levels as they are.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            reads: self.reads.saturating_sub(earlier.reads),
            facts: self.facts,
            unreadable: self.unreadable.saturating_sub(earlier.unreadable),
            odd: self.odd.saturating_sub(earlier.odd),
            beyond: self.beyond.saturating_sub(earlier.beyond),
        }
    }
}
