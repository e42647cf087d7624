//! Caps of a group: how many of its tasks run at once, and how many start in a span of time.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::span;
use crate::error::{Cause, Error};
use crate::timestamp::{Timestamp, micros};

/// What a group may do over all workers of all processes. A task beyond it waits, and those behind it go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// The most of its tasks that run at once; `None`: any number.
    #[serde(default)]
    pub max_running: Option<u32>,
    /// The most of its tasks that start in a span; `None`: any number.
    #[serde(default)]
    pub rate: Option<Rate>,
}

/// So many starts in any span of this length, all of them at once if they saved up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Starts.
    pub count: u32,
    /// In any such span there are at most twice `count`, and `count` in each in the long run.
    #[serde(with = "span")]
    pub per: Duration,
}

impl Limit {
    pub(crate) fn check(&self) -> Result<(), Error> {
        let bad = |why| Err(Cause::Input { what: "limit", why }.into());
        if self.max_running == Some(0) {
            return bad("would never run a task: max_running is 0; pause the queue instead");
        }
        match self.rate {
            Some(rate) if rate.count == 0 => bad("would never start a task: rate.count is 0"),
            Some(rate) if micros(rate.per) < i64::from(rate.count) => {
                bad("is finer than a microsecond a task")
            }
            Some(rate) if rate.per > Duration::from_secs(366 * 86_400) => {
                bad("spans more than a year: rate.per")
            }
            _ => Ok(()),
        }
    }

    /// How many more may start at `now`, when `running` run and the virtual schedule has come to `booked` (GCRA: the
    /// theoretical arrival time of the generic cell rate algorithm, ITU-T I.371).
    pub fn room(&self, running: u32, booked: Timestamp, now: Timestamp) -> usize {
        let slots = self.max_running.map_or(usize::MAX, |most| most.saturating_sub(running) as usize);
        let starts = self.rate.map_or(usize::MAX, |rate| {
            let free = now.after(rate.per).0.saturating_sub(booked.max(now).0);
            usize::try_from(free / rate.step()).unwrap_or(0)
        });
        slots.min(starts)
    }

    /// Where the virtual schedule stands after `started` starts at `now`.
    pub fn book(&self, booked: Timestamp, now: Timestamp, started: usize) -> Timestamp {
        let Some(rate) = self.rate else { return booked };
        let span = rate.step().saturating_mul(i64::try_from(started).unwrap_or(i64::MAX));
        // A clock that was set back must not leave the group closed for longer than its span.
        let floor = booked.max(now).min(now.after(rate.per));
        Timestamp(floor.0.saturating_add(span))
    }
}

impl Rate {
    /// Microseconds for each start, rounded up so that the rate is never exceeded.
    fn step(self) -> i64 {
        let count = i64::from(self.count.max(1));
        (micros(self.per) + count - 1) / count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    #[test]
    fn the_rate_holds_in_the_long_run_and_lets_a_burst_through() {
        let limit = Limit { max_running: None, rate: Some(Rate { count: 10, per: Duration::from_secs(1) }) };
        let mut booked = Timestamp(0);
        let mut started = 0;
        for tick in 0..1000 {
            let now = Timestamp(tick * SECOND / 100);
            let room = limit.room(0, booked, now);
            assert!(room <= 10);
            booked = limit.book(booked, now, room);
            started += room;
        }
        assert!((100..=110).contains(&started), "{started} in ten seconds");
        assert_eq!(limit.room(0, Timestamp(0), Timestamp(5 * SECOND)), 10, "a burst after silence");
    }

    #[test]
    fn slots_are_what_is_left() {
        let limit = Limit { max_running: Some(3), rate: None };
        let at = Timestamp(0);
        assert_eq!((0..5).map(|n| limit.room(n, at, at)).collect::<Vec<_>>(), [3, 2, 1, 0, 0]);
    }

    #[test]
    fn a_clock_set_back_closes_the_group_for_no_longer_than_its_span() {
        let limit = Limit { max_running: None, rate: Some(Rate { count: 1, per: Duration::from_secs(10) }) };
        let booked = limit.book(Timestamp(0), Timestamp(3600 * SECOND), 1);
        let booked = limit.book(booked, Timestamp(0), 0);
        assert_eq!(limit.room(0, booked, Timestamp(10 * SECOND)), 1);
    }

    #[test]
    fn what_never_lets_anything_through_is_refused() {
        let rate = |count, per| Limit { max_running: None, rate: Some(Rate { count, per }) };
        assert!(Limit { max_running: Some(0), rate: None }.check().is_err());
        assert!(rate(0, Duration::from_secs(1)).check().is_err());
        assert!(rate(u32::MAX, Duration::from_micros(1)).check().is_err());
        assert!(rate(1, Duration::MAX).check().is_err());
        assert!(rate(5, Duration::from_secs(1)).check().is_ok());
    }
}
