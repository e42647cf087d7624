//! How a server counts: quota models without a clock, each one asked "may this pass now?".

mod bucket;
mod log;
mod window;

use std::fmt;
use std::time::Duration;

pub use bucket::{Leaky, TokenBucket};
pub use log::{PenalisingLog, SlidingLog};
pub use window::{Daily, FixedWindow, SlidingCounter};

/// What a quota says to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may pass.
    Admitted {
        /// How many requests of cost 1 could still follow at the same instant.
        remaining: u32,
    },
    /// It may not.
    Refused {
        /// The shortest wait after which the same request would pass if nothing else came in between;
        /// [`Duration::MAX`] when it never can, because it costs more than the quota holds.
        retry_after: Duration,
    },
}

impl Verdict {
    /// Whether the request passed.
    pub fn is_admitted(&self) -> bool {
        matches!(self, Self::Admitted { .. })
    }

    /// The stricter of two answers: a refusal before an admission, the longer wait, the fewer left.
    #[must_use]
    pub fn stricter(self, other: Self) -> Self {
        match (self, other) {
            (Self::Admitted { remaining: a }, Self::Admitted { remaining: b }) => {
                Self::Admitted { remaining: a.min(b) }
            }
            (Self::Refused { retry_after: a }, Self::Refused { retry_after: b }) => {
                Self::Refused { retry_after: a.max(b) }
            }
            (refused @ Self::Refused { .. }, _) | (_, refused) => refused,
        }
    }
}

/// A server's way of counting requests.
///
/// `now` is the time since an origin of the caller's choice. It should not step back; where it does, a model takes the
/// latest instant it has seen. A request that costs nothing always passes. A model never allocates beyond what its
/// type's docs state.
pub trait Quota: fmt::Debug + Send {
    /// Says what [`admit`](Self::admit) would say, and remembers nothing. The wait in a refusal takes into account
    /// that the refusal itself will be recorded.
    fn check(&self, now: Duration, cost: u32) -> Verdict;

    /// Remembers a request that was decided, here or by a stricter quota beside this one.
    fn record(&mut self, now: Duration, cost: u32, admitted: bool);

    /// The span over which the quota counts.
    fn window(&self) -> Duration;

    /// Decides and remembers in one step.
    fn admit(&mut self, now: Duration, cost: u32) -> Verdict {
        let verdict = self.check(now, cost);
        self.record(now, cost, verdict.is_admitted());
        verdict
    }
}

/// Several quotas over the same requests: one passes when all of them let it pass, and none is charged otherwise
/// (except those that charge refusals).
#[derive(Debug, Default)]
pub struct All(Vec<Box<dyn Quota>>);

impl All {
    /// Joins `quotas`; with none of them everything passes.
    pub fn new(quotas: Vec<Box<dyn Quota>>) -> Self {
        Self(quotas)
    }
}

impl Quota for All {
    fn check(&self, now: Duration, cost: u32) -> Verdict {
        let open = Verdict::Admitted { remaining: u32::MAX };
        self.0.iter().fold(open, |verdict, quota| verdict.stricter(quota.check(now, cost)))
    }

    fn record(&mut self, now: Duration, cost: u32, admitted: bool) {
        for quota in &mut self.0 {
            quota.record(now, cost, admitted);
        }
    }

    /// The longest window among them; zero with none.
    fn window(&self) -> Duration {
        self.0.iter().map(|quota| quota.window()).max().unwrap_or_default()
    }
}

/// A duration in nanoseconds, saturating at 584 years.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// A wait of that many nanoseconds, saturating.
fn wait(nanos: u128) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
