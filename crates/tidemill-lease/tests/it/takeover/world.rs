//! A discrete world: one store, one server, some owners with clocks of their own, and faults.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use tidemill_lease::{Config, Epoch, Error, ErrorKind, Handover, Held, Moment, Name, Owner, Record, rules};

use super::process::{Process, guarded_window, slots};

/// The quota of the server: so many in any window.
pub(crate) const QUOTA: usize = 8;
pub(crate) const WINDOW: Duration = Duration::from_secs(10);
/// What one owner has in the air at most, and what the server bears in all.
const IN_THE_AIR: u32 = 2;
const SERVER_BEARS: u32 = 3;
const HORIZON: Duration = Duration::from_secs(100);
/// One way, at most.
const LATENCY: Duration = Duration::from_millis(700);
const TICK: Duration = Duration::from_millis(50);
/// A store that does not answer is given up after so long.
const PATIENCE: Duration = Duration::from_millis(500);

/// A world to be run.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    pub(crate) seed: u64,
    pub(crate) owners: usize,
    /// When, to whom, what.
    pub(crate) faults: Vec<(Duration, usize, Fault)>,
    /// Of the owners' clocks and, last, of the store's.
    pub(crate) drift_ppm: [i64; 4],
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    Pause(Duration),
    Kill {
        after: Duration,
        same_name: bool,
    },
    /// The store is not reached, the server is.
    CutOff(Duration),
    /// The store is reached, and its answers are lost.
    LoseReplies(Duration),
    /// A clean release; it comes back later.
    Release,
}

/// Which rule is left out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Break {
    Nothing,
    /// At a takeover all slots count as taken for a window.
    GuardAtTakeover,
    /// An owner asks its guard before it acts.
    MayAct,
    /// It stops before the end of the term by what clocks may run apart, and they run apart by no more.
    Slack,
    /// Who gives back cleanly passes the guard on that it was under.
    GuardInPayload,
    /// The same owner in a second life waits for the first one's term.
    GuardAgainstFormerLife,
    /// What a former owner may have in the air stays free until it confirms.
    ReserveUntilConfirmed,
}

#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) counted: usize,
    pub(crate) takeovers: usize,
    pub(crate) violation: Option<String>,
}

pub(crate) struct World {
    now: Duration,
    events: BinaryHeap<Reverse<(Duration, u64, usize)>>,
    stored: Vec<Option<Event>>,
    random: u64,
    store: Option<Record>,
    unclean: BTreeMap<Epoch, bool>,
    owners: Vec<Process>,
    arrivals: Vec<(Duration, Epoch)>,
    in_the_air: u32,
    most_in_the_air: u32,
    takeovers: usize,
    config: Config,
    drift_ppm: [i64; 4],
    breaks: Break,
}

#[derive(Clone)]
enum Event {
    Tick(usize, u32),
    Fault(usize, Fault),
    Send { who: usize, life: u32, epoch: Epoch, slot: usize },
    Arrive { who: usize, life: u32, epoch: Epoch, slot: usize },
    Answer { who: usize, life: u32, epoch: Epoch, slot: usize, counted: bool },
    AtStore { who: usize, life: u32, asked: Duration, what: Ask },
    Reply { who: usize, life: u32, asked: Duration, what: Ask, reply: Reply },
}

#[derive(Clone)]
enum Ask {
    Acquire(Owner),
    Renew(Epoch),
    Release(Epoch, Vec<u8>),
    Confirm(Epoch),
}

#[derive(Clone)]
enum Reply {
    Granted(Box<Record>, Handover),
    Done(Box<Record>),
    Stale,
    Held(Duration),
}

impl World {
    pub(crate) fn new(script: &Script, breaks: Break) -> Self {
        let term = Duration::from_secs(3);
        let mut config = Config {
            term,
            margin: Duration::from_millis(20),
            drift_ppm: 200,
            reserve: IN_THE_AIR,
            timeout: Duration::from_secs(1),
        };
        let mut drift_ppm = script.drift_ppm;
        if breaks == Break::Slack {
            // The store's clock is up to twice as fast, and nothing was left for that.
            (config.margin, config.drift_ppm) = (Duration::ZERO, 0);
            drift_ppm[3] = drift_ppm[3].abs() * 10_000;
        }
        let mut world = Self {
            now: Duration::ZERO,
            events: BinaryHeap::new(),
            stored: Vec::new(),
            random: script.seed,
            store: None,
            unclean: BTreeMap::new(),
            owners: (0..script.owners).map(|who| Process::born(who, 0, true)).collect(),
            arrivals: Vec::new(),
            in_the_air: 0,
            most_in_the_air: 0,
            takeovers: 0,
            config,
            drift_ppm,
            breaks,
        };
        for who in 0..script.owners {
            let jitter = world.draw(TICK);
            world.at(jitter, Event::Tick(who, 0));
        }
        for (at, who, fault) in &script.faults {
            world.at(*at, Event::Fault(who % script.owners, *fault));
        }
        world
    }

    pub(crate) fn run(mut self) -> Outcome {
        while let Some(Reverse((at, _, index))) = self.events.pop() {
            if at > HORIZON {
                break;
            }
            self.now = at;
            if let Some(event) = self.stored[index].take() {
                self.happen(event);
            }
        }
        Outcome { counted: self.arrivals.len(), takeovers: self.takeovers, violation: self.violation() }
    }

    /// Any window holds the quota, and for each former owner that ended uncleanly what it had in the air.
    fn violation(&self) -> Option<String> {
        if self.most_in_the_air > SERVER_BEARS {
            return Some(format!("{} requests at once, {SERVER_BEARS} are borne", self.most_in_the_air));
        }
        (0..self.arrivals.len()).find_map(|first| {
            let from = self.arrivals[first].0;
            let window = self.arrivals[first..].iter().take_while(|(at, _)| *at < from + WINDOW);
            let epochs: Vec<Epoch> = window.map(|(_, epoch)| *epoch).collect();
            let newest = epochs.iter().max().copied().unwrap_or_default();
            let mut former: Vec<Epoch> =
                epochs.iter().copied().filter(|epoch| *epoch < newest && self.unclean[epoch]).collect();
            former.sort();
            former.dedup();
            let allowed = QUOTA + former.len() * IN_THE_AIR as usize;
            (epochs.len() > allowed).then(|| {
                format!("{} arrivals from {from:?} on, {allowed} are allowed: {epochs:?}", epochs.len())
            })
        })
    }

    fn happen(&mut self, event: Event) {
        // A stopped process does what it was about to do when it goes on; a dead one does nothing more.
        let inside = match &event {
            Event::Tick(who, life)
            | Event::Send { who, life, .. }
            | Event::Reply { who, life, .. }
            | Event::Answer { who, life, counted: true, .. } => Some((*who, *life)),
            _ => None,
        };
        if let Some((who, life)) = inside {
            if self.owners[who].life != life {
                return;
            }
            if self.now < self.owners[who].paused {
                let resumed = self.owners[who].paused;
                return self.at(resumed, event);
            }
        }
        match event {
            Event::Tick(who, life) => {
                self.tick(who);
                let next = self.now + TICK + self.draw(TICK / 5);
                self.at(next, Event::Tick(who, life));
            }
            Event::Fault(who, fault) => self.fault(who, fault),
            Event::Send { who, life, epoch, slot } => {
                self.in_the_air += 1;
                self.most_in_the_air = self.most_in_the_air.max(self.in_the_air);
                let at = self.now + self.draw(LATENCY);
                self.at(at, Event::Arrive { who, life, epoch, slot });
            }
            Event::Arrive { who, life, epoch, slot } => {
                self.arrivals.push((self.now, epoch));
                let at = self.now + self.draw(LATENCY);
                self.at(at, Event::Answer { who, life, epoch, slot, counted: false });
            }
            Event::Answer { who, life, epoch, slot, counted: false } => {
                self.in_the_air -= 1;
                self.at(self.now, Event::Answer { who, life, epoch, slot, counted: true });
            }
            Event::Answer { who, epoch, slot, .. } => self.answered(who, epoch, slot),
            Event::AtStore { who, life, asked, what } => {
                let reply = self.decide(&what);
                if self.now >= self.owners[who].mute && self.now >= self.owners[who].cut {
                    let at = self.now + self.draw(Duration::from_millis(40));
                    self.at(at, Event::Reply { who, life, asked, what, reply });
                }
            }
            Event::Reply { who, asked, what, reply, .. } => self.replied(who, asked, what, reply),
        }
    }

    fn fault(&mut self, who: usize, fault: Fault) {
        let now = self.now;
        let process = &mut self.owners[who];
        match fault {
            Fault::Pause(span) => process.paused = process.paused.max(now + span),
            Fault::CutOff(span) => process.cut = now + span,
            Fault::LoseReplies(span) => process.mute = now + span,
            Fault::Release => process.releasing = process.held.is_some(),
            Fault::Kill { after, same_name } => {
                let life = process.life + 1;
                *process = Process::born(who, life, same_name);
                process.asleep = now + after;
                self.at(now, Event::Tick(who, life));
            }
        }
    }

    /// What a process does every now and then.
    fn tick(&mut self, who: usize) {
        let (now, local) = (self.now, self.clock(who));
        let may_act = self.may_act(who, local);
        let third = self.config.term / 3;
        let process = &mut self.owners[who];
        if process.asking.is_some_and(|asked| local >= asked + PATIENCE) {
            process.asking = None;
        }
        if process.held.is_some() && !may_act {
            process.forget();
        }
        if process.asking.is_none() {
            let settled = |epoch: &Epoch| !process.flights.contains_key(epoch);
            let stopped = process.unconfirmed.iter().copied().find(settled);
            let what = match &process.held {
                Some(held) if process.releasing && process.flights.is_empty() => {
                    let guard_too = self.breaks != Break::GuardInPayload;
                    Some(Ask::Release(held.epoch(), process.last_word(local, guard_too)))
                }
                Some(held) if local >= process.renew => Some(Ask::Renew(held.epoch())),
                None if now >= process.asleep => Some(Ask::Acquire(process.owner.clone())),
                _ => None,
            };
            if let Some(what) = what.or(stopped.map(Ask::Confirm)) {
                if let Ask::Release(epoch, _) = what {
                    // From here on nothing is done under it, whatever becomes of the release.
                    process.forget();
                    process.unconfirmed.retain(|other| *other != epoch);
                    process.asleep = now + 2 * third;
                }
                if matches!(what, Ask::Renew(_)) {
                    process.renew = local + third / 2;
                }
                self.ask(who, local, what);
            }
        }
        if may_act {
            self.send(who, local);
        }
    }

    /// Takes every free slot that the guard and what is in the air allow. Between this check and the request may lie a pause.
    fn send(&mut self, who: usize, local: Duration) {
        let keeps_free = self.breaks != Break::ReserveUntilConfirmed;
        loop {
            let process = &mut self.owners[who];
            let Some(held) = process.held.as_ref().filter(|_| !process.releasing) else { return };
            let epoch = held.epoch();
            let mine: u32 = process.flights.values().sum();
            let reserved = if keeps_free { process.reserved } else { 0 };
            let flying = process.flights.get(&epoch).copied().unwrap_or(0);
            let slot = process.slots.iter().position(|free| *free <= local);
            let Some(slot) = slot.filter(|_| flying < IN_THE_AIR && mine + reserved < SERVER_BEARS) else {
                return;
            };
            process.slots[slot] = Duration::MAX;
            *process.flights.entry(epoch).or_default() += 1;
            let life = process.life;
            let lag = if self.draw(TICK) < TICK / 2 { 1000 } else { 2 };
            let at = self.now + self.draw(Duration::from_millis(lag));
            self.at(at, Event::Send { who, life, epoch, slot });
        }
    }

    fn answered(&mut self, who: usize, epoch: Epoch, slot: usize) {
        let free = self.clock(who) + guarded_window();
        let process = &mut self.owners[who];
        if let Some(flying) = process.flights.get_mut(&epoch) {
            *flying -= 1;
            if *flying == 0 {
                process.flights.remove(&epoch);
            }
        }
        if process.held.as_ref().is_some_and(|held| held.epoch() == epoch) {
            process.slots[slot] = free;
        }
    }

    fn ask(&mut self, who: usize, asked: Duration, what: Ask) {
        let life = self.owners[who].life;
        self.owners[who].asking = Some(asked);
        if self.now >= self.owners[who].cut {
            let at = self.now + self.draw(Duration::from_millis(40));
            self.at(at, Event::AtStore { who, life, asked, what });
        }
    }

    /// The store: the rules, at once, by its own clock.
    fn decide(&mut self, what: &Ask) -> Reply {
        let now = Moment { era: 0, since: drifted(self.now, self.drift_ppm[3]) };
        let (name, current) = (name(), self.store.clone());
        let current = current.as_ref();
        let term = self.config.term;
        let done: Result<(Record, Option<Handover>), Error> = match what {
            Ask::Acquire(owner) => {
                let claim = rules::Claim { owner: owner.clone(), term, reserve: self.config.reserve };
                rules::acquire(&name, current, now, &claim).map(|(next, how)| (next, Some(how)))
            }
            Ask::Renew(epoch) => {
                rules::renew(&name, current, now, *epoch, term, None).map(|next| (next, None))
            }
            Ask::Release(epoch, payload) => {
                rules::release(&name, current, now, *epoch, Some(payload)).map(|next| (next, None))
            }
            Ask::Confirm(epoch) => match rules::confirm(current, *epoch).or(current.cloned()) {
                Some(next) => Ok((next, None)),
                None => return Reply::Stale,
            },
        };
        match done {
            Ok((next, handover)) => {
                self.store = Some(next.clone());
                self.unclean.insert(next.epoch, !next.released);
                match handover {
                    Some(handover) => {
                        self.takeovers += usize::from(!handover.is_clean());
                        Reply::Granted(Box::new(next), handover)
                    }
                    None => Reply::Done(Box::new(next)),
                }
            }
            Err(error) if error.kind() == ErrorKind::Held => {
                Reply::Held(error.retry_after().unwrap_or_default())
            }
            Err(_) => Reply::Stale,
        }
    }

    fn replied(&mut self, who: usize, asked: Duration, what: Ask, reply: Reply) {
        let (now, local, breaks) = (self.now, self.clock(who), self.breaks);
        let process = &mut self.owners[who];
        if process.asking != Some(asked) {
            // Given up before; a lease that was granted meanwhile is found as one of a former life.
            return;
        }
        process.asking = None;
        match (what, reply) {
            (Ask::Acquire(_), Reply::Granted(record, handover)) => {
                process.reserved = record.unconfirmed.iter().map(|former| former.reserve).sum();
                // An earlier life is known to be dead: it was killed a second ago at least.
                let own = format!("owner {who}");
                let mine = record.unconfirmed.iter().filter(|former| former.owner.as_str().starts_with(&own));
                process.unconfirmed.extend(mine.map(|former| former.epoch));
                process.unconfirmed.sort();
                process.unconfirmed.dedup();
                let held = Held::granted(name(), *record, handover, asked, local, &self.config);
                process.slots = slots(&held, local, breaks);
                process.renew = asked + self.config.term / 3;
                process.held = Some(held);
            }
            (Ask::Renew(epoch), Reply::Done(record)) => {
                process.reserved = record.unconfirmed.iter().map(|former| former.reserve).sum();
                process.renew = asked + self.config.term / 3;
                if let Some(held) = process.held.as_ref().filter(|held| held.epoch() == epoch) {
                    held.renewed(asked, &self.config);
                }
            }
            (Ask::Renew(epoch), Reply::Stale)
                if process.held.as_ref().is_some_and(|held| held.epoch() == epoch) =>
            {
                process.forget();
            }
            (Ask::Release(epoch, _), Reply::Stale) => process.unconfirmed.push(epoch),
            (Ask::Confirm(epoch), _) => process.unconfirmed.retain(|other| *other != epoch),
            (Ask::Acquire(_), Reply::Held(remaining)) => {
                process.asleep = now + remaining.min(self.config.term / 3);
            }
            _ => {}
        }
    }

    fn may_act(&self, who: usize, local: Duration) -> bool {
        let held = self.owners[who].held.as_ref();
        held.is_some_and(|held| self.breaks == Break::MayAct || held.may_act(local))
    }

    fn clock(&self, who: usize) -> Duration {
        // Every owner's clock has an origin of its own.
        drifted(self.now, self.drift_ppm[who]) + Duration::from_secs(1000 * who as u64)
    }

    fn at(&mut self, at: Duration, event: Event) {
        let index = self.stored.len();
        self.stored.push(Some(event));
        self.events.push(Reverse((at, index as u64, index)));
    }

    /// Uniform in [0, span), by splitmix64.
    fn draw(&mut self, span: Duration) -> Duration {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        Duration::from_micros(z % (span.as_micros() as u64).max(1))
    }
}

fn drifted(time: Duration, ppm: i64) -> Duration {
    let nanos = i128::from(time.as_nanos() as i64) * i128::from(1_000_000 + ppm) / 1_000_000;
    Duration::from_nanos(nanos as u64)
}

pub(crate) fn name() -> Name {
    Name::try_new("key").unwrap()
}
