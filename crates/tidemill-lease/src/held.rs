//! The guard of an owner: whether it may act now, by its own clock.

use std::sync::Arc;
#[cfg(not(loom))]
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

#[cfg(loom)]
use loom::sync::atomic::AtomicU64;

use crate::config::Config;
use crate::lease::{Epoch, Former, Handover, Record};
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
    /// The guard of a lease that [`rules::acquire`](crate::rules::acquire) granted: it was asked for at `asked` and
    /// the answer came at `answered`, both by the owner's clock. [`Leases`](crate::Leases) calls it for you.
    pub fn granted(
        name: Name,
        record: Record,
        handover: Handover,
        asked: Duration,
        answered: Duration,
        config: &Config,
    ) -> Self {
        let until = AtomicU64::new(nanos(end(asked, config)).max(1));
        let Record { epoch, unconfirmed, payload, .. } = record;
        Self(Arc::new(Inner { name, epoch, handover, unconfirmed, inherited: payload, answered, until }))
    }

    /// A renewal that was asked for at `asked` was granted. `false` if the guard was stopped: then it stays so.
    pub fn renewed(&self, asked: Duration, config: &Config) -> bool {
        let until = nanos(end(asked, config));
        let raise = |old: u64| (old != 0).then_some(old.max(until));
        self.0.until.fetch_update(Ordering::AcqRel, Ordering::Acquire, raise).is_ok()
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
        // A swap and not a store: it takes its place in one order with the renewals that are under way.
        self.0.until.swap(0, Ordering::AcqRel);
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
}

/// When an owner stops that asked for a term at `asked`: the store counts it from no earlier.
fn end(asked: Duration, config: &Config) -> Duration {
    asked.saturating_add(config.term).saturating_sub(config.slack())
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(all(test, loom))]
mod loom_tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::AtomicUsize;

    use loom::thread;

    use super::*;
    use crate::lease::Moment;
    use crate::name::Owner;
    use crate::rules;

    const SECOND: Duration = Duration::from_secs(1);

    fn config() -> Config {
        Config { term: 10 * SECOND, margin: 2 * SECOND, drift_ppm: 0, ..Config::default() }
    }

    fn held() -> Held {
        let owner = Owner::try_new("o").unwrap();
        let claim = rules::Claim { owner, term: config().term, reserve: 0 };
        let name = Name::try_new("a").unwrap();
        let now = Moment { era: 0, since: 500 * SECOND };
        let (record, handover) = rules::acquire(&name, None, now, &claim).unwrap();
        Held::granted(name, record, handover, SECOND, SECOND, &config())
    }

    /// Every order of a stop, two renewals and a question.
    fn try_all(what: &str, renew: fn(&Held, Duration) -> bool) {
        static ORDERS: AtomicUsize = AtomicUsize::new(0);
        ORDERS.store(0, Ordering::Relaxed);
        loom::model(move || {
            ORDERS.fetch_add(1, Ordering::Relaxed);
            let held = held();
            let (renewer, late, asker) = (held.clone(), held.clone(), held.clone());
            let threads = [
                thread::spawn(move || renew(&renewer, 4 * SECOND)),
                thread::spawn(move || renew(&late, 3 * SECOND)),
            ];
            let before = asker.until();
            held.stop();
            let renewed = threads.map(|thread| thread.join().unwrap());
            assert!(before >= 9 * SECOND && before <= 12 * SECOND, "until {before:?}");
            assert!(
                !asker.may_act(Duration::ZERO),
                "a guard that was stopped lets pass; renewed: {renewed:?}"
            );
            assert!(!renew(&held, 5 * SECOND) && asker.until().is_zero());
        });
        println!("{what}: {} orders", ORDERS.load(Ordering::Relaxed));
    }

    #[test]
    fn loom_a_guard_that_was_stopped_stays_so_whatever_renewal_comes_late() {
        try_all("stop and renewals", |held, asked| held.renewed(asked, &config()));
    }

    /// The control: read, decide, write, and a stop in between is lost.
    #[test]
    fn loom_a_renewal_in_two_steps_is_found() {
        let in_two_steps = |held: &Held, asked: Duration| {
            let old = held.0.until.load(Ordering::Acquire);
            if old != 0 {
                held.0.until.store(old.max(nanos(end(asked, &config()))), Ordering::Release);
            }
            old != 0
        };
        let found = catch_unwind(AssertUnwindSafe(|| try_all("in two steps", in_two_steps)));
        assert!(found.is_err(), "loom did not find it");
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::lease::Moment;
    use crate::name::Owner;
    use crate::rules;

    #[test]
    fn it_may_act_until_the_nanosecond() {
        let second = Duration::from_secs(1);
        let config = Config { term: 10 * second, margin: 2 * second, drift_ppm: 0, ..Config::default() };
        let owner = Owner::try_new("o").unwrap();
        let claim = rules::Claim { owner, term: config.term, reserve: 0 };
        let name = Name::try_new("a").unwrap();
        let now = Moment { era: 0, since: 500 * second };
        let (record, handover) = rules::acquire(&name, None, now, &claim).unwrap();
        let held = Held::granted(name, record, handover, 2 * second, 3 * second, &config);
        let nano = Duration::from_nanos(1);
        assert!(
            held.may_act(10 * second - nano) && !held.may_act(10 * second) && !held.may_act(Duration::MAX)
        );
        assert!(held.renewed(3 * second, &config));
        assert!(held.may_act(11 * second - nano) && !held.may_act(11 * second));
        assert_eq!(held.remaining(4 * second), 7 * second);
        let worker = held.clone();
        held.stop();
        assert!(!worker.may_act(Duration::ZERO));
        assert!(!held.renewed(9 * second, &config), "a renewal that comes late revives nothing");
        assert!(!worker.may_act(Duration::ZERO));
    }
}
