//! What an answer teaches: which limit refused, what is held back, and for how long.

use std::time::Duration;

use super::{Core, Ticket};
use crate::config::Scope;
use crate::learn::{Evidence, Learner, nanos};
use crate::outcome::Hints;
use crate::quota::Told;

const SECOND: u64 = 1_000_000_000;

impl Core {
    pub(super) fn refused(
        &mut self,
        now: u64,
        ticket: &Ticket,
        retry_after: Option<Duration>,
        limit: Option<u32>,
    ) {
        let index = ticket.index();
        let first_contact = !self.keys[index].known;
        let key = &mut self.keys[index];
        key.refused += 1;
        key.refused_in_row += 1;
        let in_row = key.refused_in_row;
        // Without limits nothing is held back: the control run.
        let Some(blamed) = self.blame(now, index) else { return };
        let shared = self.scopes[blamed] != Scope::Key;
        let used = self.used(now, index, blamed);
        let rule = &mut self.rules[blamed];
        let asked = retry_after.map_or(0, nanos);
        let mut hold = asked.max(rule.interval());
        if asked > rule.per().saturating_mul(2) {
            // A longer quota than we know of is drained: nothing to learn for this one.
            rule.refused(now, ticket.sent_at.min(now), used, Evidence::Past);
        } else {
            let told = limit.is_some_and(|limit| rule.told(now, limit));
            let evidence = if told || first_contact { Evidence::Past } else { rule.judge(used, ticket.gap) };
            rule.refused(now, ticket.sent_at.min(now), used, evidence);
            if in_row >= 2 {
                // Refused again after the hold: the server may count refusals, or a past we do not know.
                hold = hold.max(rule.cooling().saturating_mul(1 << (in_row - 2).min(4)));
            }
        }
        self.respace();
        let until = now.saturating_add(hold);
        self.hold(index, shared, until);
        if first_contact && !shared {
            // The other fresh keys may have the same unknown past: they wait for it to leave the window.
            let guard = now.saturating_add(self.rules[blamed].cooling().max(hold));
            for key in self.keys.iter_mut().filter(|key| !key.known && key.refused == 0) {
                key.hold = key.hold.max(guard);
            }
        }
    }

    /// The limit that most likely refused: the fullest, and of two as full the shorter.
    fn blame(&mut self, now: u64, index: usize) -> Option<usize> {
        let mut worst: Option<(f64, u64, usize)> = None;
        for quota in self.keys[index].quotas.iter_mut().chain(&mut self.shared) {
            let rule = &self.rules[quota.rule];
            let usage = quota.used(now) as f64 / f64::from(rule.current());
            let better =
                |&(most, per, _): &(f64, u64, usize)| usage > most || (usage == most && rule.per() < per);
            if worst.as_ref().is_none_or(better) {
                worst = Some((usage, rule.per(), quota.rule));
            }
        }
        worst.map(|(_, _, rule)| rule)
    }

    fn used(&mut self, now: u64, index: usize, rule: usize) -> u64 {
        let quotas = self.keys[index].quotas.iter_mut().chain(&mut self.shared);
        quotas.filter(|quota| quota.rule == rule).map(|quota| quota.used(now)).sum()
    }

    /// When the server says that the window of a fixed limit ends. Where there are several limits the headers must
    /// name the one they mean by its size.
    pub(super) fn told(&self, now: u64, hints: Hints) -> Option<Told> {
        let reset = nanos(hints.reset?);
        let fits = |rule: &Learner| {
            let sized = hints.limit == Some(u64::from(rule.declared()));
            sized && hints.per.is_none_or(|per| nanos(per) == rule.per())
        };
        let rule = match self.rules.len() {
            1 => 0,
            _ => {
                let mut named = self.rules.iter().enumerate().filter(|(_, rule)| fits(rule));
                let (index, _) = named.next()?;
                if named.next().is_some() {
                    return None;
                }
                index
            }
        };
        // Most servers tell whole seconds, some rounded down.
        Some(Told { rule, ends: now.saturating_add(reset).saturating_add(SECOND) })
    }

    /// What the server has counted beyond what we know of was spent by others: it counts for us too.
    pub(super) fn used_up(&mut self, now: u64, ticket: &Ticket, hints: &Hints, told: Option<Told>) {
        let sent_at = ticket.sent_at.min(now);
        for used in hints.used.iter().flatten() {
            let Self { rules, shared, keys, .. } = self;
            let fits = |rule: usize| match used.per {
                Some(per) => rules[rule].per() == nanos(per),
                None => rules.len() == 1,
            };
            let quotas = keys[ticket.index()].quotas.iter_mut().chain(shared);
            for quota in quotas.filter(|quota| fits(quota.rule)) {
                quota.raise(now, sent_at, used.count, told, &rules[quota.rule]);
                self.denied = None;
            }
        }
    }

    /// A quota that its server says is used up parks the key until the reset.
    pub(super) fn hint(&mut self, now: u64, index: usize, hints: Hints) {
        if self.rules.is_empty() {
            return;
        }
        if let (Some(0), Some(reset)) = (hints.remaining, hints.reset) {
            self.hold(index, false, now.saturating_add(nanos(reset)));
        }
    }
}
