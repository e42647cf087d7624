//! Which key may send now: the best of those that are free, or when to ask again.

use std::time::Duration;

use super::{Core, Cost, Poll, Priority, Ticket};
use crate::key::KeyIndex;
use crate::learn::{Learner, nanos};
use crate::quota::Quota;
use crate::window::When;

/// Most free keys that are compared in one choice.
pub(super) const COMPARED: usize = 32;

/// An answer that stands until its time or until anything changes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Denied {
    cost: Cost,
    priority: Priority,
    when: When,
}

/// What one request asks of each quota.
#[derive(Debug, Clone, Copy)]
struct Demand {
    now: u64,
    units: u32,
    urgent: bool,
    /// Permits and requests that are out.
    out: u32,
    /// Whether a request is out on a key that never had an answer.
    strangers: bool,
}

impl Core {
    /// Which key may send a request of `cost` now, or when to ask again.
    ///
    /// Of the free keys the one with the best score is named. With more than 32 free keys the choice is among the 32
    /// that follow the key last used, so that its cost is bounded.
    #[inline]
    pub fn poll(&mut self, now: Duration, cost: Cost, priority: Priority) -> Poll {
        self.poll_at(nanos(now), cost, priority)
    }

    #[inline]
    fn poll_at(&mut self, now: u64, cost: Cost, priority: Priority) -> Poll {
        if let Some(denied) = &self.denied
            && denied.cost == cost
            && denied.priority == priority
            && denied.when.0 > now
        {
            return wait(denied.when);
        }
        self.choose(now, cost, priority)
    }

    /// Takes and sends in one step when a key is free now: for callers who send at once.
    ///
    /// # Errors
    /// When to ask again, as [`poll`](Self::poll) says it.
    #[inline(always)]
    pub fn try_send(&mut self, now: Duration, cost: Cost, priority: Priority) -> Result<Ticket, Poll> {
        let now = nanos(now);
        if self.keys.len() == 1
            && let Some(ticket) = self.send_plainly(now, 0, cost, priority)
        {
            return Ok(ticket);
        }
        self.send_best(now, cost, priority)
    }

    #[inline(never)]
    fn send_best(&mut self, now: u64, cost: Cost, priority: Priority) -> Result<Ticket, Poll> {
        match self.poll_at(now, cost, priority) {
            Poll::Ready(key) => match self.send_plainly(now, key.0, cost, priority) {
                Some(ticket) => Ok(ticket),
                None => Ok(self.charge(now, key, cost)),
            },
            other => Err(other),
        }
    }

    /// [`try_send`](Self::try_send) with this very key: for callers who choose keys themselves.
    ///
    /// # Errors
    /// As [`poll_key`](Self::poll_key).
    #[inline]
    pub fn try_send_with(
        &mut self,
        now: Duration,
        key: KeyIndex,
        cost: Cost,
        priority: Priority,
    ) -> Result<Ticket, Poll> {
        let now = nanos(now);
        if let Some(ticket) = self.send_plainly(now, key.0, cost, priority) {
            return Ok(ticket);
        }
        self.send_with(now, key, cost, priority)
    }

    #[inline(never)]
    fn send_with(&mut self, now: u64, key: KeyIndex, cost: Cost, priority: Priority) -> Result<Ticket, Poll> {
        match self.ask_for(now, key, cost, priority) {
            Poll::Ready(key) => Ok(self.charge(now, key, cost)),
            other => Err(other),
        }
    }

    #[inline]
    fn charge(&mut self, now: u64, key: KeyIndex, cost: Cost) -> Ticket {
        self.denied = None;
        self.cursor = key.0;
        self.in_flight += 1;
        let found = &mut self.keys[key.0];
        let stranger = !found.known;
        self.strangers += u32::from(stranger);
        let gap = found.gap(now);
        found.last_sent = now;
        found.in_flight += 1;
        found.sent += 1;
        for quota in found.quotas.iter_mut() {
            quota.take(now, cost.0, &self.rules[quota.rule]);
        }
        for quota in &mut self.shared {
            quota.take(now, cost.0, &self.rules[quota.rule]);
        }
        Ticket { key: key.0 as u32, units: cost.0, sent_at: now, gap, stranger }
    }

    /// When a request of `cost` may be sent with this very key: for callers who choose keys themselves.
    ///
    /// `Ready` names the same key again; `NoKeys` when it is quarantined, removed or unknown.
    #[inline]
    pub fn poll_key(&mut self, now: Duration, key: KeyIndex, cost: Cost, priority: Priority) -> Poll {
        self.ask_for(nanos(now), key, cost, priority)
    }

    fn ask_for(&mut self, now: u64, key: KeyIndex, cost: Cost, priority: Priority) -> Poll {
        if self.keys.get(key.0).is_none_or(|found| found.gone.is_some()) {
            return Poll::NoKeys;
        }
        if self.capped() {
            return Poll::OnResponse;
        }
        let demand = self.demand(now, cost, priority);
        let shared = self.ask_shared(demand);
        match self.ask_key(key.0, demand).max(shared) {
            When::NOW => Poll::Ready(key),
            when => wait(when),
        }
    }

    #[inline]
    fn choose(&mut self, now: u64, cost: Cost, priority: Priority) -> Poll {
        if self.capped() {
            return Poll::OnResponse;
        }
        if let Some(index) = self.best_plainly(now, cost.0, priority) {
            return Poll::Ready(KeyIndex(index));
        }
        let demand = self.demand(now, cost, priority);
        let shared = self.ask_shared(demand);
        let count = self.keys.len();
        if count == 1 && self.keys[0].gone.is_none() {
            // The only key needs no score.
            let when = self.ask_key(0, demand).max(shared);
            if when == When::NOW {
                return Poll::Ready(KeyIndex(0));
            }
            self.denied = Some(Denied { cost, priority, when });
            return wait(when);
        }
        let first = if count > COMPARED { self.cursor + 1 } else { 0 };
        let (mut best, mut free) = (None::<(f64, usize)>, 0);
        let mut soonest = None::<When>;
        for place in first..first + count {
            let index = if place >= count { place - count } else { place };
            if self.keys[index].gone.is_some() {
                continue;
            }
            let when = self.ask_key(index, demand).max(shared);
            soonest = Some(soonest.map_or(when, |other| other.min(when)));
            if when == When::NOW {
                let score = self.score(now, index);
                if best.is_none_or(|(lowest, _)| score < lowest) {
                    best = Some((score, index));
                }
                free += 1;
                if free == COMPARED {
                    break;
                }
            }
        }
        let Some(when) = soonest else { return Poll::NoKeys };
        if let Some((_, index)) = best {
            return Poll::Ready(KeyIndex(index));
        }
        self.denied = Some(Denied { cost, priority, when });
        wait(when)
    }

    #[inline]
    fn capped(&self) -> bool {
        self.concurrency.is_some_and(|cap| self.in_flight + self.unsent >= cap)
    }

    #[inline]
    fn demand(&self, now: u64, cost: Cost, priority: Priority) -> Demand {
        Demand {
            now,
            units: cost.0,
            urgent: priority == Priority::High,
            out: self.in_flight + self.unsent,
            strangers: self.strangers > 0,
        }
    }

    #[inline]
    fn ask_shared(&mut self, demand: Demand) -> When {
        let Self { shared, rules, reserves, .. } = self;
        shared.iter_mut().fold(When::NOW, |when, quota| {
            let rule = quota.rule;
            when.max(ask(quota, &rules[rule], reserves[rule], false, demand))
        })
    }

    #[inline]
    fn ask_key(&mut self, index: usize, demand: Demand) -> When {
        let Self { keys, rules, reserves, shared, .. } = self;
        let key = &mut keys[index];
        let mut when = if key.hold > demand.now { When::at(key.hold) } else { When::NOW };
        // One fresh key at a time: if it has a past, the others learn from its refusal.
        let stranger = !key.known && demand.strangers;
        if stranger && shared.iter().any(|quota| rules[quota.rule].unknown()) {
            return When::ON_RESPONSE;
        }
        for quota in key.quotas.iter_mut() {
            let rule = quota.rule;
            when = when.max(ask(quota, &rules[rule], reserves[rule], stranger, demand));
        }
        when
    }

    /// Usage of the fullest quota, 0 to 1.
    pub(super) fn usage(&mut self, now: u64, index: usize) -> f64 {
        let mut usage = 0.0f64;
        for quota in self.keys[index].quotas.iter_mut() {
            usage = usage.max(quota.used(now) as f64 * self.rules[quota.rule].share());
        }
        usage
    }

    #[inline]
    fn score(&mut self, now: u64, index: usize) -> f64 {
        let usage = self.usage(now, index);
        self.keys[index].health.score(usage)
    }
}

fn wait(when: When) -> Poll {
    if when == When::ON_RESPONSE { Poll::OnResponse } else { Poll::At(Duration::from_nanos(when.0)) }
}

#[inline]
fn ask(quota: &mut Quota, rule: &Learner, reserve: u32, stranger: bool, demand: Demand) -> When {
    let reserve = if demand.urgent { 0 } else { reserve };
    let when = quota.poll(demand.now, demand.units, reserve, rule);
    if !rule.unknown() {
        return when;
    }
    if stranger {
        return When::ON_RESPONSE;
    }
    let used = quota.used(demand.now).saturating_add(u64::from(demand.units));
    if when == When::NOW && rule.risk(used).is_some_and(|most| demand.out >= most) {
        return When::ON_RESPONSE;
    }
    when
}
