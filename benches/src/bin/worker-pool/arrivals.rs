//! Jobs that come by themselves, at half of what one worker can do, and a thread that spins for them: the least that anybody
//! waits on this machine in this minute.
//!
//! The rival's binary includes this file, so that both are measured by the same arrivals and the same jobs.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tidemill_measure::Samples;

/// Jobs of a round, in 80 ms: a machine that stops us for a few milliseconds spoils some rounds and not all.
pub(crate) const JOBS: usize = 2000;

/// Between rounds. Linux stops a real-time thread that takes more than 95 % of a second, for the rest of it.
const PAUSE: Duration = Duration::from_millis(40);

/// What each job takes of its worker.
const JOB: Duration = Duration::from_micros(20);

/// Draws of a seed.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_add(0x9E37_79B9_7F4A_7C15))
    }

    /// The time to the next arrival of a Poisson process.
    pub(crate) fn gap(&mut self, mean: Duration) -> Duration {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let uniform = ((self.0 >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
        mean.mul_f64(-uniform.ln())
    }
}

/// The p99 of each round, and of the jobs of all rounds together.
#[derive(Default)]
pub(crate) struct Tails {
    pub(crate) rounds: Samples,
    all: Samples,
}

impl Tails {
    /// Takes in a round.
    pub(crate) fn push(&mut self, waits: &Waits) {
        let waits = waits.0.lock().unwrap_or_else(PoisonError::into_inner);
        let round: Samples = waits.iter().copied().collect();
        self.rounds.push(round.quantile(0.99).unwrap_or(f64::NAN));
        waits.iter().for_each(|wait| self.all.push(*wait));
    }

    /// The p99 of all jobs, microseconds.
    pub(crate) fn all(&self) -> Samples {
        self.all.quantile(0.99).into_iter().collect()
    }
}

/// How long each job of a round waited, from when it was due.
#[derive(Clone)]
pub(crate) struct Waits(Arc<Mutex<Vec<f64>>>);

impl Waits {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Vec::with_capacity(JOBS))))
    }

    /// One job: it writes its wait down and keeps its worker busy.
    pub(crate) fn job(&self, due: Instant) {
        let begun = Instant::now();
        let wait = begun.saturating_duration_since(due).as_nanos() as f64 / 1000.0;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(wait);
        while begun.elapsed() < JOB {
            spin_loop();
        }
    }

    /// Whether all of a round have run.
    pub(crate) fn is_complete(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len() == JOBS
    }
}

/// Hands in a round of jobs by their schedule, whatever becomes of them: random, 25 000 a second in the mean. The
/// calling thread spins, so that the submitter takes one core and the worker the other.
pub(crate) fn arrive(seed: u64, mut submit: impl FnMut(Instant)) {
    std::thread::sleep(PAUSE);
    let (mut random, mut due) = (Random::new(seed), Instant::now());
    for _ in 0..JOBS {
        due += random.gap(2 * JOB);
        while Instant::now() < due {
            spin_loop();
        }
        submit(due);
    }
}

/// A round served by a thread that does nothing but look for the next job.
pub(crate) fn spinning(seed: u64) -> Waits {
    let waits = Waits::new();
    let dues: Vec<AtomicU64> = (0..JOBS).map(|_| AtomicU64::new(0)).collect();
    let (come, origin) = (AtomicUsize::new(0), Instant::now());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for (n, due) in dues.iter().enumerate() {
                while come.load(Ordering::Acquire) <= n {
                    spin_loop();
                }
                waits.job(origin + Duration::from_nanos(due.load(Ordering::Relaxed)));
            }
        });
        let mut n = 0;
        arrive(seed, |due| {
            let due = u64::try_from(due.duration_since(origin).as_nanos()).unwrap_or(u64::MAX);
            dues[n].store(due, Ordering::Relaxed);
            n += 1;
            come.store(n, Ordering::Release);
        });
    });
    waits
}
