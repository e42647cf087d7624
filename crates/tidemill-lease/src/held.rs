//! The guard of an owner: whether it may act now, by its own clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::lease::{Epoch, Former, Handover};
use crate::name::Name;

/// A lease that is ours until its term ends. Clones are the same guard: hand one to everything that acts.
///
/// Ask [`may_act`](Self::may_act) right before every act, with the time at that moment. Dropping it gives nothing back: the
/// term runs out, and the next owner takes over as from a dead one.
#[derive(Debug, Clone)]
pub struct Held(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: Name,
    epoch: Epoch,
    handover: Handover,
    unconfirmed: Vec<Former>,
    inherited: Vec<u8>,
    answered: Duration,
    /// Nanoseconds by the owner's clock; 0 is for ever stopped.
    until: AtomicU64,
}

impl Held {
    pub(crate) fn new(
        name: Name,
        epoch: Epoch,
        handover: Handover,
        unconfirmed: Vec<Former>,
        inherited: Vec<u8>,
        answered: Duration,
        until: Duration,
    ) -> Self {
        let until = AtomicU64::new(nanos(until).max(1));
        Self(Arc::new(Inner { name, epoch, handover, unconfirmed, inherited, answered, until }))
    }

    /// Whether the owner may act at `now`, by the clock it leases with: `now` is before the end of the term, counted
    /// from when it was *asked* for, less the margin; and it has not stopped.
    ///
    /// What passes this check and reaches the world late (a process stopped in between, a slow network) is what
    /// [`Config::reserve`](crate::Config::reserve) is about.
    pub fn may_act(&self, now: Duration) -> bool {
        nanos(now) < self.0.until.load(Ordering::Acquire)
    }

    /// How long the owner may act from `now` on, unless the lease is renewed.
    pub fn remaining(&self, now: Duration) -> Duration {
        self.until().saturating_sub(now)
    }

    /// Until when the owner may act, by its own clock; zero when it has stopped.
    pub fn until(&self) -> Duration {
        Duration::from_nanos(self.0.until.load(Ordering::Acquire))
    }

    /// Acts no more, for ever, whatever a renewal that is under way brings.
    pub fn stop(&self) {
        self.0.until.store(0, Ordering::Release);
    }

    /// The resource.
    pub fn name(&self) -> &Name {
        &self.0.name
    }

    /// The fencing token.
    pub fn epoch(&self) -> Epoch {
        self.0.epoch
    }

    /// In what state the lease was found.
    pub fn handover(&self) -> &Handover {
        &self.0.handover
    }

    /// Former owners that had not confirmed that they stopped when the lease was acquired; keep their reserve free
    /// until they do.
    pub fn unconfirmed(&self) -> &[Former] {
        &self.0.unconfirmed
    }

    /// The payload as the predecessor left it.
    pub fn inherited(&self) -> &[u8] {
        &self.0.inherited
    }

    /// When everything that the predecessor did is at least `window` old, by this owner's clock: counted from
    /// when the store's answer came, which is later than the store meant.
    pub fn clear_at(&self, window: Duration) -> Duration {
        self.0.answered.saturating_add(self.0.handover.guard(window))
    }

    /// A renewal that was asked for in time was granted; `until` counts from the asking.
    pub(crate) fn extend(&self, until: Duration) -> bool {
        let until = nanos(until);
        let raise = |old: u64| (old != 0).then_some(old.max(until));
        self.0.until.fetch_update(Ordering::AcqRel, Ordering::Acquire, raise).is_ok()
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_may_act_until_the_nanosecond() {
        let name = Name::try_new("a").unwrap();
        let second = Duration::from_secs(1);
        let held =
            Held::new(name, Epoch(1), Handover::First, Vec::new(), Vec::new(), Duration::ZERO, second);
        let nano = Duration::from_nanos(1);
        assert!(held.may_act(second - nano) && !held.may_act(second) && !held.may_act(second + nano));
        assert!(held.extend(2 * second));
        assert!(held.may_act(2 * second - nano) && !held.may_act(2 * second));
        let worker = held.clone();
        held.stop();
        assert!(!worker.may_act(Duration::ZERO));
        assert!(!held.extend(9 * second), "a renewal that comes late revives nothing");
        assert!(!worker.may_act(Duration::ZERO));
    }
}
