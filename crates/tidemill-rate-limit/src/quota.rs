//! One limit as it stands for one key, or for all keys together: its window, its pace and its strict slots.

use crate::learn::{Learner, Spacing};
use crate::pace::Pace;
use crate::window::{When, Window};

/// The state of one limit in one scope.
#[derive(Debug)]
pub(crate) struct Quota {
    /// Which limit of the configuration this is.
    pub(crate) rule: usize,
    window: Window,
    strict: Window,
    pace: Pace,
    clean: u64,
    clean_since: u64,
}

impl Quota {
    /// A fresh quota; a paced one begins at `first`.
    pub(crate) fn new(rule: usize, learner: &Learner, reach: u64, first: u64) -> Self {
        Self {
            rule,
            window: Window::new(learner.declared(), learner.cooling().saturating_add(reach)),
            strict: Window::new(strict_slots(learner), learner.spacing_cooling().saturating_add(reach)),
            pace: Pace::starting(first),
            clean: 0,
            clean_since: 0,
        }
    }

    /// When `units` more may be sent, if `reserve` units are not for this caller.
    pub(crate) fn poll(&mut self, now: u64, units: u32, reserve: u32, learner: &Learner) -> When {
        let capacity = learner.current().saturating_sub(reserve).max(1);
        let window = self.window.poll(now, units, capacity);
        match learner.spacing() {
            Spacing::Free => window,
            Spacing::Paced { .. } => window.and(self.pace.poll(now, learner.tolerance())),
            Spacing::Strict { slots } => window.and(self.strict.poll(now, units, slots)),
        }
    }

    /// Reserves `units` for a permit.
    pub(crate) fn take(&mut self, now: u64, units: u32, learner: &Learner) {
        self.window.take(units);
        self.strict.take(units);
        if learner.spacing() == Spacing::Free {
            // Only the last send counts, in case that a refusal makes us pace.
            self.pace = Pace::starting(now);
        }
        self.pace.take(now, learner.interval(), units);
    }

    /// Gives the units of an unsent permit back.
    pub(crate) fn refund(&mut self, units: u32, learner: &Learner) {
        self.window.refund(units);
        self.strict.refund(units);
        self.pace.refund(learner.interval(), units);
    }

    /// The permit was sent only now.
    pub(crate) fn sent(&mut self, now: u64, units: u32, learner: &Learner) {
        self.pace.sent(now, learner.interval(), units);
    }

    /// The server had counted the request by `counted_by`, so its slots cool from there.
    pub(crate) fn cool(&mut self, counted_by: u64, units: u32, learner: &Learner) {
        self.window.release(counted_by.saturating_add(learner.cooling()), units);
        // Heavy requests occupy as many intervals as they cost.
        let spacing = learner.spacing_cooling().saturating_mul(match learner.spacing() {
            Spacing::Strict { slots } => u64::from(units.div_ceil(slots)),
            _ => 1,
        });
        self.strict.release(counted_by.saturating_add(spacing), units);
    }

    /// Takes in a send of an earlier process, counted by `counted_by` at the latest; `now` is the start.
    pub(crate) fn restore(&mut self, counted_by: i128, units: u32, learner: &Learner) {
        let ahead = |span: u64| u64::try_from(counted_by + i128::from(span)).ok().filter(|at| *at > 0);
        if let Some(at) = ahead(learner.cooling()) {
            self.window.take(units);
            self.window.release(at, units);
        }
        if let Some(at) = ahead(learner.spacing_cooling()) {
            self.strict.take(units);
            self.strict.release(at, units);
            self.pace = Pace::starting(self.pace.due().max(at));
        }
    }

    /// Units out at `now`.
    pub(crate) fn used(&mut self, now: u64) -> u64 {
        self.window.used(now)
    }

    /// Counts an answer without refusal; the count since the last lesson.
    pub(crate) fn admitted(&mut self, lesson: u64) -> u64 {
        if self.clean_since != lesson {
            (self.clean_since, self.clean) = (lesson, 0);
        }
        self.clean += 1;
        self.clean
    }

    /// How many units could be sent by `until`, when each later use of a slot takes `round_trip` more.
    pub(crate) fn forecast(&mut self, now: u64, until: u64, round_trip: u64, learner: &Learner) -> u64 {
        let used = self.window.used(now);
        let span = until.saturating_sub(now);
        let cycle = learner.cooling().saturating_add(round_trip).max(1);
        let capacity = u64::from(learner.current());
        let free = capacity.saturating_sub(used);
        // A held unit comes back one cycle from now at the latest.
        let mut sends = free * (1 + span / cycle) + self.window.held().min(capacity) * (span / cycle);
        // When more is out than may be, the first to return are not for use.
        let surplus = used.saturating_sub(capacity);
        let mut skipped = 0;
        for (at, units) in self.window.returns() {
            let units = u64::from(units);
            let skip = units.min(surplus - skipped);
            skipped += skip;
            if at <= until {
                sends += (units - skip) * (1 + (until - at) / cycle);
            }
        }
        match learner.spacing() {
            Spacing::Free => sends,
            Spacing::Paced { .. } => {
                let due = self.pace.due().max(now);
                sends.min(if until < due { 0 } else { 1 + (until - due) / learner.interval() })
            }
            Spacing::Strict { slots } => {
                let cycle = learner.spacing_cooling().saturating_add(round_trip).max(1);
                sends.min(u64::from(slots) * (1 + span / cycle))
            }
        }
    }
}

fn strict_slots(learner: &Learner) -> u32 {
    match learner.spacing() {
        Spacing::Strict { slots } => slots,
        _ => 1,
    }
}
