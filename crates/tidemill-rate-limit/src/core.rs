//! The decisions, without clock, lock or I/O: which key may send now, or when to ask again.

mod forecast;
mod lesson;
mod restore;

use std::time::Duration;

use crate::config::{Config, Scope};
use crate::error::Error;
use crate::key::{Key, KeyIndex, KeyState};
use crate::learn::{Learner, Spacing, nanos};
use crate::outcome::{Hints, Outcome};
use crate::quota::Quota;
use crate::stats::{KeyStats, LimitStats, Stats};
use crate::window::When;

/// What a request costs, in units of the limits; most servers count 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cost(u32);

impl Cost {
    /// One unit.
    pub const ONE: Self = Self(1);

    /// `units`, at least 1.
    pub const fn new(units: u32) -> Self {
        Self(if units == 0 { 1 } else { units })
    }

    /// The units.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl Default for Cost {
    fn default() -> Self {
        Self::ONE
    }
}

/// How urgent a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Priority {
    /// Before all others; may use what [`Limit::reserve`](crate::Limit::reserve) keeps back.
    High,
    /// The usual.
    #[default]
    Normal,
    /// When nothing else waits, or after two times [`Config::aging`].
    Low,
}

/// Whether a request may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Poll {
    /// Now, with this key, the best of those that are free.
    Ready(KeyIndex),
    /// At this time, if nothing else happens.
    At(Duration),
    /// Not before an answer arrives, or its deadline passes.
    OnResponse,
    /// Never: every key is quarantined or removed.
    NoKeys,
}

/// What was taken for one request; it must be given to exactly one of [`Core::refund`], [`Core::answered`] or
/// [`Core::abandoned`].
#[derive(Debug)]
#[must_use = "what was taken stays taken until the ticket is given back"]
pub struct Ticket {
    key: usize,
    units: u32,
    sent_at: Option<u64>,
    gap: Option<u64>,
    stranger: bool,
}

impl Ticket {
    /// The key that was chosen.
    pub fn key(&self) -> KeyIndex {
        KeyIndex(self.key)
    }

    pub(crate) fn units(&self) -> u32 {
        self.units
    }

    /// When it was sent.
    pub fn sent_at(&self) -> Option<Duration> {
        self.sent_at.map(Duration::from_nanos)
    }
}

/// The state machine under [`KeyPool`](crate::KeyPool). `now` is the time since an origin of the owner's choice and
/// must not go back; everything inside is integer nanoseconds. A check allocates nothing.
///
/// ```
/// use std::time::Duration;
/// use tidemill_rate_limit::{Config, Core, Cost, Model, Outcome, Poll, Priority};
///
/// let second = Duration::from_secs;
/// let mut core = Core::new(&Config::per_key(1, second(60), Model::SlidingLog), 1)?;
/// let Poll::Ready(key) = core.poll(second(0), Cost::ONE, Priority::Normal) else { panic!() };
/// let mut ticket = core.take(second(0), key, Cost::ONE);
/// core.sent(second(0), &mut ticket);
/// assert_eq!(core.poll(second(1), Cost::ONE, Priority::Normal), Poll::OnResponse);
/// core.answered(second(2), ticket, Outcome::OK);
/// // The answer came at 2 s, so the slot is free 60 s later, plus 5 ms for clocks and 200 ppm for their drift.
/// assert_eq!(core.poll(second(2), Cost::ONE, Priority::Normal), Poll::At(Duration::from_millis(62_017)));
/// # Ok::<(), tidemill_rate_limit::Error>(())
/// ```
#[derive(Debug)]
pub struct Core {
    rules: Vec<Learner>,
    scopes: Vec<Scope>,
    reserves: Vec<u32>,
    limit_ids: Vec<u32>,
    shared: Vec<Quota>,
    keys: Vec<Key>,
    concurrency: Option<u32>,
    in_flight: u32,
    unsent: u32,
    /// Out on keys that the server has never answered.
    strangers: u32,
    late: u64,
    totals: Totals,
}

#[derive(Debug, Default)]
struct Totals {
    sent: u64,
    answered: u64,
    refused: u64,
    unanswered: u64,
    refunded: u64,
    never_left: u64,
}

impl Core {
    /// A core over `keys` fresh keys.
    pub fn new(config: &Config, keys: usize) -> Result<Self, Error> {
        config.validate()?;
        let late = nanos(config.deadline).saturating_add(nanos(config.straggler));
        let rules: Vec<_> = config.limits.iter().map(|limit| Learner::new(limit, config)).collect();
        let shared = rules.iter().enumerate().filter(|(i, _)| config.limits[*i].scope != Scope::Key);
        let shared = shared.map(|(i, rule)| Quota::new(i, rule, late, 0)).collect();
        let mut core = Self {
            scopes: config.limits.iter().map(|limit| limit.scope).collect(),
            reserves: config.limits.iter().map(|limit| limit.reserve).collect(),
            limit_ids: Vec::new(),
            rules,
            shared,
            keys: Vec::with_capacity(keys),
            concurrency: config.concurrency,
            in_flight: 0,
            unsent: 0,
            strangers: 0,
            late,
            totals: Totals::default(),
        };
        for i in 0..keys {
            core.push_key(Duration::ZERO, i as u32, (i, keys));
        }
        Ok(core)
    }

    /// Which key may send a request of `cost` now, or when to ask again.
    pub fn poll(&mut self, now: Duration, cost: Cost, priority: Priority) -> Poll {
        let now = nanos(now);
        if self.concurrency.is_some_and(|cap| self.in_flight + self.unsent >= cap) {
            return Poll::OnResponse;
        }
        let mut best: Option<(f64, usize)> = None;
        let mut soonest: Option<When> = None;
        for index in 0..self.keys.len() {
            if self.keys[index].gone.is_some() {
                continue;
            }
            let when = self.poll_key(now, index, cost, priority);
            soonest = Some(soonest.map_or(when, |other| other.or(when)));
            if when == When::Now {
                // The only key needs no score.
                let score = if self.keys.len() == 1 { 0.0 } else { self.score(now, index) };
                if best.is_none_or(|(lowest, _)| score < lowest) {
                    best = Some((score, index));
                }
            }
        }
        match (best, soonest) {
            (Some((_, index)), _) => Poll::Ready(KeyIndex(index)),
            (None, Some(When::At(at))) => Poll::At(Duration::from_nanos(at)),
            (None, Some(_)) => Poll::OnResponse,
            (None, None) => Poll::NoKeys,
        }
    }

    /// Takes everything a request of `cost` needs on `key`, which [`poll`](Self::poll) named at the same `now`.
    pub fn take(&mut self, now: Duration, key: KeyIndex, cost: Cost) -> Ticket {
        let now = nanos(now);
        self.unsent += 1;
        let stranger = !self.keys[key.0].known;
        self.strangers += u32::from(stranger);
        for quota in self.keys[key.0].quotas.iter_mut().chain(&mut self.shared) {
            quota.take(now, cost.0, &self.rules[quota.rule]);
        }
        Ticket { key: key.0, units: cost.0, sent_at: None, gap: None, stranger }
    }

    /// Gives back what was taken: nothing was sent.
    pub fn refund(&mut self, ticket: Ticket) {
        self.unsent -= 1;
        self.strangers -= u32::from(ticket.stranger);
        self.totals.refunded += 1;
        for quota in self.keys[ticket.key].quotas.iter_mut().chain(&mut self.shared) {
            quota.refund(ticket.units, &self.rules[quota.rule]);
        }
    }

    /// The request leaves now.
    pub fn sent(&mut self, now: Duration, ticket: &mut Ticket) {
        let now = nanos(now);
        self.unsent -= 1;
        self.in_flight += 1;
        self.totals.sent += 1;
        let key = &mut self.keys[ticket.key];
        ticket.gap = key.last_sent.map(|last| now.saturating_sub(last));
        ticket.sent_at = Some(now);
        key.last_sent = Some(now);
        key.in_flight += 1;
        key.sent += 1;
        for quota in key.quotas.iter_mut().chain(&mut self.shared) {
            quota.sent(now, ticket.units, &self.rules[quota.rule]);
        }
    }

    /// The request ended now.
    pub fn answered(&mut self, now: Duration, ticket: Ticket, outcome: Outcome) {
        self.answered_with(now, ticket, outcome, Hints::default());
    }

    /// The request ended now, and its headers said more.
    pub fn answered_with(&mut self, now: Duration, ticket: Ticket, outcome: Outcome, hints: Hints) {
        let now = nanos(now);
        let sent_at = ticket.sent_at.unwrap_or(now);
        let index = ticket.key;
        self.in_flight -= 1;
        self.strangers -= u32::from(ticket.stranger);
        self.keys[index].in_flight -= 1;
        if outcome == Outcome::Unsent {
            return self.never_left(&ticket, sent_at);
        }
        let latency = Duration::from_nanos(now.saturating_sub(sent_at));
        if matches!(outcome, Outcome::Unanswered | Outcome::Gateway) {
            self.keys[index].unanswered += 1;
            self.totals.unanswered += 1;
            self.keys[index].health.failed();
            return self.cool(index, ticket.units, now.max(sent_at.saturating_add(self.late)));
        }
        self.totals.answered += 1;
        self.keys[index].answered += 1;
        match outcome {
            Outcome::Counted { status } => {
                self.admitted(now, index, sent_at);
                self.keys[index].health.answered(latency, status < 500);
            }
            Outcome::Refused { retry_after, limit } => {
                self.keys[index].health.answered(latency, false);
                self.refused(now, &ticket, retry_after, limit);
            }
            Outcome::Banned { until } => {
                self.keys[index].health.failed();
                self.keys[index].refused += 1;
                self.totals.refused += 1;
                // Where anything is counted by account or address, the ban is theirs.
                let all = self.scopes.iter().any(|scope| *scope != Scope::Key);
                self.hold(index, all, now.saturating_add(nanos(until)));
            }
            Outcome::Revoked => self.keys[index].gone = Some(KeyState::Quarantined),
            Outcome::Unanswered | Outcome::Gateway | Outcome::Unsent => {}
        }
        // After the lesson, so that a stricter spacing holds for this request too.
        self.cool(index, ticket.units, now);
        self.hint(now, index, hints);
    }

    /// The caller gave the request up now without having heard from the server.
    pub fn abandoned(&mut self, now: Duration, ticket: Ticket) {
        self.answered(now, ticket, Outcome::Unanswered);
    }

    /// Adds a fresh key; its index is the next place in the list.
    pub fn add_key(&mut self, now: Duration) -> KeyIndex {
        let index = self.keys.len();
        self.push_key(now, index as u32, (0, 1))
    }

    /// Takes a key out; what it has in flight is still accounted for. False when it was not in use.
    pub fn remove_key(&mut self, key: KeyIndex) -> bool {
        match self.keys.get_mut(key.0) {
            Some(found) if found.gone.is_none() => {
                found.gone = Some(KeyState::Removed);
                true
            }
            _ => false,
        }
    }

    /// Holds a key back until `until`, for instance because its quota is known to be drained.
    pub fn park(&mut self, key: KeyIndex, until: Duration) {
        if let Some(found) = self.keys.get_mut(key.0) {
            found.hold = found.hold.max(nanos(until));
        }
    }

    /// Sets the size of limit number `limit` of the configuration; what was learned about it is forgotten.
    pub fn set_requests(&mut self, limit: usize, requests: u32) {
        if let Some(rule) = self.rules.get_mut(limit) {
            rule.declare(requests.max(1));
        }
    }

    /// Sets the most requests in flight.
    pub fn set_concurrency(&mut self, concurrency: Option<u32>) {
        self.concurrency = concurrency.map(|cap| cap.max(1));
    }

    /// Requests that were sent and not answered.
    pub fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// What has happened, and how things stand at `now`.
    pub fn stats(&mut self, now: Duration) -> Stats {
        let now = nanos(now);
        let keys = (0..self.keys.len()).map(|index| self.key_stats(now, index)).collect();
        let limits = self.rules.iter().map(|rule| LimitStats {
            declared: rule.declared(),
            learned: rule.current(),
            refusals: rule.refusals(),
            strict: matches!(rule.spacing(), Spacing::Strict { .. }),
        });
        Stats {
            sent: self.totals.sent,
            answered: self.totals.answered,
            refused: self.totals.refused,
            unanswered: self.totals.unanswered,
            refunded: self.totals.refunded,
            never_left: self.totals.never_left,
            in_flight: self.in_flight,
            unsent: self.unsent,
            limits: limits.collect(),
            keys,
            ..Stats::default()
        }
    }
}

impl Core {
    /// The largest cost that can ever be granted.
    pub(crate) fn largest(&self) -> Option<u32> {
        self.rules
            .iter()
            .zip(&self.reserves)
            .map(|(rule, reserve)| rule.declared() - reserve.min(&rule.declared()))
            .min()
    }

    pub(crate) fn set_key_id(&mut self, key: usize, id: u32) {
        self.keys[key].id = id;
    }

    pub(crate) fn key_id(&self, key: usize) -> u32 {
        self.keys[key].id
    }

    /// Permits and requests that are out.
    pub(crate) fn outstanding(&self) -> u32 {
        self.in_flight + self.unsent
    }

    fn push_key(&mut self, now: Duration, id: u32, (place, of): (usize, usize)) -> KeyIndex {
        let now = nanos(now);
        let own = self.rules.iter().enumerate().filter(|(i, _)| self.scopes[*i] == Scope::Key);
        // Keys start in turn, so that the first refusal teaches the others before they try.
        let quotas = own.map(|(i, rule)| {
            let first = now + rule.interval() / of as u64 * place as u64;
            Quota::new(i, rule, self.late, first)
        });
        let key = Key::new(id, quotas.collect());
        self.keys.push(key);
        KeyIndex(self.keys.len() - 1)
    }

    fn poll_key(&mut self, now: u64, index: usize, cost: Cost, priority: Priority) -> When {
        let hold = self.keys[index].hold;
        let mut when = if hold > now { When::At(hold) } else { When::Now };
        let stranger = !self.keys[index].known && self.strangers > 0;
        for quota in self.keys[index].quotas.iter_mut().chain(&mut self.shared) {
            let rule = &self.rules[quota.rule];
            let reserve = if priority == Priority::High { 0 } else { self.reserves[quota.rule] };
            when = when.and(quota.poll(now, cost.0, reserve, rule));
            // One fresh key at a time: if it has a past, the others learn from its refusal.
            if stranger && rule.unknown() {
                when = When::OnResponse;
            }
            let used = quota.used(now).saturating_add(u64::from(cost.0));
            if when == When::Now && rule.risk(used).is_some_and(|most| self.in_flight + self.unsent >= most) {
                when = When::OnResponse;
            }
        }
        when
    }

    /// Usage of the fullest quota, 0 to 1.
    fn usage(&mut self, now: u64, index: usize) -> f64 {
        let mut usage = 0.0f64;
        for quota in &mut self.keys[index].quotas {
            usage = usage.max(quota.used(now) as f64 / f64::from(self.rules[quota.rule].current()));
        }
        usage
    }

    fn score(&mut self, now: u64, index: usize) -> f64 {
        let usage = self.usage(now, index);
        self.keys[index].health.score(usage)
    }

    /// Holds one key back, or all of them.
    fn hold(&mut self, index: usize, all: bool, until: u64) {
        for (place, key) in self.keys.iter_mut().enumerate() {
            if all || place == index {
                key.hold = key.hold.max(until);
            }
        }
    }

    /// Takes a send back that did not happen.
    fn never_left(&mut self, ticket: &Ticket, sent_at: u64) {
        self.totals.never_left += 1;
        let key = &mut self.keys[ticket.key];
        if key.last_sent == Some(sent_at) {
            key.last_sent = ticket.gap.map(|gap| sent_at - gap);
        }
        for quota in key.quotas.iter_mut().chain(&mut self.shared) {
            quota.refund(ticket.units, &self.rules[quota.rule]);
        }
    }

    fn cool(&mut self, index: usize, units: u32, counted_by: u64) {
        for quota in self.keys[index].quotas.iter_mut().chain(&mut self.shared) {
            quota.cool(counted_by, units, &self.rules[quota.rule]);
        }
    }

    fn key_stats(&mut self, now: u64, index: usize) -> KeyStats {
        let usage = self.usage(now, index);
        let key = &self.keys[index];
        KeyStats {
            sent: key.sent,
            answered: key.answered,
            refused: key.refused,
            unanswered: key.unanswered,
            in_flight: key.in_flight,
            usage,
            latency: key.health.latency(),
            score: key.health.score(usage),
            state: key.state(now),
            parked_for: Duration::from_nanos(key.hold.saturating_sub(now)),
        }
    }
}
