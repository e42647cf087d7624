//! A discrete world: one server that counts, one store that decides by the rules, two processes, and faults of the holder.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use tidemill_lease::{Config, Epoch, Error, Handover, Held, Moment, Name, Record, rules};

use crate::owner::Process;

/// What the server allows in any window.
pub(crate) const QUOTA: u32 = 75;
pub(crate) const WINDOW: Duration = Duration::from_secs(60);
/// What one process has under way at most: what may arrive late of one that was stopped.
pub(crate) const RESERVE: u32 = 8;
/// What the server bears at once, of all together.
pub(crate) const CONCURRENCY: u32 = 16;
const TERM: Duration = Duration::from_secs(30);
const END: Duration = Duration::from_secs(900);
const TICK: Duration = Duration::from_millis(100);
/// One way to the server, at most; to the store, a tenth of it.
const LATENCY: Duration = Duration::from_millis(250);

/// What happens to the holder, some three times a run.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    Pause(Duration),
    Kill,
    CutOff(Duration),
}

/// Which rule is left out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Broken {
    Nothing,
    /// A successor waits until the windows of the one before have passed.
    Guard,
    /// A holder asks whether the lease is still its own before it sends.
    MayAct,
}

/// What came of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outcome {
    pub(crate) counted: usize,
    pub(crate) takeovers: u64,
    /// Most arrivals in any window.
    pub(crate) fullest: u32,
}

enum Event {
    Tick(usize),
    Fault,
    /// A request that was let go reaches the wire, the server, and its sender again.
    Leave {
        who: usize,
        life: u32,
        request: u64,
    },
    Arrive {
        who: usize,
        life: u32,
        request: u64,
    },
    Answer {
        who: usize,
        life: u32,
        request: u64,
    },
    AtStore {
        who: usize,
        life: u32,
        asked: Duration,
        what: Ask,
    },
    Reply {
        who: usize,
        life: u32,
        asked: Duration,
        reply: Reply,
    },
}

enum Ask {
    Acquire,
    Renew(Epoch),
    Confirm(Epoch),
}

enum Reply {
    Granted(Box<Record>, Handover),
    Renewed(Epoch),
    Confirmed(Epoch),
    Refused(Option<Duration>),
}

pub(crate) struct World {
    now: Duration,
    events: BinaryHeap<Reverse<(Duration, u64)>>,
    stored: Vec<Option<Event>>,
    random: u64,
    fault: Fault,
    broken: Broken,
    config: Config,
    record: Option<Record>,
    takeovers: u64,
    processes: [Process; 2],
    arrivals: Vec<Duration>,
    requests: u64,
}

impl World {
    /// What a run may let in when nothing happens.
    pub(crate) fn allowed() -> f64 {
        f64::from(QUOTA) * END.as_secs_f64() / WINDOW.as_secs_f64()
    }

    pub(crate) fn new(seed: u64, fault: Fault, broken: Broken) -> Self {
        let mut world = Self {
            now: Duration::ZERO,
            events: BinaryHeap::new(),
            stored: Vec::new(),
            random: seed,
            fault,
            broken,
            config: Config { reserve: RESERVE, ..Config::with_term(TERM) },
            record: None,
            takeovers: 0,
            processes: [0, 1].map(|who| Process::born(who, 0, 0, Duration::ZERO)),
            arrivals: Vec::new(),
            requests: 0,
        };
        for who in 0..2 {
            // Every clock has an origin and a drift of its own.
            let drift_ppm = (world.draw(Duration::from_micros(201)).as_micros() as i64) - 100;
            let origin = Duration::from_secs(1000 * (who as u64 + 1));
            world.processes[who] = Process::born(who, 0, drift_ppm, origin);
            world.processes[who].ask_at = origin;
            let at = world.draw(TICK);
            world.at(at, Event::Tick(who));
        }
        let mut at = Duration::from_secs(60) + world.draw(Duration::from_secs(60));
        while at + Duration::from_secs(200) < END {
            world.at(at, Event::Fault);
            at += Duration::from_secs(180) + world.draw(Duration::from_secs(90));
        }
        world
    }

    pub(crate) fn run(mut self) -> Outcome {
        while let Some(Reverse((at, index))) = self.events.pop() {
            if at > END {
                break;
            }
            self.now = at;
            if let Some(event) = self.stored[index as usize].take() {
                self.happen(event);
            }
        }
        let mut first = 0;
        let mut fullest = 0;
        for (i, at) in self.arrivals.iter().enumerate() {
            while self.arrivals[first] + WINDOW <= *at {
                first += 1;
            }
            fullest = fullest.max((i + 1 - first) as u32);
        }
        Outcome { counted: self.arrivals.len(), takeovers: self.takeovers, fullest }
    }

    fn happen(&mut self, event: Event) {
        let inside = match &event {
            Event::Tick(who) => Some((*who, self.processes[*who].life)),
            Event::Leave { who, life, .. }
            | Event::Answer { who, life, .. }
            | Event::Reply { who, life, .. } => Some((*who, *life)),
            _ => None,
        };
        if let Some((who, life)) = inside {
            let process = &self.processes[who];
            // The dead do nothing, the stopped do later what they were about to do.
            if process.life != life {
                return;
            }
            if self.now < process.paused {
                return self.at(process.paused, event);
            }
        }
        match event {
            Event::Tick(who) => {
                self.tick(who);
                let next = self.now + TICK + self.draw(TICK / 5);
                self.at(next, Event::Tick(who));
            }
            Event::Fault => self.strike(),
            Event::Leave { who, life, request } => {
                let at = self.now + self.draw(LATENCY);
                self.at(at, Event::Arrive { who, life, request });
            }
            Event::Arrive { who, life, request } => {
                self.arrivals.push(self.now);
                let at = self.now + self.draw(LATENCY);
                self.at(at, Event::Answer { who, life, request });
            }
            Event::Answer { who, request, .. } => {
                let local = self.processes[who].clock(self.now);
                self.processes[who].answered(local, request);
                self.send(who, local);
            }
            Event::AtStore { who, life, asked, what } => {
                let reply = self.decide(who, &what);
                if self.now >= self.processes[who].cut {
                    let at = self.now + self.draw(LATENCY / 10);
                    self.at(at, Event::Reply { who, life, asked, reply });
                }
            }
            Event::Reply { who, asked, reply, .. } => self.replied(who, asked, reply),
        }
    }

    /// The fault meets whoever holds the lease.
    fn strike(&mut self) {
        let now = self.now;
        let Some(who) = (0..2).find(|who| self.processes[*who].held.is_some()) else { return };
        let process = &mut self.processes[who];
        match self.fault {
            Fault::Pause(span) => process.paused = now + span,
            Fault::CutOff(span) => process.cut = now + span,
            Fault::Kill => {
                *process = Process::born(who, process.life + 1, process.drift_ppm, process.origin);
                // Somebody starts it again, half a minute later.
                process.ask_at = process.clock(now + Duration::from_secs(30));
            }
        }
    }

    fn tick(&mut self, who: usize) {
        let asks = self.broken != Broken::MayAct;
        let process = &mut self.processes[who];
        let local = process.clock(self.now);
        if process.asking.is_some_and(|asked| local >= asked + self.config.timeout) {
            process.asking = None;
        }
        if asks && process.held.as_ref().is_some_and(|held| !held.may_act(local)) {
            process.forget();
            process.ask_at = local + TICK;
        }
        if process.asking.is_none() {
            let what = match &process.held {
                Some(held) if local >= process.ask_at => Some(Ask::Renew(held.epoch())),
                None if local >= process.ask_at => Some(Ask::Acquire),
                _ => process.ended().map(Ask::Confirm),
            };
            if let Some(what) = what {
                process.asking = Some(local);
                process.ask_at = local + TERM / 12;
                let life = process.life;
                if self.now >= process.cut {
                    let at = self.now + self.draw(LATENCY / 10);
                    self.at(at, Event::AtStore { who, life, asked: local, what });
                }
            }
        }
        self.send(who, local);
    }

    /// Everything that the guard and the limiter let go; between them and the wire lie up to 5 ms, or a pause.
    fn send(&mut self, who: usize, local: Duration) {
        let asks = self.broken != Broken::MayAct;
        loop {
            let process = &mut self.processes[who];
            if asks && process.held.as_ref().is_none_or(|held| !held.may_act(local)) {
                return;
            }
            self.requests += 1;
            let (life, request) = (process.life, self.requests);
            if !process.send(local, request) {
                return;
            }
            let at = self.now + self.draw(Duration::from_millis(5));
            self.at(at, Event::Leave { who, life, request });
        }
    }

    /// The store: the rules, at once, by its own clock.
    fn decide(&mut self, who: usize, what: &Ask) -> Reply {
        let now = Moment { era: 0, since: self.now };
        let (name, current) = (name(), self.record.as_ref());
        let claim = || rules::Claim { owner: self.processes[who].name.clone(), term: TERM, reserve: RESERVE };
        let refused = |error: Error| Reply::Refused(error.retry_after());
        let (next, reply) = match what {
            Ask::Acquire => match rules::acquire(&name, current, now, &claim()) {
                Ok((next, handover)) => {
                    self.takeovers += u64::from(!handover.is_clean());
                    (next.clone(), Reply::Granted(Box::new(next), handover))
                }
                Err(error) => return refused(error),
            },
            Ask::Renew(epoch) => match rules::renew(&name, current, now, *epoch, TERM, None) {
                Ok(next) => (next, Reply::Renewed(*epoch)),
                Err(error) => return refused(error),
            },
            Ask::Confirm(epoch) => match rules::confirm(current, *epoch) {
                Some(next) => (next, Reply::Confirmed(*epoch)),
                None => return Reply::Confirmed(*epoch),
            },
        };
        self.record = Some(next);
        reply
    }

    fn replied(&mut self, who: usize, asked: Duration, reply: Reply) {
        let guard = self.broken != Broken::Guard;
        let process = &mut self.processes[who];
        let local = process.clock(self.now);
        if process.asking != Some(asked) {
            return;
        }
        process.asking = None;
        match reply {
            Reply::Granted(record, handover) => {
                process.gained(Held::granted(name(), *record, handover, asked, local, &self.config), guard);
                process.ask_at = asked + TERM / 3;
            }
            Reply::Renewed(epoch) => {
                if let Some(held) = process.held.as_ref().filter(|held| held.epoch() == epoch) {
                    held.renewed(asked, &self.config);
                    process.ask_at = asked + TERM / 3;
                }
            }
            Reply::Confirmed(epoch) => process.lost.retain(|other| *other != epoch),
            Reply::Refused(remaining) => {
                process.forget();
                process.ask_at = local + remaining.unwrap_or(TERM / 12).min(TERM / 3);
            }
        }
    }

    fn at(&mut self, at: Duration, event: Event) {
        let index = self.stored.len() as u64;
        self.stored.push(Some(event));
        self.events.push(Reverse((at, index)));
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

fn name() -> Name {
    Name::try_new("key").expect("a short name")
}
