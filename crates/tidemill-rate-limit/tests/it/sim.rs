//! A discrete event simulation: clients that always have work, one-way delays, servers that count.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::time::Duration;

use tidemill_rate_limit::{Core, Cost, Hints, KeyIndex, Outcome, Poll, Priority, Ticket, Used};

use crate::servers::{MS, S, Server};

/// A small generator (splitmix64): the same seed gives the same run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low + 1)
    }
}

/// What a limiter must offer to be simulated.
pub(crate) trait Limiter {
    fn poll(&mut self, now: u64) -> Poll;
    fn send(&mut self, now: u64, key: KeyIndex) -> u64;
    /// `used` is what the server told of its count.
    fn ended(&mut self, now: u64, request: u64, outcome: Outcome, used: Option<u64>);
}

/// Ours.
pub(crate) struct Ours {
    pub(crate) core: Core,
    tickets: HashMap<u64, Ticket>,
    next: u64,
}

impl Ours {
    pub(crate) fn new(core: Core) -> Self {
        Self { core, tickets: HashMap::new(), next: 0 }
    }
}

impl Limiter for Ours {
    fn poll(&mut self, now: u64) -> Poll {
        self.core.poll(Duration::from_nanos(now), Cost::ONE, Priority::Normal)
    }

    fn send(&mut self, now: u64, key: KeyIndex) -> u64 {
        let now = Duration::from_nanos(now);
        let mut ticket = self.core.take(now, key, Cost::ONE);
        self.core.sent(now, &mut ticket);
        self.next += 1;
        self.tickets.insert(self.next, ticket);
        self.next
    }

    fn ended(&mut self, now: u64, request: u64, outcome: Outcome, used: Option<u64>) {
        let ticket = self.tickets.remove(&request).unwrap();
        let used = used.map(|count| Used { count, per: None });
        let hints = Hints { used: [used, None, None, None], ..Hints::default() };
        self.core.answered_with(Duration::from_nanos(now), ticket, outcome, hints);
    }
}

/// The control: a deque of send times, as everyone writes it. One key.
pub(crate) struct AnchoredOnSend {
    pub(crate) n: usize,
    pub(crate) per: u64,
    pub(crate) key: KeyIndex,
    pub(crate) sends: VecDeque<u64>,
}

impl Limiter for AnchoredOnSend {
    fn poll(&mut self, now: u64) -> Poll {
        while self.sends.front().is_some_and(|sent| sent + self.per <= now) {
            self.sends.pop_front();
        }
        match self.sends.front() {
            Some(first) if self.sends.len() >= self.n => Poll::At(Duration::from_nanos(first + self.per)),
            _ => Poll::Ready(self.key),
        }
    }

    fn send(&mut self, now: u64, _: KeyIndex) -> u64 {
        self.sends.push_back(now);
        0
    }

    fn ended(&mut self, _: u64, _: u64, _: Outcome, _: Option<u64>) {}
}

/// The surroundings of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct World {
    /// Least and most one-way delay in ns.
    pub(crate) delay: (u64, u64),
    /// Most a timer fires late, in ns.
    pub(crate) timer_late: u64,
    /// Requests that the workers can have in flight.
    pub(crate) workers: usize,
    /// Of a thousand answers, how many get lost.
    pub(crate) lost: u64,
    /// Whether answers tell what the server has counted.
    pub(crate) tells_used: bool,
    /// What a refusal says.
    pub(crate) retry_after: Option<Duration>,
    pub(crate) end: u64,
    pub(crate) seed: u64,
}

impl Default for World {
    fn default() -> Self {
        Self {
            delay: (25 * MS, 250 * MS),
            timer_late: 2 * MS,
            workers: 64,
            lost: 0,
            tells_used: false,
            retry_after: Some(Duration::from_secs(1)),
            end: 3600 * S,
            seed: 1,
        }
    }
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Run {
    pub(crate) sent: u64,
    pub(crate) admitted: u64,
    /// When each refusal happened, in ns.
    pub(crate) refused: Vec<u64>,
    /// Arrivals by key, in ns.
    pub(crate) arrivals: Vec<Vec<u64>>,
}

impl Run {
    /// Share of `n` per `per` on each key that was let in, over `[from, end]`, in percent.
    pub(crate) fn utilisation(&self, n: u64, per: u64, from: u64, end: u64) -> f64 {
        let count: usize = self
            .arrivals
            .iter()
            .map(|times| times.iter().filter(|at| (from..end).contains(*at)).count())
            .sum();
        100.0 * count as f64 * per as f64 / ((end - from) as f64 * n as f64 * self.arrivals.len() as f64)
    }

    /// Most arrivals in any window of `per` on one key.
    pub(crate) fn fullest(&self, per: u64) -> usize {
        let fullest = |times: &Vec<u64>| {
            let mut first = 0;
            let mut most = 0;
            for (i, at) in times.iter().enumerate() {
                while times[first] + per <= *at {
                    first += 1;
                }
                most = most.max(i + 1 - first);
            }
            most
        };
        self.arrivals.iter().map(fullest).max().unwrap_or(0)
    }
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrive { key: usize, request: u64 },
    Answer { request: u64, refused: bool, used: Option<u64> },
    GiveUp { request: u64 },
    Wake,
}

/// Runs `limiter` against one server a key.
pub(crate) fn run(limiter: &mut dyn Limiter, servers: &mut [Box<dyn Server>], world: World) -> Run {
    let mut random = Random(world.seed);
    let mut events = BinaryHeap::from([Reverse((0u64, 0u64, Event::Wake))]);
    let mut order = 0;
    let mut idle = world.workers;
    let mut result = Run { arrivals: vec![Vec::new(); servers.len()], ..Run::default() };
    let mut next_wake = u64::MAX;
    while let Some(Reverse((now, _, event))) = events.pop() {
        if now > world.end {
            break;
        }
        let mut push = |at: u64, event: Event| {
            order += 1;
            events.push(Reverse((at, order, event)));
        };
        match event {
            Event::Arrive { key, request } => {
                let admitted = servers[key].admit(now);
                if admitted {
                    result.admitted += 1;
                } else {
                    result.refused.push(now);
                }
                result.arrivals[key].push(now);
                if random.next() % 1000 < world.lost {
                    push(now + 10 * S, Event::GiveUp { request });
                } else {
                    let back = random.between(world.delay.0, world.delay.1);
                    let used = world.tells_used.then(|| servers[key].used());
                    push(now + back, Event::Answer { request, refused: !admitted, used });
                }
                continue;
            }
            Event::Answer { request, refused, used } => {
                let refusal = Outcome::Refused { retry_after: world.retry_after, limit: None };
                limiter.ended(now, request, if refused { refusal } else { Outcome::OK }, used);
                idle += 1;
            }
            Event::GiveUp { request } => {
                limiter.ended(now, request, Outcome::Unanswered, None);
                idle += 1;
            }
            Event::Wake => next_wake = u64::MAX,
        }
        while idle > 0 {
            match limiter.poll(now) {
                Poll::Ready(key) => {
                    let request = limiter.send(now, key);
                    result.sent += 1;
                    idle -= 1;
                    let there = random.between(world.delay.0, world.delay.1);
                    push(now + there, Event::Arrive { key: key.get(), request });
                }
                Poll::At(at) => {
                    let at = at.as_nanos() as u64;
                    assert!(at > now, "a wake-up in the past would spin");
                    if at < next_wake {
                        next_wake = at;
                        push(at + random.between(0, world.timer_late), Event::Wake);
                    }
                    break;
                }
                Poll::OnResponse => break,
                Poll::NoKeys => return result,
            }
        }
    }
    result
}
