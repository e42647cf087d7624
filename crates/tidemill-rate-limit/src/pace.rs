//! Spacing of sends, by the generic cell rate algorithm (ITU-T I.371) on integer nanoseconds.

use crate::window::When;

/// The theoretical time of the next send; interval and tolerance are arguments, because they may be learned anew.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    next: u64,
}

impl Pace {
    /// A pace whose first send is due at `first`.
    #[inline]
    pub(crate) fn starting(first: u64) -> Self {
        Self { next: first }
    }

    /// When the next send may be, if it may come `tolerance` early after an earlier one came late.
    #[inline]
    pub(crate) fn poll(&self, now: u64, tolerance: u64) -> When {
        let earliest = self.next.saturating_sub(tolerance);
        if now >= earliest { When::NOW } else { When::at(earliest) }
    }

    /// Charges one send of `units`.
    #[inline]
    pub(crate) fn take(&mut self, now: u64, interval: u64, units: u32) {
        self.next = self.next.max(now).saturating_add(interval.saturating_mul(u64::from(units)));
    }

    /// Takes the charge back: nothing was sent.
    pub(crate) fn refund(&mut self, interval: u64, units: u32) {
        self.next = self.next.saturating_sub(interval.saturating_mul(u64::from(units)));
    }

    /// The request left only now, so the next one is not due before an interval from here.
    #[inline]
    pub(crate) fn sent(&mut self, now: u64, interval: u64, units: u32) {
        self.next = self.next.max(now.saturating_add(interval.saturating_mul(u64::from(units))));
    }

    /// When the next send is due if nothing comes early.
    pub(crate) fn due(&self) -> u64 {
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_send_is_made_up_for_within_the_tolerance_only() {
        let mut pace = Pace::starting(0);
        pace.take(0, 100, 1);
        assert_eq!(pace.poll(50, 10), When::at(90));
        assert_eq!(pace.poll(90, 10), When::NOW);
        pace.take(105, 100, 1);
        assert_eq!(pace.poll(105, 10), When::at(195), "a rest earns no burst");
        pace.refund(100, 1);
        assert_eq!(pace.poll(105, 10), When::NOW);
        pace.sent(300, 100, 1);
        assert_eq!(pace.due(), 400);
    }

    #[test]
    fn a_tolerance_of_whole_intervals_is_a_burst() {
        let mut pace = Pace::starting(0);
        for _ in 0..3 {
            assert_eq!(pace.poll(0, 200), When::NOW);
            pace.take(0, 100, 1);
        }
        assert_eq!(pace.poll(0, 200), When::at(100));
    }
}
