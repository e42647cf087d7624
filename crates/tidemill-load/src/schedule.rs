//! When a thread's share of the arrivals is due: every n-th of an even or recorded load, or a Poisson process of its own.

use std::sync::Arc;
use std::time::Duration;

use crate::curve::Curve;
use crate::data::read_bounded;
use crate::error::Error;
use crate::plan::{Arrivals, Plan};
use crate::random::Random;
use crate::shape::Shape;

/// An arrival: its number among those of all threads, and when it is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arrival {
    pub(crate) number: u64,
    pub(crate) due_ns: u64,
}

/// What is shared by all threads' schedules.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    Even(Arc<Curve>),
    Poisson { curve: Arc<Curve>, seed: u64 },
    Replay(Arc<[u64]>),
}

/// One thread's share; it holds no more than its place.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    source: Source,
    thread: u64,
    threads: u64,
    taken: u64,
    random: Random,
    /// Of a Poisson process: the integral at the last arrival.
    area: f64,
}

impl Source {
    pub(crate) fn of(plan: &Plan) -> Result<Self, Error> {
        if let Shape::Replay { path, speed, duration } = &plan.load.shape {
            let text = read_bounded(path, plan.limits.data, "load.shape.path")?;
            return Ok(Self::Replay(recorded(&text, *speed, *duration)?.into()));
        }
        let curve = Arc::new(plan.load.shape.curve()?);
        Ok(match plan.load.arrivals {
            Arrivals::Even => Self::Even(curve),
            Arrivals::Poisson => Self::Poisson { curve, seed: plan.load.seed },
        })
    }
}

impl Schedule {
    pub(crate) fn new(source: Source, thread: usize, threads: usize) -> Self {
        let seed = if let Source::Poisson { seed, .. } = source { seed } else { 0 };
        let random = Random::new(seed.wrapping_add((thread as u64) << 32));
        Self { source, thread: thread as u64, threads: threads as u64, taken: 0, random, area: 0.0 }
    }

    /// The next arrival; `None` after the last.
    pub(crate) fn next(&mut self) -> Option<Arrival> {
        let number = self.thread + self.taken * self.threads;
        let due_ns = match &self.source {
            Source::Even(curve) => curve.due(number)?.as_nanos() as u64,
            Source::Poisson { curve, .. } => {
                // Independent processes of a share of the rate add up to one of the whole rate.
                self.area += self.random.exponential() * self.threads as f64;
                curve.due_at(self.area)?.as_nanos() as u64
            }
            Source::Replay(log) => *log.get(usize::try_from(number).ok()?)?,
        };
        self.taken += 1;
        Some(Arrival { number, due_ns })
    }
}

/// The nanoseconds of an arrival log; `#` begins a comment.
fn recorded(text: &str, speed: f64, duration: Duration) -> Result<Vec<u64>, Error> {
    if !(speed.is_finite() && speed > 0.0) {
        return Err(Error::plan("load.shape.speed", "must be above 0"));
    }
    let mut log = Vec::new();
    let mut before = 0.0;
    for (n, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let wrong = || {
            Error::plan(
                "load.shape.path",
                format!("line {} is not a number of seconds at least as large as the one before", n + 1),
            )
        };
        let at: f64 = line.parse().map_err(|_| wrong())?;
        if !(at.is_finite() && at >= before) {
            return Err(wrong());
        }
        before = at;
        let at = at / speed;
        if at >= duration.as_secs_f64() {
            break;
        }
        log.push((at * 1e9).round() as u64);
    }
    Ok(log)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(source: &Source, threads: usize) -> Vec<u64> {
        let mut all = Vec::new();
        for thread in 0..threads {
            let mut schedule = Schedule::new(source.clone(), thread, threads);
            all.extend(std::iter::from_fn(|| schedule.next()).map(|arrival| arrival.due_ns));
        }
        all.sort_unstable();
        all
    }

    #[test]
    fn threads_share_an_even_load_without_gap_or_double() {
        let shape = Shape::Ramp {
            from: 0.0,
            to: 900.0,
            over: Duration::from_secs(2),
            steps: 0,
            hold: Duration::ZERO,
        };
        let source = Source::Even(Arc::new(shape.curve().unwrap()));
        let one = all(&source, 1);
        assert_eq!(one.len(), 900);
        for threads in [2, 3, 7] {
            assert_eq!(all(&source, threads), one);
        }
    }

    #[test]
    fn a_poisson_load_has_the_rate_and_the_spread_of_one() {
        let curve = Arc::new(Shape::constant(1000.0, Duration::from_secs(100)).curve().unwrap());
        for threads in [1, 4] {
            let arrivals = all(&Source::Poisson { curve: Arc::clone(&curve), seed: 5 }, threads);
            // 100 000 expected, standard deviation 316.
            assert!((98_700..101_300).contains(&arrivals.len()), "{}", arrivals.len());
            let gaps: Vec<f64> = arrivals.windows(2).map(|pair| (pair[1] - pair[0]) as f64 / 1e6).collect();
            let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
            let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
            assert!((0.97..1.03).contains(&mean) && (0.94..1.06).contains(&variance), "{mean} {variance}");
        }
    }

    #[test]
    fn a_log_is_replayed_as_it_was_and_faster() {
        let log = "# seconds\n0\n0.5\n0.5\n\n2.25\n9\n";
        let second = Duration::from_secs(1);
        assert_eq!(recorded(log, 1.0, 3 * second).unwrap(), [0, 500_000_000, 500_000_000, 2_250_000_000]);
        assert_eq!(recorded(log, 2.0, 3 * second).unwrap(), [0, 250_000_000, 250_000_000, 1_125_000_000]);
        for bad in ["0.5\n0.25", "x", "-1", "nan", "inf"] {
            assert!(recorded(bad, 1.0, second).is_err(), "{bad}");
        }
        assert!(recorded("0", 0.0, second).is_err());
    }
}
