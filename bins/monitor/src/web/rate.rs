//! Totals become rates per second; a restarted process does not make a rate negative.

/// The last total of one counter.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rate {
    last: Option<(i64, f64)>,
}

impl Rate {
    /// The rate since the total before: `None` for the first, and for one of the same millisecond or earlier.
    pub(super) fn next(&mut self, at_ms: i64, total: f64) -> Option<f64> {
        let before = self.last;
        if before.is_some_and(|(last_ms, _)| at_ms <= last_ms) {
            return None;
        }
        self.last = Some((at_ms, total));
        let (last_ms, last) = before?;
        // Lower than before: the process began anew, and what it counts is what it counted since.
        let grown = if total >= last { total - last } else { total };
        Some(grown * 1000.0 / (at_ms - last_ms) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_needs_two_totals_and_survives_a_restart() {
        let mut rate = Rate::default();
        assert_eq!(rate.next(1000, 10.0), None);
        assert_eq!(rate.next(3000, 30.0), Some(10.0));
        assert_eq!(rate.next(3000, 50.0), None, "the same moment");
        assert_eq!(rate.next(4000, 4.0), Some(4.0), "began anew");
    }
}
