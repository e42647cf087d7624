//! The same work for every cache: hits, writes beside reads, and how many of a trace's keys it has.

use std::hint::black_box;
use std::time::Instant;

use crate::keys::Zipf;
use crate::{Clock, Rounds, Samples};

/// A cache of `u64` to `u64`.
pub trait Subject: Sync {
    /// What it has.
    fn get(&self, key: u64) -> Option<u64>;
    /// Puts a key's value in.
    fn put(&self, key: u64);
}

/// Keys that fit, and how many of them are asked for in a round.
const RESIDENT: usize = 100_000;
const ASKED: usize = 400_000;

/// CPU nanoseconds of a hit among 100 000 resident keys, Zipf 0.99, one thread.
pub fn hit_cpu(rounds: &Rounds, subject: &dyn Subject) -> Samples {
    let keys = resident(subject);
    rounds.clock(Clock::ThreadCpu).single(ASKED as u64, || {
        for key in &keys {
            black_box(subject.get(*key));
        }
    })
}

/// The quantiles of a hit's time, one sample a round; each holds the timer's own 20-40 ns.
pub fn hit_quantiles(rounds: &Rounds, subject: &dyn Subject, quantiles: &[f64]) -> Vec<Samples> {
    let keys = resident(subject);
    let mut samples: Vec<Samples> = quantiles.iter().map(|_| Samples::new()).collect();
    let mut times = Vec::with_capacity(keys.len());
    for _ in 0..rounds.count() {
        times.clear();
        for key in &keys {
            let began = Instant::now();
            black_box(subject.get(*key));
            times.push(began.elapsed().as_nanos());
        }
        times.sort_unstable();
        for (samples, quantile) in samples.iter_mut().zip(quantiles) {
            let at = (times.len() as f64 * quantile) as usize;
            samples.push(times[at.min(times.len() - 1)] as f64);
        }
    }
    samples
}

fn resident(subject: &dyn Subject) -> Vec<u64> {
    let keys = Zipf::new(RESIDENT / 2, 0.99, 1).take(ASKED);
    keys.iter().for_each(|key| subject.put(*key));
    keys
}

/// Million operations a second of CPU over all threads: 95 % reads, 5 % writes, a universe of a million keys, Zipf 0.99.
pub fn mixed(rounds: &Rounds, subject: &dyn Subject, threads: u64) -> Samples {
    let keys: Vec<Vec<u64>> =
        (0..threads).map(|seed| Zipf::new(1_000_000, 0.99, seed + 7).take(ASKED)).collect();
    let ns = rounds.clock(Clock::ProcessCpu).single(ASKED as u64 * threads, || {
        std::thread::scope(|scope| {
            for keys in &keys {
                scope.spawn(move || {
                    for (n, key) in keys.iter().enumerate() {
                        if n % 20 == 19 { subject.put(*key) } else { _ = black_box(subject.get(*key)) }
                    }
                });
            }
        });
    });
    ns.map(|ns| 1000.0 / ns)
}

/// The share of a trace's keys that it had, each missing one put in.
pub fn hit_ratio(subject: &dyn Subject, keys: &[u64]) -> f64 {
    let mut hits = 0_u64;
    for key in keys {
        if subject.get(*key).is_some() {
            hits += 1;
        } else {
            subject.put(*key);
        }
    }
    hits as f64 * 100.0 / keys.len().max(1) as f64
}
