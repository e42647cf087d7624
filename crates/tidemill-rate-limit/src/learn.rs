//! What refusals teach about one limit: its true size, its spacing, and how many more refusals learning may cost.

use crate::adaptive::Adapting;
use crate::calendar::Calendar;
use crate::config::{Config, Limit, Model};
use crate::core::Plain;

/// Windows longer than this are not paced: a daily quota is not meant to be spread over the day.
const PACED_UP_TO: u64 = 600_000_000_000;

/// Clean answers after which the spacing is believed.
const SPACING_BELIEVED: u64 = 16;

/// By how much the day on which summer time ends is longer than others.
const LONGER_DAY: u64 = 3_600_000_000_000;

/// How sends are spread inside a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spacing {
    /// Not at all; the window alone holds.
    Free,
    /// By a pace on sends, which may come `tolerance` ns early.
    Paced { tolerance: Tolerance },
    /// By response-anchored slots: `slots` of them, each of `slots` intervals. Safe for any delay.
    Strict { slots: u32 },
}

/// How early a send may come after a late one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tolerance {
    /// An eighth of an interval: makes up for a timer's lateness, earns no burst.
    Eighth,
    /// So many whole intervals.
    Intervals(u32),
}

/// What the sends before a refusal say about its cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Evidence {
    /// The window was nearly full: the server counts differently or allows less.
    Count,
    /// The window had room, but the send before was close.
    Spacing,
    /// Neither: the key has a past we do not know.
    Past,
}

/// The state of one limit, shared by every key it holds for.
#[derive(Debug)]
pub(crate) struct Learner {
    per: u64,
    per_with_margin: u64,
    margin: u64,
    adapting: Option<Box<Adapting>>,
    calendar: Option<Box<Calendar>>,
    /// What the wall clock showed at the origin, in ns since 1970.
    wall: Option<i128>,
    /// Whether the server counts by fixed windows and has not been caught telling a wrong reset.
    trusts_resets: bool,
    resolution: u64,
    drift_ppm: u64,
    declared: u32,
    current: u32,
    spacing: Spacing,
    unknown: bool,
    born_empty: bool,
    refusals: u32,
    budget: u32,
    changed_at: u64,
    lessons: u64,
    clean: u64,
    proven: bool,
    reprobe: u64,
    reprobe_at: u64,
    raised: bool,
    interval: u64,
    tolerance: u64,
    spacing_cooling: u64,
    share: f64,
}

impl Learner {
    pub(crate) fn new(limit: &Limit, config: &Config) -> Self {
        let per = nanos(limit.per);
        let resolution = nanos(config.resolution);
        // Without a wall clock, and for how far back matters: the longest day, an hour longer than the rest.
        let longest = if limit.calendar.is_some() { per.saturating_add(LONGER_DAY) } else { per };
        let drift_ppm = u64::from(config.drift_ppm);
        let reprobe = nanos(config.reprobe);
        Self {
            per,
            per_with_margin: with_margin(longest, resolution, drift_ppm),
            margin: with_margin(per, resolution, drift_ppm) - per,
            adapting: limit.adaptive.as_ref().map(|rules| Box::new(Adapting::new(rules))),
            calendar: limit.calendar.clone().map(Box::new),
            wall: None,
            trusts_resets: limit.model == Model::Fixed,
            resolution,
            drift_ppm,
            declared: limit.requests,
            current: limit.adaptive.as_ref().map_or(limit.requests, |rules| rules.floor),
            spacing: first_spacing(limit, per, nanos(config.jitter)),
            unknown: limit.model == Model::Unknown,
            born_empty: limit.burst == Some(0),
            refusals: 0,
            budget: config.learning_refusals,
            changed_at: 0,
            lessons: 0,
            clean: 0,
            proven: false,
            reprobe,
            reprobe_at: reprobe,
            raised: false,
            interval: 0,
            tolerance: 0,
            spacing_cooling: 0,
            share: 0.0,
        }
        .derive()
    }

    /// How long after the start the first send is due: a bucket that is born empty holds nothing before.
    pub(crate) fn first_send(&self) -> u64 {
        if self.born_empty { self.interval + self.margin } else { 0 }
    }

    /// The size in force.
    #[inline]
    pub(crate) fn current(&self) -> u32 {
        self.current
    }

    /// The size in the configuration, or as last set.
    pub(crate) fn declared(&self) -> u32 {
        self.declared
    }

    /// The spacing in force.
    #[inline]
    pub(crate) fn spacing(&self) -> Spacing {
        self.spacing
    }

    /// Length of the window in ns, without margin.
    pub(crate) fn per(&self) -> u64 {
        self.per
    }

    /// For how long after its response a slot of the window cools.
    #[inline]
    pub(crate) fn cooling(&self) -> u64 {
        self.per_with_margin
    }

    /// When a unit that the server had counted by `counted_by` no longer counts; `told` is when the server says that
    /// its window ends.
    #[inline]
    pub(crate) fn free_at(&self, counted_by: u64, told: Option<u64>) -> u64 {
        let free_at = if self.calendar.is_some() {
            u64::try_from(self.free_after(i128::from(counted_by))).unwrap_or(u64::MAX)
        } else {
            counted_by.saturating_add(self.per_with_margin)
        };
        match told {
            Some(ends) if self.trusts_resets => free_at.min(ends.saturating_add(self.margin)),
            _ => free_at,
        }
    }

    /// As [`free_at`](Self::free_at) for a time that may lie before the origin.
    pub(crate) fn free_after(&self, counted_by: i128) -> i128 {
        match (&self.calendar, self.wall) {
            (Some(calendar), Some(wall)) => {
                calendar.free_at(wall + counted_by, (self.per / 1_000_000_000) as i64) - wall
            }
            _ => counted_by + i128::from(self.per_with_margin),
        }
    }

    /// The wall clock showed this at the origin, in ns since 1970.
    pub(crate) fn set_wall(&mut self, wall: i128) {
        self.wall = Some(wall);
    }

    /// The mean distance between two sends, in ns.
    #[inline]
    pub(crate) fn interval(&self) -> u64 {
        self.interval
    }

    /// For how long after its response a slot of the strict spacing cools.
    #[inline]
    pub(crate) fn spacing_cooling(&self) -> u64 {
        self.spacing_cooling
    }

    /// How early a paced send may come, in ns.
    #[inline]
    pub(crate) fn tolerance(&self) -> u64 {
        self.tolerance
    }

    /// What one unit is of the size in force.
    #[inline]
    pub(crate) fn share(&self) -> f64 {
        self.share
    }

    /// Whether the model was not declared.
    #[inline]
    pub(crate) fn unknown(&self) -> bool {
        self.unknown
    }

    /// Refusals seen.
    pub(crate) fn refusals(&self) -> u32 {
        self.refusals
    }

    /// Most requests that may be in flight now, as each of them might be refused; `None` where none is at risk.
    pub(crate) fn risk(&self, used: u64) -> Option<u32> {
        if !self.unknown || self.proven || (self.clean >= SPACING_BELIEVED && !self.nearly_full(used)) {
            return None;
        }
        Some(self.budget.saturating_sub(self.refusals).max(1))
    }

    /// Judges a refusal from the units out on its key and the distance to the send before.
    pub(crate) fn judge(&self, used: u64, gap: u64) -> Evidence {
        if self.nearly_full(used) && self.current > 1 {
            return Evidence::Count;
        }
        if self.per <= PACED_UP_TO && gap <= self.interval().saturating_mul(2) {
            return Evidence::Spacing;
        }
        Evidence::Past
    }

    /// Takes in a refusal of a request that was sent at `sent_at`; true when something was learned.
    pub(crate) fn refused(&mut self, now: u64, sent_at: u64, used: u64, evidence: Evidence) -> bool {
        self.refusals = self.refusals.saturating_add(1);
        self.trusts_resets = false;
        self.clean = 0;
        self.proven = false;
        // What was sent before the last lesson says nothing about it.
        if sent_at < self.changed_at || evidence == Evidence::Past {
            return false;
        }
        let spent = self.refusals >= self.budget;
        if evidence == Evidence::Spacing && !self.tighten() {
            // As strict as can be, and still refused: the server allows no more than it has let in.
            self.current = self.current.min(u32::try_from(used).unwrap_or(u32::MAX)).max(2);
        }
        if evidence == Evidence::Count || spent {
            self.current = self.current.saturating_sub(1).max(1);
        }
        // A count that is too high says nothing about the spacing.
        if spent && evidence == Evidence::Spacing && self.unknown && self.per <= PACED_UP_TO {
            self.spacing = Spacing::Strict { slots: 1 };
        }
        if self.raised {
            self.reprobe = self.reprobe.saturating_mul(2);
            self.raised = false;
        }
        self.changed_at = now;
        self.lessons += 1;
        self.rederive();
        self.reprobe_at = now.saturating_add(self.reprobe);
        true
    }

    /// Takes in how a request ended, for the adaptive strategy.
    #[inline]
    pub(crate) fn observe(&mut self, now: u64, success: bool, latency_ns: u64) {
        if let Some(adapting) = &mut self.adapting
            && let Some(size) = adapting.observe(now, success, latency_ns, self.current)
        {
            self.current = size;
            self.rederive();
        }
    }

    /// Whether answers have nothing to teach: the model is declared and its size in force.
    #[inline]
    pub(crate) fn settled(&self) -> bool {
        !self.unknown && self.current == self.declared
    }

    /// The limit as it is where there is nothing to pace, to learn or to look up.
    pub(crate) fn plain(&self, reserve: u32) -> Option<Plain> {
        let plain = self.settled()
            && self.spacing == Spacing::Free
            && self.calendar.is_none()
            && self.adapting.is_none();
        plain.then(|| Plain {
            capacity: self.current.saturating_sub(reserve).max(1),
            urgent: self.current,
            cooling: self.per_with_margin,
            interval: self.interval,
            share: self.share,
        })
    }

    /// How often something was learned.
    pub(crate) fn lessons(&self) -> u64 {
        self.lessons
    }

    /// When something was last learned.
    #[inline]
    pub(crate) fn changed_at(&self) -> u64 {
        self.changed_at
    }

    /// Takes in an answer that was no refusal; `key_clean` counts those of its key since the last lesson.
    #[inline]
    pub(crate) fn admitted(&mut self, now: u64, key_clean: u64) {
        self.clean += 1;
        if key_clean >= 2 * u64::from(self.current) {
            self.proven = true;
        }
        if self.current < self.declared && now >= self.reprobe_at && self.adapting.is_none() {
            self.current += 1;
            self.lessons += 1;
            self.rederive();
            self.raised = true;
            self.proven = false;
            self.reprobe_at = now.saturating_add(self.reprobe);
        }
    }

    /// The server named its limit; only a smaller one than declared is believed.
    pub(crate) fn told(&mut self, now: u64, limit: u32) -> bool {
        if limit == 0 || limit >= self.current {
            return false;
        }
        self.current = limit;
        self.changed_at = now;
        self.lessons += 1;
        self.rederive();
        true
    }

    /// A new size from the operator.
    pub(crate) fn declare(&mut self, requests: u32) {
        self.declared = requests;
        self.current = requests;
        self.rederive();
    }

    /// What an earlier process learned.
    pub(crate) fn restore(&mut self, requests: u32, strict: bool) {
        if requests >= 1 && requests <= self.declared {
            self.current = requests;
            // A spacing that the configuration makes strict is left as it is.
            if strict && !matches!(self.spacing, Spacing::Strict { .. }) {
                self.spacing = Spacing::Strict { slots: 1 };
            }
            self.rederive();
        }
    }

    /// Computes once what each check needs; called after every change.
    fn derive(mut self) -> Self {
        self.rederive();
        self
    }

    fn rederive(&mut self) {
        self.share = 1.0 / f64::from(self.current);
        self.interval = self.per.div_ceil(u64::from(self.current));
        self.tolerance = match self.spacing {
            Spacing::Paced { tolerance: Tolerance::Eighth } => self.interval / 8,
            Spacing::Paced { tolerance: Tolerance::Intervals(n) } => {
                self.interval.saturating_mul(u64::from(n))
            }
            _ => 0,
        };
        let slots = match self.spacing {
            Spacing::Strict { slots } => u64::from(slots),
            _ => 1,
        };
        self.spacing_cooling =
            with_margin(self.interval.saturating_mul(slots), self.resolution, self.drift_ppm);
    }

    fn nearly_full(&self, used: u64) -> bool {
        used.saturating_mul(10) >= u64::from(self.current).saturating_mul(9)
    }

    /// The next stricter spacing; false when there is none.
    fn tighten(&mut self) -> bool {
        self.spacing = match self.spacing {
            Spacing::Free => Spacing::Paced { tolerance: Tolerance::Eighth },
            Spacing::Paced { .. } => Spacing::Strict { slots: 1 },
            Spacing::Strict { slots } if slots > 1 => Spacing::Strict { slots: 1 },
            Spacing::Strict { .. } => return false,
        };
        true
    }
}

/// Pacing is safe on a leaky server only while the burst it allows beyond ours covers the jitter on the way.
fn first_spacing(limit: &Limit, per: u64, jitter: u64) -> Spacing {
    let interval = per.div_ceil(u64::from(limit.requests));
    if let Some(adaptive) = &limit.adaptive {
        return Spacing::Paced { tolerance: Tolerance::Intervals(adaptive.burst) };
    }
    match (limit.model, limit.burst) {
        // Never ahead of the refill, which begins at the start: see `first_send`.
        (_, Some(0)) => Spacing::Paced { tolerance: Tolerance::Intervals(0) },
        (Model::Leaky, burst) | (Model::Bucket, burst @ Some(_)) => {
            let burst = burst.unwrap_or(1).min(limit.requests);
            match burst.checked_sub(2).filter(|spare| u64::from(*spare).saturating_mul(interval) >= jitter) {
                Some(_) => Spacing::Paced { tolerance: Tolerance::Intervals(1) },
                None => Spacing::Strict { slots: burst },
            }
        }
        (_, Some(burst)) => Spacing::Paced { tolerance: Tolerance::Intervals(burst - 1) },
        (Model::Unknown, None) if per <= PACED_UP_TO => Spacing::Paced { tolerance: Tolerance::Eighth },
        _ => Spacing::Free,
    }
}

fn with_margin(span: u64, resolution: u64, drift_ppm: u64) -> u64 {
    let drift = u128::from(span) * u128::from(drift_ppm) / 1_000_000;
    span.saturating_add(resolution).saturating_add(drift as u64)
}

/// Nanoseconds of a duration, at most 584 years.
#[inline]
pub(crate) fn nanos(value: std::time::Duration) -> u64 {
    match value.as_secs().checked_mul(1_000_000_000) {
        Some(whole) => whole.saturating_add(u64::from(value.subsec_nanos())),
        None => u64::MAX,
    }
}
