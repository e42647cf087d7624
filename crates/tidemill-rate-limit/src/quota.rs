//! One limit as it stands for one key, or for all keys together: its window, its pace and its strict slots.

use crate::core::Plain;
use crate::learn::{Learner, Spacing};
use crate::pace::Pace;
use crate::window::{When, Window};

/// When the server says that the present window of a limit ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Told {
    pub(crate) rule: usize,
    pub(crate) ends: u64,
}

/// The state of one limit in one scope. What a plain limit needs comes first and fits a cache line.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Quota {
    window: Window,
    pace: Pace,
    /// Kept only while the spacing is strict.
    strict: Option<Box<Window>>,
    clean: u64,
    clean_since: u64,
    /// Which limit of the configuration this is.
    pub(crate) rule: usize,
}

impl Quota {
    /// A fresh quota; a paced one begins at `first`.
    pub(crate) fn new(rule: usize, learner: &Learner, first: u64) -> Self {
        let window = Window::new(learner.declared(), learner.cooling());
        let pace = Pace::starting(first);
        let mut quota = Self { window, pace, strict: None, clean: 0, clean_since: 0, rule };
        quota.respaced(learner);
        quota
    }

    /// The spacing may have changed: what is out is carried over. Called after every lesson.
    pub(crate) fn respaced(&mut self, learner: &Learner) {
        if self.strict.is_some() {
            return;
        }
        if let Spacing::Strict { slots } = learner.spacing() {
            let span = learner.spacing_cooling();
            let mut strict = Window::new(slots, span);
            strict.take(u32::try_from(self.window.held()).unwrap_or(u32::MAX));
            for (free_at, units) in self.window.returns() {
                strict.take(units);
                strict.release(free_at.saturating_sub(learner.cooling()).saturating_add(span), units);
            }
            self.strict = Some(Box::new(strict));
        }
    }

    /// The limit has another size now.
    pub(crate) fn resized(&mut self, learner: &Learner) {
        self.window = self.window.resized(learner.declared(), learner.cooling());
    }

    /// When `units` more may be sent, if `reserve` units are not for this caller.
    #[inline]
    pub(crate) fn poll(&mut self, now: u64, units: u32, reserve: u32, learner: &Learner) -> When {
        let capacity = learner.current().saturating_sub(reserve).max(1);
        let window = self.window.poll(now, units, capacity);
        match learner.spacing() {
            Spacing::Free => window,
            Spacing::Paced { .. } => window.max(self.pace.poll(now, learner.tolerance())),
            Spacing::Strict { slots } => match &mut self.strict {
                Some(strict) => window.max(strict.poll(now, units, slots)),
                None => window,
            },
        }
    }

    /// [`take`](Self::take) where the window alone holds.
    #[inline]
    pub(crate) fn take_plainly(&mut self, now: u64, units: u32, plain: &Plain) {
        self.window.take(units);
        self.pace = Pace::starting(now);
        self.pace.take(now, plain.interval, units);
    }

    /// [`cool`](Self::cool) where the window alone holds.
    #[inline]
    pub(crate) fn cool_plainly(&mut self, counted_by: u64, units: u32, plain: &Plain) {
        self.window.release(counted_by.saturating_add(plain.cooling), units);
    }

    /// Reserves `units` for a permit.
    #[inline]
    pub(crate) fn take(&mut self, now: u64, units: u32, learner: &Learner) {
        self.window.take(units);
        if let Some(strict) = &mut self.strict {
            strict.take(units);
        }
        if learner.spacing() == Spacing::Free {
            // Only the last send counts, in case that a refusal makes us pace.
            self.pace = Pace::starting(now);
        }
        self.pace.take(now, learner.interval(), units);
    }

    /// Gives the units of an unsent permit back.
    pub(crate) fn refund(&mut self, units: u32, learner: &Learner) {
        self.window.refund(units);
        if let Some(strict) = &mut self.strict {
            strict.refund(units);
        }
        self.pace.refund(learner.interval(), units);
    }

    /// The permit was sent only now.
    #[inline]
    pub(crate) fn sent(&mut self, now: u64, units: u32, learner: &Learner) {
        self.pace.sent(now, learner.interval(), units);
    }

    /// The server had counted the request by `counted_by`, so its slots cool from there.
    #[inline]
    pub(crate) fn cool(&mut self, counted_by: u64, units: u32, told: Option<Told>, learner: &Learner) {
        let told = told.filter(|told| told.rule == self.rule).map(|told| told.ends);
        self.window.release(learner.free_at(counted_by, told), units);
        if let (Some(strict), Spacing::Strict { slots }) = (&mut self.strict, learner.spacing()) {
            // Heavy requests occupy as many intervals as they cost.
            let spacing = learner.spacing_cooling().saturating_mul(u64::from(units.div_ceil(slots)));
            strict.release(counted_by.saturating_add(spacing), units);
        }
    }

    /// The server has counted `count` units in this window, of which a request of `sent_at` was the last. What is more than
    /// all of ours that it may have counted is others' and cools from now.
    pub(crate) fn raise(
        &mut self,
        now: u64,
        sent_at: u64,
        count: u64,
        told: Option<Told>,
        learner: &Learner,
    ) {
        let ours = self.window.used(now) + self.window.freed_since(sent_at);
        let others = count.min(u64::from(learner.current())).saturating_sub(ours);
        if let Some(units) = u32::try_from(others).ok().filter(|units| *units > 0) {
            let told = told.filter(|told| told.rule == self.rule).map(|told| told.ends);
            self.window.take(units);
            self.window.release(learner.free_at(now, told), units);
        }
    }

    /// Takes in a send of an earlier process, counted by `counted_by` at the latest; `now` is the start.
    pub(crate) fn restore(&mut self, counted_by: i128, units: u32, learner: &Learner) {
        let ahead = |at: i128| u64::try_from(at).ok().filter(|at| *at > 0);
        if let Some(at) = ahead(learner.free_after(counted_by)) {
            self.window.take(units);
            self.window.release(at, units);
        }
        if let Some(at) = ahead(counted_by + i128::from(learner.spacing_cooling())) {
            if let Some(strict) = &mut self.strict {
                strict.take(units);
                strict.release(at, units);
            }
            self.pace = Pace::starting(self.pace.due().max(at));
        }
    }

    /// Units out at `now`.
    #[inline]
    pub(crate) fn used(&mut self, now: u64) -> u64 {
        self.window.used(now)
    }

    /// Counts an answer without refusal to a request of `sent_at`; what was sent before the last lesson is no news.
    #[inline]
    pub(crate) fn admitted(&mut self, now: u64, sent_at: u64, learner: &mut Learner) {
        let lesson = learner.changed_at();
        if learner.settled() || sent_at < lesson {
            return;
        }
        if self.clean_since != lesson {
            (self.clean_since, self.clean) = (lesson, 0);
        }
        self.clean += 1;
        learner.admitted(now, self.clean);
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
