//! One API key: its quotas, its state, and the score by which the best of several free keys is chosen.

use std::ops::{Deref, DerefMut};
use std::slice;
use std::time::Duration;

use serde::Serialize;

use crate::quota::Quota;

/// A key by its place in the caller's list; places are never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct KeyIndex(pub(crate) usize);

impl KeyIndex {
    /// The key at `place` of the caller's list.
    pub const fn new(place: usize) -> Self {
        Self(place)
    }

    /// The place in the caller's list, counted from 0.
    pub fn get(self) -> usize {
        self.0
    }
}

/// What a key may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum KeyState {
    /// In use, subject to its quotas.
    #[default]
    Active,
    /// Held back after a refusal, a ban, or because its quota is drained.
    Parked,
    /// The server revoked it; it is not used again.
    Quarantined,
    /// Taken out by the caller.
    Removed,
}

/// A time that has not come.
pub(crate) const NEVER: u64 = u64::MAX;

/// What each request needs stands in the first two cache lines: with ten thousand keys most of a request's time is the wait
/// for its key.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Key {
    /// Not to be used before this time.
    pub(crate) hold: u64,
    /// [`NEVER`] before the first.
    pub(crate) last_sent: u64,
    pub(crate) sent: u64,
    pub(crate) answers: u64,
    pub(crate) health: Health,
    pub(crate) in_flight: u32,
    pub(crate) refused_in_row: u32,
    pub(crate) gone: Option<KeyState>,
    /// Whether the server has answered this key at all.
    pub(crate) known: bool,
    pub(crate) quotas: Quotas,
    pub(crate) refused: u64,
    pub(crate) unanswered: u64,
    pub(crate) id: u32,
}

/// The limits of a key. Nearly always there is one; it stands in the key itself.
#[derive(Debug)]
pub(crate) enum Quotas {
    One(Quota),
    Many(Vec<Quota>),
}

impl FromIterator<Quota> for Quotas {
    fn from_iter<I: IntoIterator<Item = Quota>>(quotas: I) -> Self {
        let mut all: Vec<_> = quotas.into_iter().collect();
        match (all.pop(), all.is_empty()) {
            (Some(only), true) => Self::One(only),
            (last, _) => {
                all.extend(last);
                Self::Many(all)
            }
        }
    }
}

impl Deref for Quotas {
    type Target = [Quota];

    #[inline]
    fn deref(&self) -> &[Quota] {
        match self {
            Self::One(quota) => slice::from_ref(quota),
            Self::Many(quotas) => quotas,
        }
    }
}

impl DerefMut for Quotas {
    #[inline]
    fn deref_mut(&mut self) -> &mut [Quota] {
        match self {
            Self::One(quota) => slice::from_mut(quota),
            Self::Many(quotas) => quotas,
        }
    }
}

impl Key {
    pub(crate) fn new(id: u32, quotas: Quotas) -> Self {
        Self {
            hold: 0,
            last_sent: NEVER,
            sent: 0,
            answers: 0,
            health: Health::default(),
            in_flight: 0,
            refused_in_row: 0,
            gone: None,
            known: false,
            quotas,
            refused: 0,
            unanswered: 0,
            id,
        }
    }

    /// How long the last send is ago; [`NEVER`] without one.
    #[inline]
    pub(crate) fn gap(&self, now: u64) -> u64 {
        if self.last_sent == NEVER { NEVER } else { now.saturating_sub(self.last_sent) }
    }

    /// An answer that was no refusal.
    #[inline]
    pub(crate) fn answered(&mut self, now: u64, sent_at: u64, status: u16) {
        self.in_flight -= 1;
        self.answers += 1;
        self.refused_in_row = 0;
        self.known = true;
        self.health.answered(now - sent_at, status < 500);
    }

    pub(crate) fn state(&self, now: u64) -> KeyState {
        match self.gone {
            Some(gone) => gone,
            None if self.hold > now => KeyState::Parked,
            None => KeyState::Active,
        }
    }
}

/// Latency and errors of a key, as they enter its score.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Health {
    /// Below zero before the first answer.
    latency_s: f64,
    errors: f64,
}

impl Default for Health {
    fn default() -> Self {
        Self { latency_s: -1.0, errors: 0.0 }
    }
}

impl Health {
    /// Weight of the newest latency in the moving average.
    const ALPHA: f64 = 0.1;

    #[inline]
    pub(crate) fn answered(&mut self, latency_ns: u64, success: bool) {
        let seconds = latency_ns.min(i64::MAX as u64) as i64 as f64 * 1e-9;
        self.latency_s = if self.latency_s < 0.0 {
            seconds
        } else {
            self.latency_s + Self::ALPHA * (seconds - self.latency_s)
        };
        if success { self.errors = (self.errors - 0.1).max(0.0) } else { self.failed() }
    }

    pub(crate) fn failed(&mut self) {
        self.errors += 1.0;
    }

    pub(crate) fn latency(&self) -> Duration {
        Duration::from_secs_f64(self.latency_s.max(0.0))
    }

    /// `usage + latency in seconds + 0.1 x errors`; lower is better.
    pub(crate) fn score(&self, usage: f64) -> f64 {
        usage + self.latency_s.max(0.0) + 0.1 * self.errors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where a key spills over into a third line, a request of one of ten thousand keys costs a third more.
    #[test]
    fn what_each_request_needs_is_two_cache_lines() {
        use std::mem::{align_of, offset_of};
        assert_eq!((size_of::<Key>(), align_of::<Key>()), (192, 64));
        assert_eq!(offset_of!(Key, quotas), 64);
        assert_eq!(size_of::<Quotas>(), size_of::<Quota>(), "which of the two it is takes no room");
    }

    #[test]
    fn the_score_adds_usage_latency_and_errors() {
        let mut health = Health::default();
        health.answered(1_000_000_000, true);
        health.answered(2_000_000_000, false);
        assert_eq!(health.latency(), Duration::from_millis(1100));
        assert!((health.score(0.5) - (0.5 + 1.1 + 0.1)).abs() < 1e-9);
        for _ in 0..10 {
            health.answered(1_100_000_000, true);
        }
        assert!((health.score(0.0) - 1.1).abs() < 1e-9, "errors decay by a tenth a success");
    }
}
