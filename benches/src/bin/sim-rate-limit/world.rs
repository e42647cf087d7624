//! A discrete event simulation: workers that always have work, a network that delays and loses, servers that count.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use tidemill_rate_limit::{Hints, Outcome};
use tidemill_sandbox::quota::{Quota, Verdict};

use crate::limiters::Limiter;

/// Nanoseconds of a second.
pub(crate) const S: u64 = 1_000_000_000;
/// Nanoseconds of a millisecond.
pub(crate) const MS: u64 = 1_000_000;

/// How long a message takes one way.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Delay {
    /// Anything between, in ns.
    Uniform(u64, u64),
    /// Log-normal with this median in ns and a sigma of 1, cut at 2.5 s.
    HeavyTail(u64),
}

/// The surroundings of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct World {
    pub(crate) delay: Delay,
    /// Requests that the workers can have in flight.
    pub(crate) workers: usize,
    /// Of a thousand answers, how many get lost.
    pub(crate) lost: u64,
    /// How much faster the client's clock runs, in parts per million.
    pub(crate) drift_ppm: i64,
    /// When the process is killed and started again.
    pub(crate) restart: Option<u64>,
    /// The reset of the window that answers tell: its phase and length.
    pub(crate) reset: Option<(u64, u64)>,
    pub(crate) end: u64,
    pub(crate) seed: u64,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Run {
    /// Arrivals that were let in, in ns.
    pub(crate) admitted: Vec<u64>,
    /// When each refusal happened.
    pub(crate) refused: Vec<u64>,
}

impl Run {
    /// What was let in over `[from, end)`, in percent of `n` per `per` on each of `keys`.
    pub(crate) fn used(&self, (n, per): (u64, u64), keys: usize, from: u64, end: u64) -> f64 {
        let count = self.admitted.iter().filter(|at| (from..end).contains(*at)).count();
        100.0 * count as f64 * per as f64 / ((end - from) as f64 * (n * keys as u64) as f64)
    }
}

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

    fn delay(&mut self, delay: Delay) -> u64 {
        match delay {
            Delay::Uniform(low, high) => self.between(low, high),
            Delay::HeavyTail(median) => {
                // Twelve uniform numbers less six are close to normal.
                let sum: f64 = (0..12).map(|_| self.between(0, 1 << 30) as f64 / (1u64 << 30) as f64).sum();
                ((median as f64 * (sum - 6.0).exp()) as u64).min(2_500 * MS)
            }
        }
    }
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrive { key: usize, request: u64, life: u32 },
    Answer { request: u64, refused: bool, reset: Option<u64>, life: u32 },
    GiveUp { request: u64, life: u32 },
    Restart,
    Wake,
}

/// How long a worker waits for an answer.
pub(crate) const TIMEOUT: u64 = 10 * S;

/// Runs `limiter` against one server a key.
pub(crate) fn run(limiter: &mut dyn Limiter, servers: &mut [Box<dyn Quota>], world: World) -> Run {
    let mut random = Random(world.seed);
    let mut events = BinaryHeap::from([Reverse((0u64, 0u64, Event::Wake))]);
    if let Some(at) = world.restart {
        events.push(Reverse((at, 0, Event::Restart)));
    }
    let (mut order, mut life, mut idle, mut next_wake) = (0, 0, world.workers, u64::MAX);
    let client =
        |at: u64| at.saturating_add_signed((i128::from(at) * i128::from(world.drift_ppm) / 1_000_000) as i64);
    let mut result = Run::default();
    while let Some(Reverse((now, _, event))) = events.pop() {
        if now > world.end {
            break;
        }
        let mut push = |at: u64, event: Event| {
            order += 1;
            events.push(Reverse((at, order, event)));
        };
        match event {
            Event::Arrive { key, request, life } => {
                let verdict = servers[key].admit(Duration::from_nanos(now), 1);
                let refused = matches!(verdict, Verdict::Refused { .. });
                let list = if refused { &mut result.refused } else { &mut result.admitted };
                list.push(now);
                // Whole seconds rounded down, as the stingiest servers say it.
                let reset = world.reset.map(|(phase, per)| (per - (now + per - phase % per) % per) / S);
                if random.next() % 1000 < world.lost {
                    push(now + TIMEOUT, Event::GiveUp { request, life });
                } else {
                    let back = random.delay(world.delay);
                    push(now + back, Event::Answer { request, refused, reset, life });
                }
                continue;
            }
            Event::Answer { life: of, .. } | Event::GiveUp { life: of, .. } if of != life => continue,
            Event::Answer { request, refused, reset, .. } => {
                let retry_after = Some(Duration::from_secs(1));
                let outcome =
                    if refused { Outcome::Refused { retry_after, limit: None } } else { Outcome::OK };
                let hints = Hints { reset: reset.map(Duration::from_secs), ..Hints::default() };
                limiter.ended(client(now), request, outcome, hints);
                idle += 1;
            }
            Event::GiveUp { request, .. } => {
                limiter.ended(client(now), request, Outcome::Unanswered, Hints::default());
                idle += 1;
            }
            Event::Restart => {
                limiter.restart(client(now));
                (life, idle) = (life + 1, world.workers);
            }
            Event::Wake => next_wake = u64::MAX,
        }
        while idle > 0 {
            match limiter.send(client(now)) {
                Ok((key, request)) => {
                    idle -= 1;
                    let there = random.delay(world.delay);
                    push(now + there, Event::Arrive { key, request, life });
                }
                Err(u64::MAX) => break,
                Err(at) => {
                    // From the client's clock to the true one, rounded up.
                    let ahead = at.saturating_sub(client(now)).max(1);
                    let ahead =
                        ahead.saturating_add_signed(-((ahead as i64) * world.drift_ppm / 1_000_000)) + 1;
                    if now + ahead < next_wake {
                        next_wake = now + ahead;
                        push(next_wake + random.between(0, 2 * MS), Event::Wake);
                    }
                    break;
                }
            }
        }
    }
    result
}
