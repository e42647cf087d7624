//! What this process did, counted by queue and priority.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::priority::Priority;

/// The most queue names told apart; further ones share one named `other`.
pub const MAX_QUEUES: usize = 256;

/// Counts since the queue was built, by this process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// By queue, at most [`MAX_QUEUES`] names, then by priority: HIGH, NORMAL, LOW.
    pub queues: BTreeMap<String, [Counts; 3]>,
    /// Transactions.
    pub commits: u64,
    /// Transactions that waited for the disk.
    pub hard_commits: u64,
    /// Operations of callers in all transactions.
    pub operations: u64,
    /// Ends of runs that were refused because another run is current.
    pub refused: u64,
    /// Tasks taken from workers whose lease ended.
    pub reclaimed: u64,
    /// Tries again of a transaction because the store did not answer.
    pub retried_commits: u64,
}

/// Counts of one queue and priority.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Accepted.
    pub enqueued: u64,
    /// Begun by workers of this process.
    pub started: u64,
    /// Ended with a result.
    pub done: u64,
    /// Attempts that failed and are tried again.
    pub retried: u64,
    /// Ended as dead letters.
    pub dead: u64,
    /// Ended cancelled.
    pub cancelled: u64,
    /// Given back at a shutdown or because no handler knows them.
    pub released: u64,
}

impl Stats {
    /// What happened since an earlier reading.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let queues = self.queues.iter().map(|(queue, counts)| {
            let before = earlier.queues.get(queue).copied().unwrap_or_default();
            let mut left = *counts;
            for (now, then) in left.iter_mut().zip(before) {
                *now = now.since(then);
            }
            (queue.clone(), left)
        });
        Self {
            queues: queues.collect(),
            commits: self.commits.saturating_sub(earlier.commits),
            hard_commits: self.hard_commits.saturating_sub(earlier.hard_commits),
            operations: self.operations.saturating_sub(earlier.operations),
            refused: self.refused.saturating_sub(earlier.refused),
            reclaimed: self.reclaimed.saturating_sub(earlier.reclaimed),
            retried_commits: self.retried_commits.saturating_sub(earlier.retried_commits),
        }
    }

    /// All queues and priorities together.
    #[must_use]
    pub fn total(&self) -> Counts {
        let mut all = Counts::default();
        for counts in self.queues.values().flatten() {
            all.enqueued += counts.enqueued;
            all.started += counts.started;
            all.done += counts.done;
            all.retried += counts.retried;
            all.dead += counts.dead;
            all.cancelled += counts.cancelled;
            all.released += counts.released;
        }
        all
    }

    pub(crate) fn counts(&mut self, queue: &str, priority: Priority) -> &mut Counts {
        let known = self.queues.contains_key(queue);
        let queue = if known || self.queues.len() < MAX_QUEUES { queue } else { "other" };
        &mut self.queues.entry(queue.to_owned()).or_default()[priority.index()]
    }
}

impl Counts {
    fn since(self, earlier: Self) -> Self {
        Self {
            enqueued: self.enqueued.saturating_sub(earlier.enqueued),
            started: self.started.saturating_sub(earlier.started),
            done: self.done.saturating_sub(earlier.done),
            retried: self.retried.saturating_sub(earlier.retried),
            dead: self.dead.saturating_sub(earlier.dead),
            cancelled: self.cancelled.saturating_sub(earlier.cancelled),
            released: self.released.saturating_sub(earlier.released),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded_and_a_difference_is_what_happened() {
        let mut stats = Stats::default();
        for n in 0..MAX_QUEUES + 10 {
            stats.counts(&n.to_string(), Priority::High).enqueued += 1;
        }
        assert_eq!(stats.queues.len(), MAX_QUEUES + 1);
        assert_eq!(stats.queues["other"][0].enqueued, 10);
        let before = stats.clone();
        stats.counts("3", Priority::Low).done += 2;
        assert_eq!(stats.since(&before).total(), Counts { done: 2, ..Counts::default() });
    }
}
