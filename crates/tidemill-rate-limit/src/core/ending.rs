//! How a request ends: what is counted, what cools, and what is given back.

use super::{Core, Ticket};
use crate::config::Scope;
use crate::key::{KeyState, NEVER};
use crate::learn::nanos;
use crate::outcome::Outcome;
use crate::quota::Told;

impl Core {
    #[inline(always)]
    pub(super) fn end(&mut self, now: u64, ticket: &Ticket, outcome: Outcome, told: Option<Told>) {
        if let (Outcome::Counted { status }, None) = (outcome, told)
            && self.end_plainly(now, ticket, status)
        {
            return;
        }
        self.end_by_rules(now, ticket, outcome, told);
    }

    #[inline(never)]
    fn end_by_rules(&mut self, now: u64, ticket: &Ticket, outcome: Outcome, told: Option<Told>) {
        self.denied = None;
        self.in_flight -= 1;
        self.strangers -= u32::from(ticket.stranger);
        let Outcome::Counted { status } = outcome else {
            return self.end_badly(now, ticket, outcome);
        };
        let sent_at = ticket.sent_at.min(now);
        let key = &mut self.keys[ticket.index()];
        key.answered(now, sent_at, status);
        for quota in key.quotas.iter_mut() {
            let rule = &mut self.rules[quota.rule];
            rule.observe(now, status < 500, now - sent_at);
            quota.admitted(now, sent_at, rule);
            quota.cool(now, ticket.units, told, rule);
        }
        for quota in &mut self.shared {
            let rule = &mut self.rules[quota.rule];
            rule.observe(now, status < 500, now - sent_at);
            quota.admitted(now, sent_at, rule);
            quota.cool(now, ticket.units, told, rule);
        }
    }

    fn end_badly(&mut self, now: u64, ticket: &Ticket, outcome: Outcome) {
        let sent_at = ticket.sent_at.min(now);
        let index = ticket.index();
        let key = &mut self.keys[index];
        key.in_flight -= 1;
        if outcome != Outcome::Unsent {
            for rule in &mut self.rules {
                rule.observe(now, false, now - sent_at);
            }
        }
        match outcome {
            Outcome::Counted { .. } => {}
            Outcome::Refused { retry_after, limit } => {
                key.answers += 1;
                key.health.answered(now - sent_at, false);
                self.refused(now, ticket, retry_after, limit);
            }
            Outcome::Banned { until } => {
                key.answers += 1;
                key.health.failed();
                key.refused += 1;
                // Where anything is counted by account or address, the ban is theirs.
                let all = self.scopes.iter().any(|scope| *scope != Scope::Key);
                self.hold(index, all, now.saturating_add(nanos(until)));
            }
            Outcome::Revoked => {
                key.answers += 1;
                key.gone = Some(KeyState::Quarantined);
            }
            Outcome::Unsent => return self.never_left(ticket, sent_at),
            Outcome::Unanswered | Outcome::Gateway => {
                key.unanswered += 1;
                key.health.failed();
                return self.cool(index, ticket.units, now.max(sent_at.saturating_add(self.late)));
            }
        }
        // After the lesson, so that a stricter spacing holds for this request too.
        self.cool(index, ticket.units, now);
    }

    /// Takes a send back that did not happen.
    fn never_left(&mut self, ticket: &Ticket, sent_at: u64) {
        self.never_left += 1;
        let key = &mut self.keys[ticket.index()];
        if key.last_sent == sent_at {
            key.last_sent = if ticket.gap == NEVER { NEVER } else { sent_at - ticket.gap };
        }
        for quota in key.quotas.iter_mut().chain(&mut self.shared) {
            quota.refund(ticket.units, &self.rules[quota.rule]);
        }
    }

    fn cool(&mut self, index: usize, units: u32, counted_by: u64) {
        for quota in self.keys[index].quotas.iter_mut().chain(&mut self.shared) {
            quota.cool(counted_by, units, None, &self.rules[quota.rule]);
        }
    }
}
