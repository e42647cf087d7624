//! How long a value may be served: when it was written, how long it lives, and what its age means now.

use std::time::Duration;

use crate::rounded::Rounded;
use crate::sync::{AtomicU32, Ordering};

/// When a value was written and how long it lives, in one word.
///
/// 40 bits of milliseconds since the cache's origin (34 years), one bit that says whether the lifetime is the value's own,
/// 23 for the lifetime in milliseconds, rounded down by less than one part in 100 000.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp(u64);

type Life = Rounded<23>;

const OWN: u64 = 1 << 23;
/// The code of the longest lifetime, 18 million years, stands for no end.
const NEVER: u64 = Life::down(Life::MAX);

impl Stamp {
    /// Written at `written`, to live for `life`; `None` is for ever. `own` keeps the lifetime out of
    /// [`scale_ttl`](crate::Memory::scale_ttl).
    #[must_use]
    pub fn new(written: Duration, life: Option<Duration>, own: bool) -> Self {
        Self::from_ms(millis(written), life, own)
    }

    pub(crate) fn from_ms(written_ms: u64, life: Option<Duration>, own: bool) -> Self {
        let life = life.map_or(NEVER, |life| Life::down(millis(life)));
        Self(written_ms.min((1 << 40) - 1) << 24 | if own { OWN } else { 0 } | life)
    }

    /// Milliseconds since the origin at which the value was written.
    #[must_use]
    pub fn written_ms(self) -> u64 {
        self.0 >> 24
    }

    /// The lifetime in milliseconds under `scale`, `None` for ever.
    #[inline]
    #[must_use]
    pub fn life_ms(self, scale: Scale) -> Option<u64> {
        if !self.ages() {
            return None;
        }
        let life = Life::value(self.0 & Life::MASK);
        Some(if self.is_own() { life } else { scale.apply(life) })
    }

    /// Whether it ever ends.
    #[inline]
    pub(crate) fn ages(self) -> bool {
        self.0 & Life::MASK != NEVER
    }

    pub(crate) fn is_own(self) -> bool {
        self.0 & OWN != 0
    }

    /// What the value is at `now_ms`: fresh within its life, stale for `keep_ms` after it, then dead.
    #[inline]
    #[must_use]
    pub fn freshness(self, now_ms: u64, scale: Scale, keep_ms: u64) -> Freshness {
        let Some(life) = self.life_ms(scale) else { return Freshness::Fresh };
        // A clock that went backwards makes nothing older.
        let age = now_ms.saturating_sub(self.written_ms());
        if age < life {
            Freshness::Fresh
        } else if age - life < keep_ms {
            Freshness::Stale { for_ms: age - life }
        } else {
            Freshness::Dead
        }
    }
}

/// A duration in whole milliseconds, at most `u64::MAX`.
pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// What an age means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Within its lifetime.
    Fresh,
    /// Past it, and still kept: to be served while it is loaded anew, or when that fails.
    Stale {
        /// Milliseconds since the end of its lifetime.
        for_ms: u64,
    },
    /// To be served no more.
    Dead,
}

/// The factor on all lifetimes that are not a value's own; 1/65536 is its smallest step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale(u32);

impl Scale {
    /// Lifetimes as they were given.
    pub const ONE: Self = Self(1 << 16);

    /// Clamped to 1/65536 ..= 65535.
    #[must_use]
    pub fn new(factor: f64) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped to the range of u32"
        )]
        Self((factor * 65536.0).clamp(1.0, f64::from(u32::MAX)) as u32)
    }

    /// As a factor.
    #[must_use]
    pub fn factor(self) -> f64 {
        f64::from(self.0) / 65536.0
    }

    #[inline]
    fn apply(self, ms: u64) -> u64 {
        // A lifetime has at most 48 bits, so the product fits when the scale has 16; beyond, it saturates.
        match ms.checked_mul(u64::from(self.0)) {
            Some(product) => product >> 16,
            None => (ms >> 16).saturating_mul(u64::from(self.0)),
        }
    }
}

/// The scale that all readers share: changing every lifetime is one store.
#[derive(Debug)]
pub(crate) struct SharedScale(AtomicU32);

impl SharedScale {
    pub(crate) fn one() -> Self {
        Self(AtomicU32::new(Scale::ONE.0))
    }

    #[inline]
    pub(crate) fn get(&self) -> Scale {
        Scale(self.0.load(Ordering::Relaxed))
    }

    pub(crate) fn set(&self, scale: Scale) {
        self.0.store(scale.0, Ordering::Relaxed);
    }

    /// Multiplies, whoever else does so at the same time.
    pub(crate) fn multiply(&self, factor: f64) -> Scale {
        let mut seen = self.0.load(Ordering::Relaxed);
        loop {
            let next = Scale::new(Scale(seen).factor() * factor);
            match self.0.compare_exchange_weak(seen, next.0, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return next,
                Err(other) => seen = other,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The longest lifetime that is not for ever.
    const LONGEST_MS: u64 = Life::MAX / 2;

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_value_is_fresh_then_stale_then_dead() {
        let stamp = Stamp::new(at(1000), Some(at(60_000)), false);
        let is = |now| stamp.freshness(now, Scale::ONE, 500);
        assert_eq!(is(0), Freshness::Fresh, "a clock that stepped back");
        assert_eq!(is(60_999), Freshness::Fresh);
        assert_eq!(is(61_000), Freshness::Stale { for_ms: 0 });
        assert_eq!(is(61_499), Freshness::Stale { for_ms: 499 });
        assert_eq!(is(61_500), Freshness::Dead);
    }

    #[test]
    fn the_scale_spares_lifetimes_of_their_own() {
        let [shared, own] = [false, true].map(|own| Stamp::new(at(0), Some(at(1000)), own));
        let scale = Scale::new(1.5);
        assert_eq!(shared.life_ms(scale), Some(1500));
        assert_eq!(own.life_ms(scale), Some(1000));
        assert_eq!(Stamp::new(at(0), None, false).life_ms(scale), None);
    }

    #[test]
    fn for_ever_is_the_longest() {
        assert_eq!(Stamp::new(at(0), Some(Duration::MAX), true).life_ms(Scale::ONE), None);
        assert_eq!(Stamp::new(at(0), Some(at(1 << 40)), true).life_ms(Scale::ONE), Some(1 << 40));
        let stamp = Stamp::new(Duration::MAX, Some(Duration::ZERO), true);
        assert_eq!(stamp.life_ms(Scale::ONE), Some(0));
        let long = Stamp::new(at(0), Some(at(LONGEST_MS)), false);
        assert!(long.life_ms(Scale::new(1e9)).is_some_and(|ms| ms > LONGEST_MS), "no overflow");
    }

    #[test]
    fn a_scale_is_multiplied_and_clamped() {
        let shared = SharedScale::one();
        shared.multiply(1.5);
        assert_eq!(shared.multiply(2.0).factor(), 3.0);
        assert_eq!(shared.multiply(0.0).factor(), 1.0 / 65536.0);
        assert_eq!(Scale::new(f64::NAN).factor(), 0.0);
    }

    proptest! {
        /// A lifetime never comes out longer than it went in, nor shorter by more than one part in 100 000.
        #[test]
        fn lifetimes_are_rounded_down_by_little(ms in 0..=LONGEST_MS, shift in 0_u32..48) {
            let ms = ms >> shift;
            let stamp = Stamp::new(Duration::ZERO, Some(at(ms)), false);
            let Some(life) = stamp.life_ms(Scale::ONE) else { panic!("not for ever") };
            prop_assert!(life <= ms && ms - life <= ms / 100_000, "{ms} became {life}");
        }

        #[test]
        fn a_written_time_is_kept(ms in 0_u64..1 << 40, life in proptest::option::of(0_u64..1 << 40)) {
            prop_assert_eq!(Stamp::new(at(ms), life.map(at), true).written_ms(), ms);
        }
    }
}
