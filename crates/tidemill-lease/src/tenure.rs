//! When a keeper asks: acquire, renew at a third of the term, retry, lose; without clock or task.

use std::time::Duration;

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Ask for the lease.
    Acquire,
    /// Ask for another term.
    Renew,
    /// Nothing before then.
    At(Duration),
    /// The term is over: we have it no more.
    Lost,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Waiting { ask: Duration },
    Holding { renew: Duration, until: Duration },
}

/// The timetable of one lease and one owner.
#[derive(Debug)]
pub(crate) struct Tenure {
    term: Duration,
    slack: Duration,
    seed: u64,
    state: State,
}

impl Tenure {
    pub(crate) fn new(term: Duration, slack: Duration, seed: u64) -> Self {
        Self { term, slack, seed, state: State::Waiting { ask: Duration::ZERO } }
    }

    pub(crate) fn poll(&self, now: Duration) -> Step {
        match self.state {
            State::Holding { until, .. } if now >= until => Step::Lost,
            State::Holding { renew, .. } if now >= renew => Step::Renew,
            State::Holding { renew, until } => Step::At(renew.min(until)),
            State::Waiting { ask } if now >= ask => Step::Acquire,
            State::Waiting { ask } => Step::At(ask),
        }
    }

    /// A term was granted that was asked for at `asked`. The next is asked for a third of the term later, less up to
    /// a tenth of that, so that many owners do not ask at once.
    pub(crate) fn granted(&mut self, asked: Duration) {
        let third = self.term / 3;
        let early = self.draw(third / 10);
        self.state = State::Holding {
            renew: asked + third - early,
            until: (asked + self.term).saturating_sub(self.slack),
        };
    }

    /// A renewal failed and may work later: again after a twelfth of the term, more or less.
    pub(crate) fn failed(&mut self, now: Duration) {
        let pause = self.term / 12;
        let next = now + pause - pause / 4 + self.draw(pause / 2);
        match &mut self.state {
            State::Holding { renew, .. } => *renew = next,
            State::Waiting { ask } => *ask = next,
        }
    }

    /// Another owner has it for `remaining`, unless it gives it back before: asked again at its end, or after a third
    /// of our term if that is sooner.
    pub(crate) fn refused(&mut self, now: Duration, remaining: Duration) {
        let wait = remaining.min(self.term / 3).max(Duration::from_millis(1));
        let ask = now + wait + self.draw(self.term / 60);
        self.state = State::Waiting { ask };
    }

    /// The lease is another's, or was given up; asked for again at once.
    pub(crate) fn lost(&mut self, now: Duration) {
        self.state = State::Waiting { ask: now };
    }

    /// Uniform in [0, span), by splitmix64.
    fn draw(&mut self, span: Duration) -> Duration {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        let part = (u128::from(z) * span.as_nanos()) >> 64;
        Duration::from_nanos(u64::try_from(part).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERM: Duration = Duration::from_secs(30);
    const SLACK: Duration = Duration::from_secs(1);

    #[test]
    fn it_renews_at_a_third_of_the_term_and_not_all_at_once() {
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..100 {
            let mut tenure = Tenure::new(TERM, SLACK, seed);
            assert_eq!(tenure.poll(Duration::ZERO), Step::Acquire);
            tenure.granted(Duration::from_secs(5));
            let Step::At(renew) = tenure.poll(Duration::from_secs(5)) else { panic!() };
            assert!(renew > Duration::from_secs(14) && renew <= Duration::from_secs(15), "{renew:?}");
            assert_eq!(tenure.poll(renew - Duration::from_nanos(1)), Step::At(renew));
            assert_eq!(tenure.poll(renew), Step::Renew);
            seen.insert(renew);
        }
        assert!(seen.len() > 90, "{}", seen.len());
    }

    #[test]
    fn a_store_that_does_not_answer_is_asked_until_the_term_is_over() {
        let mut tenure = Tenure::new(TERM, SLACK, 7);
        tenure.granted(Duration::ZERO);
        let (mut now, mut asked) = (Duration::ZERO, 0);
        loop {
            match tenure.poll(now) {
                Step::At(next) => now = next,
                Step::Renew => {
                    asked += 1;
                    tenure.failed(now);
                }
                Step::Lost => break,
                Step::Acquire => panic!("it still has it"),
            }
        }
        assert_eq!(now, TERM - SLACK);
        assert!((6..=11).contains(&asked), "{asked}");
        tenure.lost(now);
        assert_eq!(tenure.poll(now), Step::Acquire);
    }

    #[test]
    fn a_held_lease_is_asked_for_at_its_end_and_before() {
        let mut tenure = Tenure::new(TERM, SLACK, 1);
        for (remaining, least) in [(3, 3), (30, 10), (0, 0)] {
            tenure.refused(Duration::ZERO, Duration::from_secs(remaining));
            let Step::At(ask) = tenure.poll(Duration::ZERO) else { panic!() };
            let least = Duration::from_secs(least);
            assert!(ask >= least && ask <= least + TERM / 60 + Duration::from_millis(1), "{ask:?}");
        }
    }
}
