//! The clock that times are stored by, as an argument.

use std::fmt;
use std::sync::Arc;

use crate::timestamp::Timestamp;

/// A wall clock, as a function from nothing to a [`Timestamp`].
///
/// It decides when a delayed task is due and when a lease has ended. Set forward, leases end early and their tasks run
/// again, and the late acks are refused; set back, a lease that would end beyond a whole lease from now is cut to that.
/// PostgreSQL stores use the server's clock instead.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// The machine's wall clock.
    pub fn system() -> Self {
        Self::from_fn(Timestamp::now)
    }

    /// The clock of the tokio runtime, from `origin` on: for tests with a paused clock.
    pub fn tokio(origin: Timestamp) -> Self {
        let begun = tokio::time::Instant::now();
        Self::from_fn(move || origin.after(begun.elapsed()))
    }

    /// Any other clock: a simulator's.
    pub fn from_fn(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The time by this clock.
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::system()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Clock").field(&self.now()).finish()
    }
}
