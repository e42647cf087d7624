//! What a pool has done, per group and priority.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

/// Counts since the pool was built, and gauges of this moment. A count may trail the end of its job by the
/// batch it ran in (at most 50 µs of work).
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Stats {
    /// Workers that live (gauge).
    pub workers: usize,
    /// Workers asked for (gauge).
    pub target: usize,
    /// Workers without a job (gauge).
    pub idle: usize,
    /// Workers that made room for new ones: after `recycle_after` jobs or past `recycle_bytes`.
    pub recycled: u64,
    /// Jobs that wait for a worker (gauge).
    pub waiting: usize,
    /// Jobs that wait for their next attempt (gauge).
    pub delayed: usize,
    /// Jobs that workers hold (gauge).
    pub running: usize,
    /// The bound of the queue.
    pub queue: usize,
    /// Retries left in the shared budget (gauge).
    pub retry_budget: f64,
    /// Over all groups.
    pub priorities: Priorities,
    /// By group; jobs without a group stand under `default`.
    pub groups: BTreeMap<String, GroupStats>,
}

/// One group.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct GroupStats {
    /// Jobs that wait for a worker (gauge).
    pub waiting: usize,
    /// Jobs that workers hold (gauge).
    pub running: usize,
    /// By priority.
    pub priorities: Priorities,
}

/// The same counts for each priority.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Priorities {
    /// Of HIGH jobs.
    pub high: Counts,
    /// Of NORMAL jobs.
    pub normal: Counts,
    /// Of LOW jobs.
    pub low: Counts,
}

/// Monotone counts of jobs; `accepted` is the sum of the five endings and what is still inside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Taken into the queue.
    pub accepted: u64,
    /// Ended with a value.
    pub done: u64,
    /// Ended with their own error.
    pub failed: u64,
    /// Ended by timeout or deadline.
    pub timed_out: u64,
    /// Ended by a panic.
    pub panicked: u64,
    /// Ended by `cancel`.
    pub cancelled: u64,
    /// Given back or stopped when the pool closed.
    pub returned: u64,
    /// Further attempts begun.
    pub retried: u64,
    /// Waited, all attempts together.
    pub wait: Duration,
    /// Ran, all attempts together.
    pub run: Duration,
}

impl Stats {
    /// What happened after `earlier`; gauges stay as they are now.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut stats = self.clone();
        stats.recycled = self.recycled.saturating_sub(earlier.recycled);
        stats.priorities = self.priorities.since(&earlier.priorities);
        for (name, group) in &mut stats.groups {
            if let Some(before) = earlier.groups.get(name) {
                group.priorities = group.priorities.since(&before.priorities);
            }
        }
        stats
    }

    /// All priorities together.
    #[must_use]
    pub fn total(&self) -> Counts {
        self.priorities.total()
    }

    /// The share of the workers that hold a job, 0 to 1.
    #[must_use]
    pub fn busy(&self) -> f64 {
        if self.workers == 0 { 0.0 } else { 1.0 - self.idle as f64 / self.workers as f64 }
    }
}

impl Priorities {
    pub(crate) fn new(counts: [Counts; 3]) -> Self {
        let [high, normal, low] = counts;
        Self { high, normal, low }
    }

    fn since(&self, earlier: &Self) -> Self {
        Self {
            high: self.high.since(&earlier.high),
            normal: self.normal.since(&earlier.normal),
            low: self.low.since(&earlier.low),
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.high.add(&other.high);
        self.normal.add(&other.normal);
        self.low.add(&other.low);
    }

    /// All three together.
    #[must_use]
    pub fn total(&self) -> Counts {
        let mut total = self.high;
        total.add(&self.normal);
        total.add(&self.low);
        total
    }
}

impl Counts {
    /// Jobs that ended in any way, given back included.
    #[must_use]
    pub fn ended(&self) -> u64 {
        self.done + self.failed + self.timed_out + self.panicked + self.cancelled + self.returned
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.accepted += other.accepted;
        self.done += other.done;
        self.failed += other.failed;
        self.timed_out += other.timed_out;
        self.panicked += other.panicked;
        self.cancelled += other.cancelled;
        self.returned += other.returned;
        self.retried += other.retried;
        self.wait += other.wait;
        self.run += other.run;
    }

    fn since(&self, earlier: &Self) -> Self {
        Self {
            accepted: self.accepted.saturating_sub(earlier.accepted),
            done: self.done.saturating_sub(earlier.done),
            failed: self.failed.saturating_sub(earlier.failed),
            timed_out: self.timed_out.saturating_sub(earlier.timed_out),
            panicked: self.panicked.saturating_sub(earlier.panicked),
            cancelled: self.cancelled.saturating_sub(earlier.cancelled),
            returned: self.returned.saturating_sub(earlier.returned),
            retried: self.retried.saturating_sub(earlier.retried),
            wait: self.wait.saturating_sub(earlier.wait),
            run: self.run.saturating_sub(earlier.run),
        }
    }
}
