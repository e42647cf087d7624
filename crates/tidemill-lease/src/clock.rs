//! The owner's own clock: one that also runs while the process or the machine sleeps.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A monotonic clock, as a function from nothing to the time since an origin of its own.
///
/// An owner measures its term by it, so it must go on while the process is stopped and while the machine is
/// suspended: `CLOCK_BOOTTIME`, not `std::time::Instant` (which on Linux stands still in a suspended machine).
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Duration + Send + Sync>);

impl Clock {
    /// Time since the machine booted, suspended time included.
    pub fn boottime() -> Self {
        Self::from_fn(boottime)
    }

    /// The clock of the tokio runtime, from now on: for tests with a paused clock. It must not be used for leases that
    /// protect something, as it stands still while the machine is suspended.
    pub fn tokio() -> Self {
        let origin = tokio::time::Instant::now();
        Self::from_fn(move || origin.elapsed())
    }

    /// Any other clock: a simulator's.
    pub fn from_fn(now: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The time by this clock.
    pub fn now(&self) -> Duration {
        (self.0)()
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::boottime()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Clock").field(&self.now()).finish()
    }
}

fn boottime() -> Duration {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let id = rustix::time::ClockId::Boottime;
    // The monotonic clock of macOS includes sleep.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let id = rustix::time::ClockId::Monotonic;
    let now = rustix::time::clock_gettime(id);
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs().min(999_999_999) as u32)
}
