//! The decisions, without clock, lock or I/O: which key may send now, or when to ask again.

mod choose;
mod ending;
mod forecast;
mod lesson;
mod plain;
mod restore;

use std::time::Duration;

use self::choose::Denied;
pub(crate) use self::plain::Plain;
use crate::config::{Config, Limit, Scope};
use crate::error::Error;
use crate::key::{Key, KeyIndex, KeyState, NEVER};
use crate::learn::{Learner, Spacing, nanos};
use crate::outcome::{Hints, Outcome};
use crate::quota::Quota;
use crate::stats::{KeyStats, LimitStats, Stats};

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
    key: u32,
    units: u32,
    /// [`NEVER`] while it is not sent.
    sent_at: u64,
    /// To the send before with this key; [`NEVER`] when there was none.
    gap: u64,
    stranger: bool,
}

impl Ticket {
    /// The key that was chosen.
    pub fn key(&self) -> KeyIndex {
        KeyIndex(self.index())
    }

    fn index(&self) -> usize {
        self.key as usize
    }

    pub(crate) fn units(&self) -> u32 {
        self.units
    }

    /// When it was sent.
    pub fn sent_at(&self) -> Option<Duration> {
        (self.sent_at != NEVER).then(|| Duration::from_nanos(self.sent_at))
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
    refunded: u64,
    never_left: u64,
    /// Where the choice among very many keys begins.
    cursor: usize,
    denied: Option<Denied>,
    plain: Option<Plain>,
    largest: u32,
}

impl Core {
    /// A core over `keys` fresh keys.
    pub fn new(config: &Config, keys: usize) -> Result<Self, Error> {
        config.validate()?;
        let late = nanos(config.deadline).saturating_add(nanos(config.straggler));
        let rules: Vec<_> = config.limits.iter().map(|limit| Learner::new(limit, config)).collect();
        let shared = rules.iter().enumerate().filter(|(i, _)| config.limits[*i].scope != Scope::Key);
        let shared = shared.map(|(i, rule)| Quota::new(i, rule, rule.first_send())).collect();
        let mut core = Self {
            scopes: config.limits.iter().map(|limit| limit.scope).collect(),
            reserves: config.limits.iter().map(|limit| limit.reserve).collect(),
            limit_ids: config.limits.iter().map(Limit::id).collect(),
            rules,
            shared,
            keys: Vec::with_capacity(keys),
            concurrency: config.concurrency,
            in_flight: 0,
            unsent: 0,
            strangers: 0,
            late,
            refunded: 0,
            never_left: 0,
            cursor: 0,
            denied: None,
            plain: None,
            largest: u32::MAX,
        };
        core.simplify();
        for i in 0..keys {
            core.push_key(Duration::ZERO, i as u32, (i, keys));
        }
        Ok(core)
    }

    /// Takes everything a request of `cost` needs on `key`, which [`poll`](Self::poll) named at the same `now`.
    #[inline]
    pub fn take(&mut self, now: Duration, key: KeyIndex, cost: Cost) -> Ticket {
        let now = nanos(now);
        self.denied = None;
        self.unsent += 1;
        self.cursor = key.0;
        let found = &mut self.keys[key.0];
        let stranger = !found.known;
        self.strangers += u32::from(stranger);
        for quota in found.quotas.iter_mut() {
            quota.take(now, cost.0, &self.rules[quota.rule]);
        }
        for quota in &mut self.shared {
            quota.take(now, cost.0, &self.rules[quota.rule]);
        }
        Ticket { key: key.0 as u32, units: cost.0, sent_at: NEVER, gap: NEVER, stranger }
    }

    /// Gives back what was taken: nothing was sent.
    pub fn refund(&mut self, ticket: Ticket) {
        self.denied = None;
        self.unsent -= 1;
        self.strangers -= u32::from(ticket.stranger);
        self.refunded += 1;
        for quota in self.keys[ticket.index()].quotas.iter_mut().chain(&mut self.shared) {
            quota.refund(ticket.units, &self.rules[quota.rule]);
        }
    }

    /// The request leaves now.
    #[inline]
    pub fn sent(&mut self, now: Duration, ticket: &mut Ticket) {
        let now = nanos(now);
        self.denied = None;
        self.unsent -= 1;
        self.in_flight += 1;
        let key = &mut self.keys[ticket.index()];
        ticket.gap = key.gap(now);
        ticket.sent_at = now;
        key.last_sent = now;
        key.in_flight += 1;
        key.sent += 1;
        for quota in key.quotas.iter_mut() {
            quota.sent(now, ticket.units, &self.rules[quota.rule]);
        }
        for quota in &mut self.shared {
            quota.sent(now, ticket.units, &self.rules[quota.rule]);
        }
    }

    /// The request ended now.
    #[inline(always)]
    pub fn answered(&mut self, now: Duration, ticket: Ticket, outcome: Outcome) {
        self.end(nanos(now), &ticket, outcome, None);
    }

    /// The request ended now, and its headers said more.
    ///
    /// Where the model is [`Fixed`](crate::Model::Fixed) and the headers name the reset of its window, a slot is free
    /// from that reset on, without waiting for a whole window after the answer.
    pub fn answered_with(&mut self, now: Duration, ticket: Ticket, outcome: Outcome, hints: Hints) {
        let now = nanos(now);
        let told = self.told(now, hints);
        self.end(now, &ticket, outcome, told);
        if !matches!(outcome, Outcome::Unanswered | Outcome::Gateway | Outcome::Unsent) {
            self.used_up(now, &ticket, &hints, told);
            self.hint(now, ticket.index(), hints);
        }
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
        self.denied = None;
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
        self.denied = None;
        if let Some(found) = self.keys.get_mut(key.0) {
            found.hold = found.hold.max(nanos(until));
        }
    }

    /// Sets the size of limit number `limit` of the configuration; what was learned about it is forgotten.
    pub fn set_requests(&mut self, limit: usize, requests: u32) {
        if let Some(rule) = self.rules.get_mut(limit) {
            rule.declare(requests.max(1));
            self.denied = None;
            let all = self.keys.iter_mut().flat_map(|key| key.quotas.iter_mut()).chain(&mut self.shared);
            for quota in all.filter(|quota| quota.rule == limit) {
                quota.resized(&self.rules[limit]);
            }
            self.simplify();
        }
    }

    /// Sets the most requests in flight.
    pub fn set_concurrency(&mut self, concurrency: Option<u32>) {
        self.denied = None;
        self.concurrency = concurrency.map(|cap| cap.max(1));
        self.simplify();
    }

    /// Requests that were sent and not answered.
    pub fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// What has happened, and how things stand at `now`.
    pub fn stats(&mut self, now: Duration) -> Stats {
        let now = nanos(now);
        let keys = (0..self.keys.len()).map(|index| self.key_stats(now, index)).collect();
        let sum = |of: fn(&Key) -> u64| self.keys.iter().map(of).sum();
        let limits = self.rules.iter().map(|rule| LimitStats {
            declared: rule.declared(),
            learned: rule.current(),
            refusals: rule.refusals(),
            strict: matches!(rule.spacing(), Spacing::Strict { .. }),
        });
        Stats {
            sent: sum(|key| key.sent),
            answered: sum(|key| key.answers),
            refused: sum(|key| key.refused),
            unanswered: sum(|key| key.unanswered),
            refunded: self.refunded,
            never_left: self.never_left,
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
    #[inline]
    pub(crate) fn largest(&self) -> u32 {
        self.largest
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
            let first = now + rule.first_send() + rule.interval() / of as u64 * place as u64;
            Quota::new(i, rule, first)
        });
        let key = Key::new(id, quotas.collect());
        self.denied = None;
        self.keys.push(key);
        KeyIndex(self.keys.len() - 1)
    }

    /// A limit may have become another, or its spacing stricter.
    fn respace(&mut self) {
        self.simplify();
        for quota in self.keys.iter_mut().flat_map(|key| key.quotas.iter_mut()).chain(&mut self.shared) {
            quota.respaced(&self.rules[quota.rule]);
        }
    }

    /// Holds one key back, or all of them.
    fn hold(&mut self, index: usize, all: bool, until: u64) {
        for (place, key) in self.keys.iter_mut().enumerate() {
            if all || place == index {
                key.hold = key.hold.max(until);
            }
        }
    }

    fn key_stats(&mut self, now: u64, index: usize) -> KeyStats {
        let usage = self.usage(now, index);
        let key = &self.keys[index];
        KeyStats {
            sent: key.sent,
            answered: key.answers,
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
