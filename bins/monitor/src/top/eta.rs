//! When something that fills up is full: by the pace of what was seen.

use std::collections::VecDeque;

/// Readings of one thing that goes from 0 to a total.
#[derive(Clone, Debug, Default)]
pub struct Eta {
    seen: VecDeque<(i64, f64)>,
    total: f64,
}

/// The pace is that of the last so many readings.
const KEPT: usize = 30;

impl Eta {
    /// Takes a reading. One that is lower than the last begins anew.
    pub fn take(&mut self, at_ms: i64, done: f64, total: f64) {
        let anew = self.seen.back().is_some_and(|(_, last)| done < *last) || total != self.total;
        if anew {
            self.seen.clear();
        }
        self.total = total;
        self.seen.push_back((at_ms, done));
        if self.seen.len() > KEPT {
            self.seen.pop_front();
        }
    }

    /// Done of the total, 0 to 1.
    #[must_use]
    pub fn share(&self) -> f64 {
        let done = self.seen.back().map_or(0.0, |(_, done)| *done);
        if self.total > 0.0 { (done / self.total).clamp(0.0, 1.0) } else { 0.0 }
    }

    /// Seconds that are left; `None` while nothing moves.
    #[must_use]
    pub fn left_s(&self) -> Option<f64> {
        let ((from_ms, from), (to_ms, to)) = (*self.seen.front()?, *self.seen.back()?);
        let pace = (to - from) / (to_ms - from_ms) as f64;
        let left = (self.total - to).max(0.0);
        if left == 0.0 {
            return Some(0.0);
        }
        (pace > 0.0).then(|| left / pace / 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_told_by_the_pace() {
        let mut eta = Eta::default();
        assert_eq!(eta.left_s(), None);
        eta.take(0, 100.0, 400.0);
        assert_eq!((eta.left_s(), eta.share()), (None, 0.25));
        eta.take(10_000, 200.0, 400.0);
        assert_eq!(eta.left_s(), Some(20.0));
        eta.take(20_000, 200.0, 400.0);
        assert_eq!(eta.left_s(), Some(40.0), "half the pace");
        eta.take(30_000, 10.0, 400.0);
        assert_eq!(eta.left_s(), None, "begun anew");
        eta.take(40_000, 400.0, 400.0);
        assert_eq!(eta.left_s(), Some(0.0));
    }
}
