//! Where a cache takes the time from: the kernel's coarse clock, tokio's, or a test's own.

use std::sync::Arc;
use std::time::Duration;

use crate::sync::{AtomicU64, Ordering};

/// Milliseconds since an origin of its own. A clone shows the same time.
#[derive(Clone, Debug)]
pub struct Clock(Kind);

#[derive(Clone, Debug)]
enum Kind {
    System { origin_ms: u64 },
    Tokio { origin: tokio::time::Instant },
    Manual(Arc<AtomicU64>),
}

impl Clock {
    /// The machine's monotonic clock; on Linux its coarse form, which steps by 1-10 ms and costs a few nanoseconds.
    #[must_use]
    pub fn system() -> Self {
        Self(Kind::System { origin_ms: machine_ms() })
    }

    /// tokio's clock, which a test may pause.
    #[must_use]
    pub fn tokio() -> Self {
        Self(Kind::Tokio { origin: tokio::time::Instant::now() })
    }

    /// A clock that stands at zero until [`ManualClock::advance`] moves it.
    #[must_use]
    pub fn manual() -> (Self, ManualClock) {
        let ms = Arc::new(AtomicU64::new(0));
        (Self(Kind::Manual(Arc::clone(&ms))), ManualClock(ms))
    }

    /// Time since the origin.
    #[must_use]
    pub fn now(&self) -> Duration {
        Duration::from_millis(self.now_ms())
    }

    #[inline]
    pub(crate) fn now_ms(&self) -> u64 {
        match &self.0 {
            Kind::System { origin_ms } => machine_ms().saturating_sub(*origin_ms),
            Kind::Tokio { origin } => crate::lifetime::millis(origin.elapsed()),
            Kind::Manual(ms) => ms.load(Ordering::Relaxed),
        }
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::system()
    }
}

/// Moves the time of [`Clock::manual`].
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<AtomicU64>);

impl ManualClock {
    /// Forward by `by`, in whole milliseconds.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(crate::lifetime::millis(by), Ordering::Relaxed);
    }
}

#[cfg(target_os = "linux")]
#[inline]
fn machine_ms() -> u64 {
    use rustix::time::{ClockId, clock_gettime};
    let time = clock_gettime(ClockId::MonotonicCoarse);
    let (seconds, nanos) = (u64::try_from(time.tv_sec), u64::try_from(time.tv_nsec));
    seconds.unwrap_or(0) * 1000 + nanos.unwrap_or(0) / 1_000_000
}

#[cfg(not(target_os = "linux"))]
fn machine_ms() -> u64 {
    use std::sync::OnceLock;
    use std::time::Instant;
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    crate::lifetime::millis(ORIGIN.get_or_init(Instant::now).elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_when_it_is_told_to() {
        let (clock, hand) = Clock::manual();
        assert_eq!(clock.now(), Duration::ZERO);
        hand.advance(Duration::from_millis(7));
        assert_eq!(clock.clone().now(), Duration::from_millis(7));
    }

    #[tokio::test(start_paused = true)]
    async fn tokios_clock_is_the_paused_one() {
        let clock = Clock::tokio();
        tokio::time::sleep(Duration::from_secs(3600)).await;
        assert_eq!(clock.now(), Duration::from_secs(3600));
    }

    #[test]
    fn the_machines_clock_does_not_step_back() {
        let clock = Clock::system();
        let seen: Vec<Duration> = (0..1000).map(|_| clock.now()).collect();
        assert!(seen.is_sorted());
    }
}
