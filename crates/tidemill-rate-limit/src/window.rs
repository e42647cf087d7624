//! The slots of one window: taken at the send, free again one span after the response.

use std::collections::VecDeque;

/// Most entries a log keeps; a larger window is kept in grains, each rounded up to its end.
const ENTRIES: u64 = 4096;

/// When something may go ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// At once.
    Now,
    /// At this time, if nothing is taken in between.
    At(u64),
    /// Not before a request in flight is answered.
    OnResponse,
}

impl When {
    /// The later of two.
    pub(crate) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::OnResponse, _) | (_, Self::OnResponse) => Self::OnResponse,
            (Self::At(a), Self::At(b)) => Self::At(a.max(b)),
            (Self::Now, when) | (when, Self::Now) => when,
        }
    }

    /// The earlier of two.
    pub(crate) fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Now, _) | (_, Self::Now) => Self::Now,
            (Self::At(a), Self::At(b)) => Self::At(a.min(b)),
            (Self::OnResponse, when) | (when, Self::OnResponse) => when,
        }
    }
}

/// Units that cool down and become free together.
#[derive(Debug, Clone, Copy)]
struct Cooling {
    free_at: u64,
    units: u32,
}

/// How many units of a window are out, and when the answered ones come back.
///
/// A unit that is held (a permit not sent, a request in flight) has no time of return; an answered one is free at the
/// time given to [`release`](Self::release). The capacity is an argument, because it may be learned anew.
#[derive(Debug)]
pub(crate) struct Window {
    used: u64,
    cooling: VecDeque<Cooling>,
    grain: u64,
}

impl Window {
    /// A window of at most `capacity` units whose releases lie at most `reach` ns ahead.
    pub(crate) fn new(capacity: u32, reach: u64) -> Self {
        let exact = u64::from(capacity) <= ENTRIES;
        let grain = if exact { 1 } else { (reach / ENTRIES).max(1) };
        let entries = u64::from(capacity).min(ENTRIES) + 2;
        Self { used: 0, cooling: VecDeque::with_capacity(entries as usize), grain }
    }

    /// When `units` more may be taken.
    pub(crate) fn poll(&mut self, now: u64, units: u32, capacity: u32) -> When {
        self.expire(now);
        // A capacity that was learned to be smaller than one cost needs the whole window.
        let room = u64::from(capacity.saturating_sub(units.min(capacity)));
        if self.used <= room {
            return When::Now;
        }
        let mut left = self.used;
        for entry in &self.cooling {
            left -= u64::from(entry.units);
            if left <= room {
                return When::At(entry.free_at);
            }
        }
        When::OnResponse
    }

    /// Holds `units` until they are released or given back.
    pub(crate) fn take(&mut self, units: u32) {
        self.used += u64::from(units);
    }

    /// Gives held units back at once: nothing was sent.
    pub(crate) fn refund(&mut self, units: u32) {
        self.used = self.used.saturating_sub(u64::from(units));
    }

    /// Lets held units cool until `free_at`.
    pub(crate) fn release(&mut self, free_at: u64, units: u32) {
        let free_at = free_at.div_ceil(self.grain).saturating_mul(self.grain);
        // Nearly always the last: only a request that was never answered cools for longer than a later one.
        let mut at = self.cooling.len();
        while at > 0 && self.cooling[at - 1].free_at > free_at {
            at -= 1;
        }
        match at.checked_sub(1).and_then(|i| self.cooling.get_mut(i)) {
            Some(last) if last.free_at == free_at && last.units.checked_add(units).is_some() => {
                last.units += units
            }
            _ => self.cooling.insert(at, Cooling { free_at, units }),
        }
    }

    /// Units out at `now`.
    pub(crate) fn used(&mut self, now: u64) -> u64 {
        self.expire(now);
        self.used
    }

    /// Units that are held, so without a time of return.
    pub(crate) fn held(&self) -> u64 {
        self.used - self.cooling.iter().map(|c| u64::from(c.units)).sum::<u64>()
    }

    /// Times and units of the answered, soonest first.
    pub(crate) fn returns(&self) -> impl Iterator<Item = (u64, u32)> + '_ {
        self.cooling.iter().map(|c| (c.free_at, c.units))
    }

    fn expire(&mut self, now: u64) {
        while let Some(first) = self.cooling.front() {
            if first.free_at > now {
                break;
            }
            self.used -= u64::from(first.units);
            self.cooling.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_free_one_span_after_its_response() {
        let mut window = Window::new(2, 100);
        assert_eq!(window.poll(0, 1, 2), When::Now);
        window.take(1);
        window.take(1);
        assert_eq!(window.poll(5, 1, 2), When::OnResponse);
        window.release(110, 1);
        assert_eq!(window.poll(10, 1, 2), When::At(110));
        assert_eq!(window.poll(109, 1, 2), When::At(110));
        assert_eq!(window.poll(110, 1, 2), When::Now);
        assert_eq!(window.poll(110, 2, 2), When::OnResponse);
        window.refund(1);
        assert_eq!(window.poll(110, 2, 2), When::Now);
    }

    #[test]
    fn an_unanswered_request_does_not_hold_up_later_ones() {
        let mut window = Window::new(3, 100);
        window.take(3);
        window.release(900, 1);
        window.release(200, 1);
        window.release(300, 1);
        assert_eq!(window.poll(0, 1, 3), When::At(200));
        assert_eq!(window.poll(0, 3, 3), When::At(900));
        assert_eq!(window.used(250), 2);
    }

    #[test]
    fn a_large_window_is_kept_in_grains_that_err_to_the_safe_side() {
        let day = 86_400_000_000_000;
        let mut window = Window::new(1_000_000, day);
        for i in 0..1_000_000u64 {
            window.take(1);
            window.release(day + i * (day / 1_000_000), 1);
        }
        assert!(window.cooling.len() as u64 <= ENTRIES + 2, "{}", window.cooling.len());
        assert_eq!(window.used(day - 1), 1_000_000);
        let (first, _) = window.returns().next().unwrap();
        assert!(first >= day && first <= day + day / ENTRIES);
    }
}
