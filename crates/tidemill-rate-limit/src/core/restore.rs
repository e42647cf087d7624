//! What a later process must know, and what an earlier one left.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Core;
use crate::key::KeyIndex;
use crate::learn::{Learner, Spacing};
use crate::stamps::{History, Record};

/// Longest window for which all of it is waited out when the past is unknown.
const COLD_GUARD_UP_TO: u64 = 3_700_000_000_000;

impl Core {
    /// What the wall clock shows at the origin of this core's time; limits with a
    /// [`Calendar`](crate::Calendar) need it. Without it their windows count as an hour longer and sliding.
    pub fn set_wall(&mut self, wall: SystemTime) {
        let ns = match wall.duration_since(UNIX_EPOCH) {
            Ok(since) => since.as_nanos() as i128,
            Err(before) => -(before.duration().as_nanos() as i128),
        };
        self.rules.iter_mut().for_each(|rule| rule.set_wall(ns));
    }

    /// Takes in what earlier processes left; `wall` is what the wall clock shows at the origin of this core's time.
    /// Call it before the first request.
    pub fn restore(&mut self, history: &History, wall: SystemTime) {
        self.set_wall(wall);
        let since = |at: SystemTime| match at.duration_since(wall) {
            Ok(ahead) => ahead.as_nanos() as i128,
            Err(behind) => -(behind.duration().as_nanos() as i128),
        };
        // Ticket numbers wrap, so an answer belongs to the latest send of its number.
        let mut open: HashMap<(u32, u16), (i128, u32)> = HashMap::new();
        let mut sends = Vec::new();
        for record in &history.records {
            match *record {
                Record::Sent { at, key, units, ticket } => {
                    if let Some((at, units)) = open.insert((key, ticket), (since(at), units)) {
                        sends.push((key, at, None, units));
                    }
                }
                Record::Answered { at, key, ticket, .. } => {
                    if let Some((sent_at, units)) = open.remove(&(key, ticket)) {
                        sends.push((key, sent_at, Some(since(at)), units));
                    }
                }
                Record::Cancelled { key, ticket, .. } => {
                    open.remove(&(key, ticket));
                }
                Record::Held { at, key } => {
                    if let Ok(ahead) = u64::try_from(since(at)) {
                        self.park_id(key, Duration::from_nanos(ahead));
                    }
                }
                Record::Learned { limit, requests, strict, .. } => {
                    self.restore_learned(limit, requests, strict)
                }
            }
        }
        sends.extend(open.into_iter().map(|((key, _), (at, units))| (key, at, None, units)));
        sends.sort_unstable();
        for (key, sent_at, answered_at, units) in sends {
            self.restore_send(key, sent_at, answered_at, units);
        }
        if let Some(unknown_until) = history.unknown_until {
            self.cold_guard(since(unknown_until));
        }
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

    fn restore_learned(&mut self, limit: u32, requests: u32, strict: bool) {
        for (rule, id) in self.rules.iter_mut().zip(&self.limit_ids) {
            if *id == limit {
                rule.restore(requests, strict);
            }
        }
        self.respace();
    }

    fn park_id(&mut self, id: u32, until: Duration) {
        for index in 0..self.keys.len() {
            if self.keys[index].id == id {
                self.park(KeyIndex(index), until);
            }
        }
    }

    /// Takes in a send of an earlier process. Times are ns from the origin of this one, so below 0 in the past;
    /// without an answer the server may have counted it as late as the deadline and the straggler allow.
    fn restore_send(&mut self, id: u32, sent_at: i128, answered_at: Option<i128>, units: u32) {
        self.denied = None;
        let counted_by = answered_at.unwrap_or(sent_at + i128::from(self.late));
        for key in self.keys.iter_mut().filter(|key| key.id == id) {
            key.known = true;
            for quota in key.quotas.iter_mut() {
                quota.restore(counted_by, units, &self.rules[quota.rule]);
            }
        }
        for quota in &mut self.shared {
            quota.restore(counted_by, units, &self.rules[quota.rule]);
        }
    }

    /// Nothing is known about what was sent before `unknown_until`: every key waits until its windows have passed,
    /// except those longer than an hour, of which stamps tell enough.
    fn cold_guard(&mut self, unknown_until: i128) {
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
