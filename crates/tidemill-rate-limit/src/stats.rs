//! What a pool has done and how it stands.

use std::time::Duration;

use serde::Serialize;

use crate::key::KeyState;

/// Counters since the start, and gauges of the moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Stats {
    /// Requests sent.
    pub sent: u64,
    /// Final answers, refusals among them.
    pub answered: u64,
    /// Refusals and bans.
    pub refused: u64,
    /// Requests without a final answer.
    pub unanswered: u64,
    /// Permits given back unsent.
    pub refunded: u64,
    /// Requests among `sent` that never left this machine ([`Outcome::Unsent`](crate::Outcome::Unsent)).
    pub never_left: u64,
    /// Callers turned away because the queue was full.
    pub turned_away: u64,
    /// Gauge: requests in flight.
    pub in_flight: u32,
    /// Gauge: permits granted and not yet sent.
    pub unsent: u32,
    /// Gauge: callers that wait.
    pub waiters: usize,
    /// The limits in the order of the configuration.
    pub limits: Vec<LimitStats>,
    /// The keys in the order of the caller's list.
    pub keys: Vec<KeyStats>,
}

/// One limit, as configured and as learned.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct LimitStats {
    /// Gauge: the size in the configuration.
    pub declared: u32,
    /// Gauge: the size in force.
    pub learned: u32,
    /// Refusals that were put down to this limit.
    pub refusals: u32,
    /// Gauge: whether sends are spaced by response-anchored slots.
    pub strict: bool,
}

/// One key.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct KeyStats {
    /// Requests sent.
    pub sent: u64,
    /// Final answers, refusals among them.
    pub answered: u64,
    /// Refusals and bans.
    pub refused: u64,
    /// Requests without a final answer.
    pub unanswered: u64,
    /// Gauge: requests in flight.
    pub in_flight: u32,
    /// Gauge: share of its fullest quota that is out, 0 to 1.
    pub usage: f64,
    /// Gauge: moving average of the latency (weight of the newest 0.1).
    pub latency: Duration,
    /// Gauge: `usage + latency in seconds + 0.1 x errors`; the lowest of the free keys is used.
    pub score: f64,
    /// Gauge: whether it is in use.
    pub state: KeyState,
    /// Gauge: how long it stays parked.
    pub parked_for: Duration,
}

impl Stats {
    /// What was counted since `earlier`; gauges keep their present value.
    pub fn since(&self, earlier: &Self) -> Self {
        let mut delta = self.clone();
        delta.sent -= earlier.sent.min(delta.sent);
        delta.answered -= earlier.answered.min(delta.answered);
        delta.refused -= earlier.refused.min(delta.refused);
        delta.unanswered -= earlier.unanswered.min(delta.unanswered);
        delta.refunded -= earlier.refunded.min(delta.refunded);
        delta.never_left -= earlier.never_left.min(delta.never_left);
        delta.turned_away -= earlier.turned_away.min(delta.turned_away);
        for (limit, earlier) in delta.limits.iter_mut().zip(&earlier.limits) {
            limit.refusals -= earlier.refusals.min(limit.refusals);
        }
        for (key, earlier) in delta.keys.iter_mut().zip(&earlier.keys) {
            key.sent -= earlier.sent.min(key.sent);
            key.answered -= earlier.answered.min(key.answered);
            key.refused -= earlier.refused.min(key.refused);
            key.unanswered -= earlier.unanswered.min(key.unanswered);
        }
        delta
    }
}
