//! The pure core: takes rounds and the time, returns what happened, and remembers what fires.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use super::active::{Acknowledged, Alert, Change, Event};
use super::config::Config;
use super::matcher::{Labels, all, like};
use super::notice::Notice;
use super::rule::{Kind, Rule};
use super::severity::Severity;
use super::silence::{NewSilence, Silence};
use super::standing::{Key, Standing};
use super::stats::Stats;
use super::value::{Asked, Meters};
use super::{POOR_ROUNDS, standing};
use crate::series::{Reading, Round};

/// Rounds of a target without a series before its alert is over.
const GONE: u32 = 5;

/// Rules, their state and the alerts that fire; without a clock, a thread or a receiver.
///
/// Between two firings of the same alert stands a resolve, and at least its rule's cooldown. Time is in milliseconds since 1970,
/// as the state outlives the process.
#[derive(Debug)]
pub struct Engine {
    pub(super) config: Config,
    pub(super) rules: Vec<Rule>,
    names: HashMap<String, ()>,
    meters: Meters,
    pub(super) standing: HashMap<Key, Standing>,
    /// The key of each alert that fires, by its id.
    pub(super) active: BTreeMap<String, Key>,
    /// Those nobody was told of yet.
    pub(super) untold: BTreeSet<String>,
    targets: BTreeMap<Arc<str>, Seen>,
    pub(super) silences: Vec<Silence>,
    pub(super) history: VecDeque<Event>,
    pub(super) seq: u64,
    rounds: u64,
    stats: Stats,
}

/// What is remembered of a target.
#[derive(Debug, Default)]
struct Seen {
    last_ms: i64,
    poor: u32,
}

impl Engine {
    /// With these rules and nothing remembered.
    ///
    /// # Errors
    /// The rule and field that is wrong.
    pub fn new(config: Config) -> Result<Self, String> {
        let rules = config.rules()?;
        let asked = rules.iter().flat_map(|rule| std::iter::once(&rule.metric).chain(&rule.per));
        let names = asked.map(|name| (name.clone(), ())).collect();
        Ok(Self {
            config,
            rules,
            names,
            meters: Meters::default(),
            standing: HashMap::new(),
            active: BTreeMap::new(),
            untold: BTreeSet::new(),
            targets: BTreeMap::new(),
            silences: Vec::new(),
            history: VecDeque::new(),
            seq: 0,
            rounds: 0,
            stats: Stats::default(),
        })
    }

    /// Looks at one target's round.
    pub fn step(&mut self, now_ms: i64, round: &Round) -> Vec<Event> {
        self.step_with(now_ms, round, &[])
    }

    /// The same, with values that were computed of it: they count as if the target had told them.
    pub fn step_with(&mut self, now_ms: i64, round: &Round, derived: &[Reading]) -> Vec<Event> {
        let mut events = Vec::new();
        self.rounds += 1;
        self.stats.rounds += 1;
        let asked = Asked::of(round.readings.iter().chain(derived), &self.names);
        let mut poor = !round.is_up();
        for at in 0..self.rules.len() {
            let rule = &self.rules[at];
            if rule.metric == POOR_ROUNDS || !is_for(rule, &round.target) {
                continue;
            }
            let counts = rule.severity > Severity::Info;
            for (labels, value) in self.seen(now_ms, at, round, &asked) {
                let bad = self.judge(now_ms, at, &round.target, labels, value, &mut events);
                poor |= bad && counts;
            }
        }
        let seen = self.targets.entry(Arc::clone(&round.target)).or_default();
        seen.last_ms = now_ms;
        seen.poor = if poor { seen.poor.saturating_add(1) } else { 0 };
        let poor = f64::from(seen.poor);
        for at in 0..self.rules.len() {
            if self.rules[at].metric == POOR_ROUNDS && is_for(&self.rules[at], &round.target) {
                self.judge(now_ms, at, &round.target, Labels::new(), poor, &mut events);
            }
        }
        if round.is_up() {
            self.meters.age(&round.target);
            self.miss(now_ms, &round.target, &mut events);
        }
        if self.rounds.is_multiple_of(256) {
            self.standing.retain(|_, standing| standing.is_wanted(now_ms));
        }
        self.tell(now_ms, &mut events);
        self.keep(events)
    }

    /// Time has passed: silences end, alerts nobody acknowledged become worse, targets that say nothing are down.
    pub fn tick(&mut self, now_ms: i64) -> Vec<Event> {
        let mut events = Vec::new();
        self.silences.retain(|silence| silence.until_ms > now_ms);
        self.escalate(now_ms, &mut events);
        let silent_ms = standing::millis(self.config.silent_after);
        let silent: Vec<Arc<str>> = self
            .targets
            .iter_mut()
            .filter(|(_, seen)| now_ms - seen.last_ms >= silent_ms)
            .map(|(target, seen)| {
                seen.last_ms = now_ms;
                Arc::clone(target)
            })
            .collect();
        for target in silent {
            for at in 0..self.rules.len() {
                if self.rules[at].metric == "up" && is_for(&self.rules[at], &target) {
                    self.judge(now_ms, at, &target, Labels::new(), 0.0, &mut events);
                }
            }
        }
        self.tell(now_ms, &mut events);
        self.keep(events)
    }

    /// Something happened once.
    pub fn notice(&mut self, now_ms: i64, notice: Notice) -> Vec<Event> {
        let seq = (self.seq + 1).to_string();
        let Notice { name, severity, target, summary, recommendation } = notice;
        let labels = Labels::from([
            ("alertname".to_owned(), name.clone()),
            ("severity".to_owned(), severity.name().to_owned()),
            ("target".to_owned(), target.clone()),
        ]);
        let silenced = self.silenced_until(&labels).is_some();
        let alert = Alert {
            id: super::active::fingerprint([name.as_str(), &target, &seq]),
            rule: name,
            kind: Kind::Threshold,
            severity,
            target,
            metric: String::new(),
            labels,
            value: None,
            threshold: None,
            baseline: None,
            since_ms: now_ms,
            told_ms: Some(now_ms),
            escalated_ms: None,
            acknowledged: None,
            summary,
            recommendation,
            inhibited: false,
            fresh: true,
        };
        let why = silenced.then(|| "silenced".to_owned());
        self.keep(vec![Event { seq: 0, at_ms: now_ms, change: Change::Noticed, alert, told: !silenced, why }])
    }

    /// Somebody has seen an alert: it escalates no more.
    ///
    /// # Errors
    /// There is no such alert.
    pub fn acknowledge(&mut self, now_ms: i64, id: &str, by: &str) -> Result<Vec<Event>, String> {
        let standing = self.active.get(id).and_then(|key| self.standing.get_mut(key));
        let Some(alert) = standing.and_then(|standing| standing.alert.as_mut()) else {
            return Err(format!("no alert {:?} fires", clip(id, 40)));
        };
        if alert.acknowledged.is_some() {
            return Ok(Vec::new());
        }
        alert.acknowledged = Some(Acknowledged { by: clip(by, 200).to_owned(), at_ms: now_ms });
        let alert = alert.clone();
        let change = Change::Acknowledged;
        Ok(self.keep(vec![Event { seq: 0, at_ms: now_ms, change, alert, told: false, why: None }]))
    }

    /// Silences what matches.
    ///
    /// # Errors
    /// What the silence lacks, or that there are too many.
    pub fn silence(&mut self, now_ms: i64, wanted: NewSilence) -> Result<Silence, String> {
        let until_ms = wanted.until(now_ms)?;
        if self.silences.len() >= self.config.max_silences {
            return Err(format!("{} silences stand already: delete one", self.silences.len()));
        }
        self.seq += 1;
        let by = if wanted.by.is_empty() { "api".to_owned() } else { wanted.by };
        let (id, matchers, comment) = (format!("s{}", self.seq), wanted.matchers, wanted.comment);
        let silence = Silence { id, matchers, until_ms, by, comment, since_ms: now_ms };
        self.silences.push(silence.clone());
        Ok(silence)
    }

    /// Ends a silence; whether there was one.
    pub fn unsilence(&mut self, id: &str) -> bool {
        let before = self.silences.len();
        self.silences.retain(|silence| silence.id != id);
        self.silences.len() < before
    }

    /// The alerts that fire, told or not.
    pub fn active(&self) -> impl Iterator<Item = &Alert> {
        self.active.values().filter_map(|key| self.standing.get(key)?.alert.as_ref())
    }

    /// What happened last, oldest first.
    pub fn history(&self) -> impl DoubleEndedIterator<Item = &Event> {
        self.history.iter()
    }

    /// The silences that stand.
    #[must_use]
    pub fn silences(&self) -> &[Silence] {
        &self.silences
    }

    /// Until when an alert with these labels is silenced.
    #[must_use]
    pub fn silenced_until(&self, labels: &Labels) -> Option<i64> {
        let of = self.silences.iter().filter(|silence| all(&silence.matchers, labels));
        of.map(|silence| silence.until_ms).max()
    }

    /// The rules that count.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// What was counted.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// A rule's values in this round.
    fn seen(&mut self, now_ms: i64, at: usize, round: &Round, asked: &Asked<'_>) -> Vec<(Labels, f64)> {
        let rule = &self.rules[at];
        match (rule.metric.as_str(), rule.kind) {
            ("up", Kind::Threshold) => vec![(Labels::new(), f64::from(u8::from(round.is_up())))],
            // A target that does not answer says nothing of its metrics, not even that they are absent.
            _ if !round.is_up() => Vec::new(),
            ("scrape_duration_seconds", Kind::Threshold) if !asked.has(rule) => {
                vec![(Labels::new(), round.took.as_secs_f64())]
            }
            (_, Kind::Absence) => {
                let exact = rule.labels.iter().filter(|(_, value)| !value.contains('*'));
                let labels = exact.map(|(name, value)| (name.clone(), value.clone())).collect();
                vec![(labels, f64::from(u8::from(asked.has(rule))))]
            }
            _ => self.meters.values(at, rule, asked, now_ms, self.config.max_series),
        }
    }

    /// Counts one value; fires or ends its alert. Whether it was bad.
    fn judge(
        &mut self,
        now_ms: i64,
        at: usize,
        target: &Arc<str>,
        labels: Labels,
        value: f64,
        events: &mut Vec<Event>,
    ) -> bool {
        if value.is_nan() {
            return false;
        }
        let rule = &self.rules[at];
        let key = Key { rule: at, target: Arc::clone(target), labels };
        if !self.standing.contains_key(&key) && self.standing.len() >= self.config.max_series {
            self.stats.dropped += 1;
            return false;
        }
        let standing = self.standing.entry(key.clone()).or_default();
        let bad = standing.count(now_ms, self.rounds, rule, value);
        if let Some(alert) = standing.ended(rule) {
            self.active.remove(&alert.id);
            self.untold.remove(&alert.id);
            self.stats.resolved += 1;
            events.push(resolved(now_ms, alert, None));
        } else if standing.fires(now_ms, rule) {
            if self.active.len() >= self.config.max_alerts {
                self.stats.dropped += 1;
                return bad;
            }
            let alert = standing.fire(now_ms, rule, &key, value);
            self.untold.insert(alert.id.clone());
            self.active.insert(alert.id.clone(), key);
            self.stats.fired += 1;
        }
        bad
    }

    /// Alerts whose series this target no longer tells are over after a while.
    fn miss(&mut self, now_ms: i64, target: &str, events: &mut Vec<Event>) {
        let of_target = self.active.iter().filter(|(_, key)| &*key.target == target);
        let mut gone = Vec::new();
        for (id, key) in of_target {
            let Some(standing) = self.standing.get_mut(key) else { continue };
            if standing.round != self.rounds {
                standing.missing += 1;
            }
            if standing.missing >= GONE {
                gone.push((id.clone(), key.clone()));
            }
        }
        for (id, key) in gone {
            self.active.remove(&id);
            self.untold.remove(&id);
            let alert = self.standing.get_mut(&key).and_then(|standing| standing.alert.take());
            self.stats.resolved += 1;
            events.extend(alert.map(|alert| resolved(now_ms, alert, Some("its series is gone"))));
        }
    }

    /// Tells of what fires and nothing holds back.
    fn tell(&mut self, now_ms: i64, events: &mut Vec<Event>) {
        for id in self.untold.iter().cloned().collect::<Vec<_>>() {
            let Some(key) = self.active.get(&id) else { continue };
            let Some(alert) = self.standing.get(key).and_then(|standing| standing.alert.as_ref()) else {
                continue;
            };
            let silenced = self.silenced_until(&alert.labels).is_some();
            let inhibitor = self.inhibitor(alert).map(str::to_owned);
            let Some(standing) = self.standing.get_mut(key) else { continue };
            let is_new = standing.is_new;
            let Some(alert) = standing.alert.as_mut() else { continue };
            let mut held = silenced.then(|| "silenced".to_owned());
            if let Some(by) = inhibitor {
                alert.inhibited = true;
                held = Some(format!("held back by {by}"));
            } else if alert.inhibited {
                // What another one held back has to be bad once more from now on: most of it ends with that one.
                (alert.inhibited, alert.fresh) = (false, false);
                continue;
            } else if !alert.fresh {
                continue;
            }
            if held.is_none() {
                (alert.told_ms, alert.escalated_ms) = (Some(now_ms), Some(now_ms));
                self.untold.remove(&id);
            }
            let told = held.is_none();
            if is_new || told {
                let change = if is_new { Change::Fired } else { Change::Released };
                let alert = alert.clone();
                standing.is_new = false;
                events.push(Event { seq: 0, at_ms: now_ms, change, alert, told, why: held });
            }
        }
    }

    /// What fires, was told, and nobody acknowledged becomes worse in its rule's time.
    fn escalate(&mut self, now_ms: i64, events: &mut Vec<Event>) {
        let mut due = Vec::new();
        for (id, key) in &self.active {
            let Some(after) = self.rules[key.rule].escalate.map(standing::millis) else { continue };
            let Some(alert) = self.standing.get(key).and_then(|standing| standing.alert.as_ref()) else {
                continue;
            };
            let waits = alert.acknowledged.is_none() && alert.severity < Severity::Critical;
            let since = alert.escalated_ms.filter(|_| waits);
            let held = || self.silenced_until(&alert.labels).is_some() || self.inhibitor(alert).is_some();
            if since.is_some_and(|since| now_ms - since >= after) && !held() {
                due.push(id.clone());
            }
        }
        for id in due {
            let standing = self.active.get(&id).and_then(|key| self.standing.get_mut(key));
            let Some(alert) = standing.and_then(|standing| standing.alert.as_mut()) else { continue };
            alert.severity = alert.severity.worse();
            alert.labels.insert("severity".to_owned(), alert.severity.name().to_owned());
            alert.escalated_ms = Some(now_ms);
            let alert = alert.clone();
            let change = Change::Escalated;
            events.push(Event { seq: 0, at_ms: now_ms, change, alert, told: true, why: None });
        }
    }

    /// The rule of an alert that makes this one needless.
    fn inhibitor(&self, alert: &Alert) -> Option<&str> {
        let mut pairs = self.config.inhibit.iter().filter(|inhibit| all(&inhibit.target, &alert.labels));
        pairs.find_map(|inhibit| {
            let source = self.active().find(|source| inhibit.covers(&source.labels, &alert.labels))?;
            Some(source.rule.as_str())
        })
    }

    /// Numbers the events and remembers them.
    pub(super) fn keep(&mut self, mut events: Vec<Event>) -> Vec<Event> {
        for event in &mut events {
            self.seq += 1;
            event.seq = self.seq;
            if self.history.len() >= self.config.history {
                self.history.pop_front();
            }
            self.history.push_back(event.clone());
        }
        events
    }
}

/// The event of an alert that is over; only who was told that it fires is told that it does not.
pub(super) fn resolved(now_ms: i64, alert: Alert, why: Option<&str>) -> Event {
    let told = alert.told_ms.is_some();
    let why = why.map(str::to_owned);
    Event { seq: 0, at_ms: now_ms, change: Change::Resolved, alert, told, why }
}

fn is_for(rule: &Rule, target: &str) -> bool {
    rule.target.as_deref().is_none_or(|pattern| match pattern.strip_prefix('!') {
        Some(pattern) => !like(pattern, target),
        None => like(pattern, target),
    })
}

/// At most so many bytes, whole characters.
pub(super) fn clip(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or(0)]
}
