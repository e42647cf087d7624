//! What a later process must know, and what an earlier one left.

use std::time::Duration;

use super::Core;
use crate::key::KeyIndex;
use crate::learn::{Learner, Spacing};

/// Longest window for which all of it is waited out when the past is unknown.
const COLD_GUARD_UP_TO: u64 = 3_700_000_000_000;

impl Core {
    /// Names of the limits that do not depend on their order.
    pub(crate) fn set_limit_ids(&mut self, ids: Vec<u32>) {
        self.limit_ids = ids;
    }

    /// How long a send may matter.
    pub(crate) fn horizon(&self) -> Duration {
        let longest = self.rules.iter().map(Learner::cooling).max().unwrap_or(0);
        Duration::from_nanos(longest.saturating_add(self.late))
    }

    /// Changes whenever something is learned.
    pub(crate) fn lessons(&self) -> u64 {
        self.rules.iter().map(Learner::lessons).sum()
    }

    /// What is known of each limit: its name, size, and whether it is strictly spaced.
    pub(crate) fn learned(&self) -> Vec<(u32, u32, bool)> {
        let named = self.rules.iter().zip(&self.limit_ids);
        named
            .map(|(rule, id)| (*id, rule.current(), matches!(rule.spacing(), Spacing::Strict { .. })))
            .collect()
    }

    pub(crate) fn restore_learned(&mut self, limit: u32, requests: u32, strict: bool) {
        for (rule, id) in self.rules.iter_mut().zip(&self.limit_ids) {
            if *id == limit {
                rule.restore(requests, strict);
            }
        }
        self.respace();
    }

    pub(crate) fn park_id(&mut self, id: u32, until: Duration) {
        for index in 0..self.keys.len() {
            if self.keys[index].id == id {
                self.park(KeyIndex(index), until);
            }
        }
    }

    /// Takes in a send of an earlier process. Times are ns from the origin of this one, so below 0 in the past;
    /// without an answer the server may have counted it as late as the deadline and the straggler allow.
    pub(crate) fn restore_send(&mut self, id: u32, sent_at: i128, answered_at: Option<i128>, units: u32) {
        self.denied = None;
        let counted_by = answered_at.unwrap_or(sent_at + i128::from(self.late));
        for key in self.keys.iter_mut().filter(|key| key.id == id) {
            key.known = true;
            for quota in &mut key.quotas {
                quota.restore(counted_by, units, &self.rules[quota.rule]);
            }
        }
        for quota in &mut self.shared {
            quota.restore(counted_by, units, &self.rules[quota.rule]);
        }
    }

    /// Nothing is known about what was sent before `unknown_until`: every key waits until its windows have passed,
    /// except those longer than an hour, of which stamps tell enough.
    pub(crate) fn cold_guard(&mut self, unknown_until: i128) {
        let spans = self.rules.iter().map(Learner::cooling).filter(|span| *span <= COLD_GUARD_UP_TO);
        let Some(longest) = spans.max() else { return };
        self.denied = None;
        let until = unknown_until + i128::from(longest) + i128::from(self.late);
        if let Ok(until) = u64::try_from(until) {
            for key in &mut self.keys {
                key.hold = key.hold.max(until);
            }
        }
    }

    /// Until when each key is held back.
    pub(crate) fn holds(&self) -> Vec<u64> {
        self.keys.iter().map(|key| key.hold).collect()
    }
}
