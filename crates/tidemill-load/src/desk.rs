//! One thread's desk: arrivals that come due are matched with connections that are free; whoever waits, waits here.

use std::collections::VecDeque;
use std::task::Waker;

use crate::schedule::{Arrival, Schedule};
use crate::tally::Tally;

/// What the connections and the pacer of a thread share.
pub(crate) struct Desk {
    schedule: Schedule,
    next: Option<Arrival>,
    seats: Vec<Seat>,
    /// Seats without work, the longest idle first, so that all connections take part.
    idle: VecDeque<usize>,
    /// The pacer, when it waits for a free seat instead of a time.
    pacer: Option<Waker>,
    closed: bool,
    busy: u64,
    pub(crate) tally: Tally,
}

/// One connection's place.
#[derive(Default)]
struct Seat {
    given: Option<Arrival>,
    waker: Option<Waker>,
}

/// An arrival and when its connection was free for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Work {
    pub(crate) arrival: Arrival,
    /// Nanoseconds since the start; 0 when it was free before the arrival was due.
    pub(crate) free_ns: u64,
}

/// What a connection is told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    Work(Work),
    /// Nothing is due: wait to be woken.
    Wait,
    /// Nothing comes any more.
    Over,
}

/// What the pacer does next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Comes back at this time, in nanoseconds since the start.
    At(u64),
    /// Waits until a seat is free.
    Full,
    /// Every arrival has been given out.
    Exhausted,
}

impl Desk {
    pub(crate) fn new(mut schedule: Schedule, seats: usize, tally: Tally) -> Self {
        let next = schedule.next();
        Self {
            schedule,
            next,
            seats: (0..seats).map(|_| Seat::default()).collect(),
            idle: VecDeque::with_capacity(seats),
            pacer: None,
            closed: false,
            busy: 0,
            tally,
        }
    }

    /// A seat asks for work, having become free at `now`; it is woken by `waker` when it must wait. `waits` says that it
    /// is already among the idle.
    pub(crate) fn ask(&mut self, seat: usize, now_ns: u64, waits: bool, waker: &Waker) -> Turn {
        if let Some(arrival) = self.seats[seat].given.take() {
            return Turn::Work(Work { arrival, free_ns: 0 });
        }
        if self.closed {
            return Turn::Over;
        }
        if waits {
            self.seats[seat].waker = Some(waker.clone());
            return Turn::Wait;
        }
        if let Some(arrival) = self.next.filter(|arrival| arrival.due_ns <= now_ns) {
            self.advance();
            self.busy += 1;
            // Where another seat is idle, not this one's work but the pacer kept the arrival waiting.
            let free_ns = if self.idle.is_empty() { now_ns } else { 0 };
            return Turn::Work(Work { arrival, free_ns });
        }
        self.idle.push_back(seat);
        self.seats[seat].waker = Some(waker.clone());
        if let Some(pacer) = self.pacer.take() {
            pacer.wake();
        }
        Turn::Wait
    }

    /// A seat's work is done.
    pub(crate) fn done(&mut self) {
        self.busy = self.busy.saturating_sub(1);
    }

    /// Gives what is due to idle seats; `waker` wakes the pacer when all seats are taken.
    pub(crate) fn pace(&mut self, now_ns: u64, waker: &Waker) -> Pace {
        loop {
            let Some(arrival) = self.next else { return Pace::Exhausted };
            if arrival.due_ns > now_ns {
                return Pace::At(arrival.due_ns);
            }
            let Some(seat) = self.idle.pop_front() else {
                self.pacer = Some(waker.clone());
                return Pace::Full;
            };
            self.advance();
            self.busy += 1;
            let seat = &mut self.seats[seat];
            seat.given = Some(arrival);
            if let Some(waker) = seat.waker.take() {
                waker.wake();
            }
        }
    }

    /// Ends the giving out: who waits goes home.
    pub(crate) fn close(&mut self) {
        self.closed = true;
        for seat in &mut self.seats {
            if let Some(waker) = seat.waker.take() {
                waker.wake();
            }
        }
    }

    /// Counts what was due by now and will not be sent.
    pub(crate) fn give_up(&mut self, now_ns: u64) {
        while let Some(arrival) = self.next.filter(|arrival| arrival.due_ns <= now_ns) {
            self.advance();
            self.tally.unsent(now_ns - arrival.due_ns);
        }
        self.next = None;
    }

    /// Arrivals that have been given out and are not done.
    pub(crate) fn busy(&self) -> u64 {
        self.busy
    }

    /// When the arrival that waits longest was due, if one waits.
    pub(crate) fn waiting_since(&self, now_ns: u64) -> Option<Arrival> {
        self.next.filter(|arrival| arrival.due_ns <= now_ns)
    }

    fn advance(&mut self) {
        self.tally.due += 1;
        self.next = self.schedule.next();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::schedule::Source;
    use crate::shape::Shape;

    const MS: u64 = 1_000_000;

    /// 1000 a second for 10 ms: due at 0, 1, ... 9 ms.
    fn desk(seats: usize) -> Desk {
        let curve = Shape::constant(1000.0, Duration::from_millis(10)).curve().unwrap();
        Desk::new(Schedule::new(Source::Even(Arc::new(curve)), 0, 1), seats, Tally::new(1))
    }

    fn work(turn: Turn) -> Work {
        let Turn::Work(work) = turn else { panic!("{turn:?}") };
        work
    }

    #[test]
    fn a_free_seat_is_given_what_comes_due() {
        let (mut desk, waker) = (desk(2), Waker::noop());
        assert_eq!(work(desk.ask(0, 0, false, waker)).arrival, Arrival { number: 0, due_ns: 0 });
        assert_eq!(desk.ask(1, 0, false, waker), Turn::Wait);
        assert_eq!(desk.pace(MS / 2, waker), Pace::At(MS));
        assert_eq!(desk.ask(1, MS / 2, true, waker), Turn::Wait);
        assert_eq!(desk.pace(MS + 5, waker), Pace::At(2 * MS));
        let given = work(desk.ask(1, MS + 9, true, waker));
        assert_eq!(given, Work { arrival: Arrival { number: 1, due_ns: MS }, free_ns: 0 });
        assert_eq!(desk.busy(), 2);
    }

    #[test]
    fn a_pacer_that_sleeps_over_an_idle_seat_is_late() {
        let (mut desk, waker) = (desk(2), Waker::noop());
        work(desk.ask(0, 0, false, waker));
        assert_eq!(desk.ask(1, 0, false, waker), Turn::Wait);
        desk.done();
        // Due at 1 ms, taken at 5 ms by the seat that happened to be done, while the other one stood idle.
        assert_eq!(work(desk.ask(0, 5 * MS, false, waker)).free_ns, 0);
    }

    #[test]
    fn what_finds_no_seat_waits_and_goes_in_order() {
        let (mut desk, waker) = (desk(1), Waker::noop());
        work(desk.ask(0, 0, false, waker));
        assert_eq!(desk.pace(3 * MS, waker), Pace::Full);
        desk.done();
        for number in 1..=3 {
            let work = work(desk.ask(0, 3 * MS, false, waker));
            assert_eq!((work.arrival.number, work.free_ns), (number, 3 * MS));
        }
        desk.done();
        assert_eq!(desk.ask(0, 3 * MS, false, waker), Turn::Wait);
        assert_eq!(desk.pace(3 * MS, waker), Pace::At(4 * MS));
        desk.give_up(6 * MS);
        assert_eq!((desk.tally.errors.unsent, desk.tally.due), (3, 7));
        desk.close();
        assert_eq!(desk.ask(0, 6 * MS, true, waker), Turn::Over);
        assert_eq!(desk.pace(9 * MS, waker), Pace::Exhausted);
    }
}
