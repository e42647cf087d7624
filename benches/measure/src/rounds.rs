//! Rounds in which the contenders take turns, so that a slow second of the machine hits all of them.

use crate::clock::Clock;
use crate::samples::Samples;

/// How often to measure, on which clock.
#[derive(Debug, Clone, Copy)]
pub struct Rounds {
    rounds: u32,
    warm_up: u32,
    clock: Clock,
}

impl Rounds {
    /// `rounds` measured rounds (at least one) after two of warm-up, on [`Clock::ThreadCpu`].
    pub fn new(rounds: u32) -> Self {
        Self { rounds: rounds.max(1), warm_up: 2, clock: Clock::ThreadCpu }
    }

    /// As [`Rounds::new`], unless the command line says `--rounds N`; `cargo xtask bench` passes that on.
    pub fn from_args(default: u32) -> Self {
        let mut args = std::env::args().skip_while(|arg| arg != "--rounds").skip(1);
        Self::new(args.next().and_then(|value| value.parse().ok()).unwrap_or(default))
    }

    /// Measured rounds, for a benchmark whose rounds are processes.
    pub fn count(&self) -> u32 {
        self.rounds
    }

    /// Counts on another clock.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Rounds that are run and not counted.
    #[must_use]
    pub fn warm_up(mut self, rounds: u32) -> Self {
        self.warm_up = rounds;
        self
    }

    /// Nanoseconds per operation of a body that does `operations` of them per call.
    pub fn single(&self, operations: u64, mut body: impl FnMut()) -> Samples {
        self.interleave(operations, &mut [&mut body]).swap_remove(0)
    }

    /// Two contenders, in the order ABBA.
    pub fn pair(
        &self,
        operations: u64,
        mut ours: impl FnMut(),
        mut theirs: impl FnMut(),
    ) -> (Samples, Samples) {
        let mut both = self.interleave(operations, &mut [&mut ours, &mut theirs]);
        let theirs = both.swap_remove(1);
        (both.swap_remove(0), theirs)
    }

    /// Any number of contenders; every other round runs them backwards.
    pub fn interleave(&self, operations: u64, contenders: &mut [&mut dyn FnMut()]) -> Vec<Samples> {
        let mut samples = vec![Samples::new(); contenders.len()];
        for round in 0..self.warm_up + self.rounds {
            for turn in 0..contenders.len() {
                let who = if round % 2 == 0 { turn } else { contenders.len() - 1 - turn };
                let took = self.clock.time(|| contenders[who]());
                if round >= self.warm_up {
                    samples[who].push(took.as_nanos() as f64 / operations.max(1) as f64);
                }
            }
        }
        samples
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn contenders_take_turns_and_every_other_round_backwards() {
        let order = RefCell::new(String::new());
        let (ours, theirs) = Rounds::new(2).warm_up(1).pair(
            1,
            || order.borrow_mut().push('a'),
            || order.borrow_mut().push('b'),
        );
        assert_eq!(*order.borrow(), "abbaab");
        assert_eq!((ours.len(), theirs.len()), (2, 2));
    }

    #[test]
    fn twice_the_work_costs_more() {
        let work = |n: u64| (0..n).fold(1u64, |acc, x| std::hint::black_box(acc.wrapping_mul(x | 1)));
        let (less, more) = Rounds::new(7).pair(
            1,
            || _ = std::hint::black_box(work(20_000)),
            || _ = std::hint::black_box(work(200_000)),
        );
        assert!(more.median() > less.median());
    }
}
