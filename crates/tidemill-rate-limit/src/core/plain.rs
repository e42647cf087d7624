//! The usual case in one step: one declared limit on each key, of which nothing was learned, and no other bound.

use super::choose::COMPARED;
use super::{Core, Cost, Priority, Ticket};
use crate::key::Key;
use crate::window::room;

/// All that such a limit comes to. While it stands, the answers of the general rules are these.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plain {
    /// What all may use, and what the urgent may.
    pub(crate) capacity: u32,
    pub(crate) urgent: u32,
    pub(crate) cooling: u64,
    pub(crate) interval: u64,
    /// What one unit is of the whole.
    pub(crate) share: f64,
}

impl Plain {
    /// How much may be out on a key already, where `units` more are wanted.
    #[inline]
    fn room(&self, units: u32, priority: Priority) -> u64 {
        let capacity = if priority == Priority::High { self.urgent } else { self.capacity };
        room(units, capacity)
    }
}

/// How much is out on `key`, if it is free now and no more than `room`.
#[inline(always)]
fn free(key: &mut Key, now: u64, room: u64) -> Option<u64> {
    if key.hold > now || key.gone.is_some() {
        return None;
    }
    let out = key.quotas.first_mut()?.used(now);
    (out <= room).then_some(out)
}

impl Core {
    /// Called after whatever may change a rule.
    pub(super) fn simplify(&mut self) {
        self.plain = match &self.rules[..] {
            [rule] if self.shared.is_empty() && self.concurrency.is_none() => rule.plain(self.reserves[0]),
            _ => None,
        };
        let sizes = self.rules.iter().zip(&self.reserves);
        let sizes = sizes.map(|(rule, reserve)| rule.declared().saturating_sub(*reserve));
        self.largest = sizes.min().unwrap_or(u32::MAX);
    }

    /// The best of the free keys, of at most so many compared; `None` says only that the general rules must be asked.
    pub(super) fn best_plainly(&mut self, now: u64, units: u32, priority: Priority) -> Option<usize> {
        let plain = self.plain.as_ref()?;
        let start = if self.keys.len() > COMPARED { (self.cursor + 1) % self.keys.len() } else { 0 };
        let (before, from) = self.keys.split_at_mut_checked(start)?;
        let room = plain.room(units, priority);
        let (mut lowest, mut best, mut compared) = (f64::INFINITY, None, 0);
        for (place, key) in from.iter_mut().chain(before).enumerate() {
            let Some(out) = free(key, now, room) else { continue };
            let score = key.health.score(out as f64 * plain.share);
            if score < lowest {
                (lowest, best) = (score, Some(place));
            }
            compared += 1;
            if compared == COMPARED {
                break;
            }
        }
        Some((start + best?) % self.keys.len())
    }

    /// Takes and sends with this key if it is free; `None` says only that the general rules must be asked.
    #[inline(always)]
    pub(super) fn send_plainly(
        &mut self,
        now: u64,
        index: usize,
        cost: Cost,
        priority: Priority,
    ) -> Option<Ticket> {
        let plain = self.plain.as_ref()?;
        let key = self.keys.get_mut(index)?;
        free(key, now, plain.room(cost.0, priority))?;
        self.denied = None;
        self.cursor = index;
        self.in_flight += 1;
        key.in_flight += 1;
        key.sent += 1;
        let gap = key.gap(now);
        key.last_sent = now;
        key.quotas.first_mut()?.take_plainly(now, cost.0, plain);
        // Whether a key is a stranger matters to unknown limits alone.
        Some(Ticket { key: index as u32, units: cost.0, sent_at: now, gap, stranger: false })
    }

    /// Takes in an answer that was no refusal; false says that the general rules must do it.
    #[inline(always)]
    pub(super) fn end_plainly(&mut self, now: u64, ticket: &Ticket, status: u16) -> bool {
        let Some(plain) = &self.plain else { return false };
        let Some(key) = self.keys.get_mut(ticket.index()) else { return false };
        let Some(quota) = key.quotas.first_mut() else { return false };
        quota.cool_plainly(now, ticket.units, plain);
        self.denied = None;
        self.in_flight -= 1;
        self.strangers -= u32::from(ticket.stranger);
        key.answered(now, ticket.sent_at.min(now), status);
        true
    }
}
