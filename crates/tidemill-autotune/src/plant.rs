//! Simulated things to control and to try, a public test kit: knees, cliffs, noise, drift, delay, interference, memory.

use std::collections::VecDeque;

use crate::random::Random;

/// A service asked by `limit` callers at once. Its best fixed setting is known, so a controller can be judged.
///
/// ```
/// use tidemill_autotune::plant::{Plant, Shape};
/// let mut plant = Plant::new(Shape { capacity: 20.0, ..Shape::default() }, 1);
/// let (few, many) = (plant.step(5.0), plant.step(40.0));
/// assert!(many.throughput > few.throughput && many.latency > 1.9 * few.latency);
/// ```
#[derive(Clone, Debug)]
pub struct Plant {
    shape: Shape,
    random: Random,
    step: u64,
    /// What remembers: an AR(1) disturbance.
    disturbance: f64,
    pipe: VecDeque<f64>,
}

/// What a plant is like. The default is a knee without noise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// Callers it serves side by side; more wait.
    pub capacity: f64,
    /// Seconds of service.
    pub service_s: f64,
    /// Beyond this multiple of the capacity it thrashes: throughput falls with the square of the excess. Infinite: a knee.
    pub cliff: f64,
    /// Standard deviation of each reading, as a share of it.
    pub noise: f64,
    /// How far the capacity swings, as a share of it; one swing takes 600 steps.
    pub drift: f64,
    /// Steps until a new limit is felt.
    pub delay: usize,
    /// How much of the capacity others take on and off, as a share of it.
    pub interference: f64,
    /// Memory of the interference from step to step, 0 to below 1.
    pub memory: f64,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            capacity: 20.0,
            service_s: 0.05,
            cliff: f64::INFINITY,
            noise: 0.0,
            drift: 0.0,
            delay: 0,
            interference: 0.0,
            memory: 0.9,
        }
    }
}

/// What one step shows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Observed {
    /// Answers a second.
    pub throughput: f64,
    /// Mean seconds of an answer.
    pub latency: f64,
    /// The 99th percentile.
    pub p99: f64,
}

impl Plant {
    /// A plant with its own randomness.
    #[must_use]
    pub fn new(shape: Shape, seed: u64) -> Self {
        Self { shape, random: Random::new(seed), step: 0, disturbance: 0.0, pipe: VecDeque::new() }
    }

    /// Makes it slower or faster from now on.
    pub fn set_service_s(&mut self, service_s: f64) {
        self.shape.service_s = service_s;
    }

    /// One step with `limit` callers.
    pub fn step(&mut self, limit: f64) -> Observed {
        let Shape { service_s, noise, delay, .. } = self.shape;
        self.pipe.push_back(limit.max(1.0));
        let limit =
            if self.pipe.len() > delay { self.pipe.pop_front().unwrap_or(limit) } else { self.pipe[0] };
        let capacity = self.capacity();
        self.step += 1;
        let seen = Self::ideal(limit, capacity, service_s, self.shape.cliff);
        let blur = 1.0 + noise * self.random.normal();
        let latency = seen.latency * blur.clamp(0.2, 5.0);
        // Answers spread around the mean; the tail of an exponential queue.
        Observed { throughput: limit / latency, latency, p99: latency * (1.0 + 0.5 * noise.max(0.1)) }
    }

    /// The best fixed setting and what it shows, by trying every whole limit over `steps` steps of a copy.
    #[must_use]
    pub fn best_fixed(&self, steps: u64) -> (f64, Observed) {
        let most = (self.shape.capacity * 2.0).ceil() as u32;
        let mut best: Option<(f64, Observed)> = None;
        let all: Vec<(f64, Observed)> = (1..=most)
            .map(|limit| {
                let (limit, mut copy) = (f64::from(limit), self.clone());
                let seen: Vec<Observed> = (0..steps).map(|_| copy.step(limit)).collect();
                (limit, mean(&seen))
            })
            .collect();
        let top = all.iter().map(|(_, seen)| seen.throughput).fold(0.0, f64::max);
        // Of those within 1 % of the most throughput, the one with the shortest tail.
        for (limit, seen) in all {
            let better = best.is_none_or(|(_, other)| seen.p99 < other.p99);
            if seen.throughput >= 0.99 * top && better {
                best = Some((limit, seen));
            }
        }
        best.unwrap_or((1.0, Observed { throughput: 0.0, latency: 0.0, p99: 0.0 }))
    }

    fn capacity(&mut self) -> f64 {
        let Shape { capacity, drift, interference, memory, .. } = self.shape;
        let swing = 1.0 + drift * (self.step as f64 / 600.0 * std::f64::consts::TAU).sin();
        let fresh = (1.0 - memory * memory).sqrt() * self.random.normal();
        self.disturbance = memory * self.disturbance + fresh;
        let taken = (interference * (0.5 + 0.5 * self.disturbance)).clamp(0.0, 0.9);
        (capacity * swing * (1.0 - taken)).max(1.0)
    }

    fn ideal(limit: f64, capacity: f64, service_s: f64, cliff: f64) -> Observed {
        let thrash = (limit / (capacity * cliff)).max(1.0).powi(2);
        let throughput = limit.min(capacity) / service_s / thrash;
        Observed { throughput, latency: limit / throughput, p99: limit / throughput }
    }
}

/// The mean of many steps; the tail by its own mean.
#[must_use]
pub fn mean(seen: &[Observed]) -> Observed {
    let n = seen.len().max(1) as f64;
    let of = |field: fn(&Observed) -> f64| seen.iter().map(field).sum::<f64>() / n;
    Observed {
        throughput: of(|seen| seen.throughput),
        latency: of(|seen| seen.latency),
        p99: of(|seen| seen.p99),
    }
}

/// Readings of an objective in which a new value makes a known difference, under a load that does what it likes.
#[derive(Clone, Debug)]
pub struct Load {
    shape: LoadShape,
    random: Random,
    step: u64,
    remembered: f64,
    neighbour: f64,
}

/// What a load is like. The noise of one reading has a standard deviation of 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LoadShape {
    /// What the new value adds to each reading.
    pub effect: f64,
    /// Added with every step.
    pub drift: f64,
    /// Memory of the noise from step to step, 0 to below 1.
    pub memory: f64,
    /// Height of a neighbour's load that comes and goes, each time for about 40 steps.
    pub interference: f64,
    /// Height of the daily swing of 500 steps.
    pub season: f64,
}

impl Default for LoadShape {
    fn default() -> Self {
        Self { effect: 0.0, drift: 0.0, memory: 0.0, interference: 0.0, season: 0.0 }
    }
}

impl Load {
    /// A load with its own randomness.
    #[must_use]
    pub fn new(shape: LoadShape, seed: u64) -> Self {
        Self { shape, random: Random::new(seed), step: 0, remembered: 0.0, neighbour: 0.0 }
    }

    /// One reading, with the new value or the old.
    pub fn step(&mut self, new: bool) -> f64 {
        let at = self.advance();
        at + self.noise() + if new { self.shape.effect } else { 0.0 }
    }

    /// One reading of each side of a split: (old, new). What the load does, it does to both.
    pub fn step_split(&mut self) -> (f64, f64) {
        let at = self.advance() + self.remembered;
        (at + self.random.normal(), at + self.random.normal() + self.shape.effect)
    }

    fn advance(&mut self) -> f64 {
        let LoadShape { drift, interference, season, memory, .. } = self.shape;
        self.step += 1;
        if self.random.uniform() < 1.0 / 40.0 {
            self.neighbour = if self.neighbour == 0.0 { interference } else { 0.0 };
        }
        self.remembered = memory * self.remembered + (1.0 - memory * memory).sqrt() * self.random.normal();
        let swing = season * (self.step as f64 / 500.0 * std::f64::consts::TAU).sin();
        100.0 + drift * self.step as f64 + swing + self.neighbour
    }

    fn noise(&mut self) -> f64 {
        if self.shape.memory > 0.0 { self.remembered } else { self.random.normal() }
    }
}
