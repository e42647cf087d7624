//! The three priorities, and the one number by which waiting tasks are ordered.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::timestamp::{Timestamp, micros};

/// How urgent a task is among those that wait.
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

    /// Its place in [`Priority::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }

    /// By its place; a number of no priority counts as LOW.
    pub(crate) fn from_index(index: i64) -> Self {
        match index {
            0 => Self::High,
            1 => Self::Normal,
            _ => Self::Low,
        }
    }

    /// The order of tasks that wait: the smallest runs first. A task gains one step for each `aging` it has waited, and
    /// as all gain alike, the order between two never changes: it is a column and an index, not a computation.
    pub fn rank(self, ready_at: Timestamp, aging: Duration) -> i64 {
        ready_at.0.saturating_add(micros(aging).saturating_mul(self as i64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_gains_a_step_for_each_aging() {
        let aging = Duration::from_secs(60);
        let second = 1_000_000;
        let rank = |priority: Priority, at: i64| priority.rank(Timestamp(at * second), aging);
        assert!(rank(Priority::High, 59) < rank(Priority::Normal, 0));
        assert!(rank(Priority::High, 61) > rank(Priority::Normal, 0));
        assert!(rank(Priority::High, 119) < rank(Priority::Low, 0));
        assert!(rank(Priority::High, 121) > rank(Priority::Low, 0));
        assert!(rank(Priority::Low, 0) < rank(Priority::Low, 1), "the oldest first among equals");
        assert_eq!(Priority::Low.rank(Timestamp(i64::MAX), Duration::MAX), i64::MAX);
    }
}
