//! The rate over the last minute, from at most 60 samples a second apart.

use std::collections::VecDeque;
use std::time::Duration;

/// How far back the rate looks.
const WINDOW: Duration = Duration::from_secs(60);
/// No two samples closer than this.
const APART: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(super) struct Rate {
    samples: VecDeque<(Duration, u64)>,
    last: (Duration, u64),
}

impl Rate {
    pub(super) fn record(&mut self, at: Duration, done: u64) {
        self.last = (at, done);
        if self.samples.back().is_none_or(|(before, _)| at >= *before + APART) {
            self.samples.push_back((at, done));
        }
        // One sample at or beyond the edge stays: the window is covered whole.
        while self.samples.get(1).is_some_and(|(next, _)| at.saturating_sub(*next) >= WINDOW) {
            self.samples.pop_front();
        }
    }

    /// Pieces a minute; nothing before the first second has passed.
    pub(super) fn per_minute(&self) -> Option<f64> {
        let (from, before) = self.samples.front()?;
        let (to, done) = self.last;
        let span = to.saturating_sub(*from);
        (span >= APART).then(|| done.saturating_sub(*before) as f64 * 60.0 / span.as_secs_f64())
    }
}

/// Pieces a minute over the whole time.
pub(super) fn overall(elapsed: Duration, done: u64) -> Option<f64> {
    (!elapsed.is_zero()).then(|| done as f64 * 60.0 / elapsed.as_secs_f64())
}
