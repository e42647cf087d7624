//! One provider's lease: taken for a pass, watched before each request, and given back with what a successor must know.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::Result;
use tidemill_lease::{Epoch, Event, Former, Handover, Held, Keeper, Leases, Name};
use tidemill_rate_limit::{History, KeyPool};
use tidemill_shell::signals::Shutdown;
use tokio::sync::watch;

use super::{Past, Process};

/// Why there is no leave to send.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Spent {
    /// Another collector has the keys for longer than one may wait.
    ByAnother,
    /// The run is ending.
    Stopping,
}

/// The right to spend a provider's quota.
#[derive(Debug)]
pub struct Tenancy {
    shared: Arc<Shared>,
    keeper: tokio::sync::Mutex<Option<Keeper>>,
}

#[derive(Debug)]
struct Shared {
    leases: Leases,
    name: Name,
    pool: KeyPool,
    past: Past,
    /// Most requests under way, if that is limited: less while a former owner may have some under way too.
    concurrency: Option<u32>,
    held: watch::Sender<Option<Held>>,
    former: Mutex<Vec<Former>>,
}

impl Tenancy {
    /// For the keys of `provider`, which every collector must call the same; nothing is taken yet.
    pub fn new(
        leases: Leases,
        provider: &str,
        pool: KeyPool,
        past: Past,
        concurrency: Option<u32>,
    ) -> Result<Self> {
        let name = Name::try_new(format!("tidemill-collector/provider/{provider}"))?;
        let (held, former) = (watch::Sender::new(None), Mutex::default());
        let shared = Shared { leases, name, pool, past, concurrency, held, former };
        Ok(Self { shared: Arc::new(shared), keeper: tokio::sync::Mutex::new(None) })
    }

    /// A pass begins: from here on the lease is wanted.
    pub async fn begin(&self) {
        let mut keeper = self.keeper.lock().await;
        if keeper.is_none() {
            let shared = Arc::clone(&self.shared);
            let seed = u64::from(std::process::id());
            let name = self.shared.name.clone();
            *keeper = Some(self.shared.leases.keep(name, seed, move |event| shared.take(event)));
        }
    }

    /// Waits until a request may be sent.
    pub async fn ready(&self, max_wait: Duration, shutdown: &Shutdown) -> Result<(), Spent> {
        let mut watched = self.shared.held.subscribe();
        let ours = async {
            // The sender stands in `self`.
            let _ = watched.wait_for(|held| held.is_some()).await;
        };
        tokio::select! {
            biased;
            () = shutdown.draining() => Err(Spent::Stopping),
            () = ours => Ok(()),
            () = tokio::time::sleep(max_wait) => Err(Spent::ByAnother),
        }
    }

    /// Whether a request may be sent at this very moment.
    pub fn may_act(&self) -> bool {
        let now = self.shared.leases.now();
        self.shared.held.borrow().as_ref().is_some_and(|held| held.may_act(now))
    }

    /// The pass is over and nothing of it is under way: the lease is given back with the past, so that the next owner goes on
    /// at once. Where something is under way, it runs out instead.
    pub async fn end(&self, deadline: Duration) {
        let Some(keeper) = self.keeper.lock().await.take() else { return };
        self.shared.held.send_replace(None);
        let stats = self.shared.pool.stats();
        if stats.in_flight + stats.unsent > 0 {
            tracing::warn!(lease = %self.shared.name, "requests are under way: the lease is left to run out");
            return drop(keeper);
        }
        keeper.set_payload(self.shared.past.history(SystemTime::now()).to_bytes());
        let report = keeper.close(deadline).await;
        if let Some(error) = report.error {
            tracing::warn!(lease = %self.shared.name, %error, "the lease was not given back and runs out");
        }
    }
}

impl Shared {
    fn take(self: &Arc<Self>, event: Event) {
        match event {
            Event::Gained(held) => self.gained(held),
            Event::Lost(epoch) => {
                self.held.send_replace(None);
                tracing::warn!(lease = %self.name, %epoch, "the lease is lost; nothing is sent until it is ours again");
                tokio::spawn(Arc::clone(self).confirm_our_end(epoch));
            }
            Event::Missed(error) => {
                tracing::warn!(lease = %self.name, %error, "the leases cannot be reached")
            }
            _ => {}
        }
    }

    fn gained(self: &Arc<Self>, held: Held) {
        let now = SystemTime::now();
        let history = past_of(&held, now);
        let clean = history.unknown_until.is_none();
        tracing::info!(lease = %self.name, epoch = %held.epoch(), records = history.records.len(), clean, "the lease is ours");
        self.past.inherit(&history);
        self.pool.restore(&history, now);
        *self.former() = held.unconfirmed().to_vec();
        self.leave_room();
        for former in held.unconfirmed() {
            let ours = former.owner == *self.leases.owner();
            let gone = Process::parse(former.owner.as_str()).is_some_and(|owner| owner.is_gone());
            if gone && !ours {
                tokio::spawn(Arc::clone(self).confirm(former.epoch));
            }
        }
        self.held.send_replace(Some(held));
    }

    /// What former owners may have under way stays free for them.
    fn leave_room(&self) {
        if let Some(all) = self.concurrency {
            let theirs: u32 = self.former().iter().map(|former| former.reserve.min(all)).sum();
            self.pool.set_concurrency(Some(all.saturating_sub(theirs).max(1)));
        }
    }

    async fn confirm(self: Arc<Self>, epoch: Epoch) {
        match self.leases.confirm(&self.name, epoch).await {
            Ok(_) => {
                self.former().retain(|former| former.epoch != epoch);
                self.leave_room();
            }
            Err(error) => tracing::warn!(lease = %self.name, %error, "a former owner was not struck off"),
        }
    }

    /// Says that nothing of ours is under way any more, once that is so.
    async fn confirm_our_end(self: Arc<Self>, epoch: Epoch) {
        while self.pool.stats().in_flight > 0 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.confirm(epoch).await;
    }

    fn former(&self) -> MutexGuard<'_, Vec<Former>> {
        // Only whole lists are put in.
        self.former.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the new owner must believe was sent before: the last word of one that stopped, or anything until the end of the term
/// of one that did not.
fn past_of(held: &Held, now: SystemTime) -> History {
    let unknown = |until: SystemTime| History { records: Vec::new(), unknown_until: Some(until) };
    match *held.handover() {
        Handover::First => History::default(),
        Handover::Clean { since } => {
            let told = History::from_bytes(held.inherited());
            told.unwrap_or_else(|| unknown(now.checked_sub(since).unwrap_or(now)))
        }
        Handover::Expired { since } => unknown(now.checked_sub(since).unwrap_or(now)),
        Handover::Again { remaining } => unknown(now + remaining),
        _ => unknown(now),
    }
}

#[cfg(test)]
mod tests {
    use tidemill_lease::{Clock, Config, Memory, Owner};
    use tidemill_rate_limit::{Cost, FileStamps, Model, Outcome, Poll, Priority};

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    struct Rig {
        tenancy: Tenancy,
        pool: KeyPool,
        _dir: tempfile::TempDir,
    }

    fn rig(store: &Arc<Memory>, who: &str) -> Rig {
        let dir = tempfile::tempdir().unwrap();
        let past = Past::of(FileStamps::open(dir.path().join("stamps")).unwrap());
        let config = tidemill_rate_limit::Config {
            concurrency: Some(3),
            deadline: Duration::from_secs(10),
            ..tidemill_rate_limit::Config::per_key(2, MINUTE, Model::SlidingLog)
        };
        let pool = KeyPool::builder(config).key_names(["k"]).stamps(past.clone()).build().unwrap();
        let bounds = Config { reserve: 2, ..Config::with_term(Duration::from_secs(30)) };
        let builder = Leases::builder(bounds, store.clone(), Owner::try_new(who).unwrap());
        let leases = builder.clock(Clock::tokio()).build().unwrap();
        let tenancy = Tenancy::new(leases, "vendor", pool.clone(), past, Some(3)).unwrap();
        Rig { tenancy, pool, _dir: dir }
    }

    impl Rig {
        async fn begin(&self) -> Result<(), Spent> {
            self.tenancy.begin().await;
            self.tenancy.ready(10 * MINUTE, &Shutdown::manual().0).await
        }

        async fn send(&self) {
            let flight = self.pool.send(Cost::ONE, Priority::Normal).await.unwrap();
            flight.answered(Outcome::OK).unwrap();
        }

        fn wait(&self) -> Option<Duration> {
            match self.pool.peek(Cost::ONE, Priority::Normal) {
                Poll::At(wait) => Some(wait),
                _ => None,
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_given_back_is_known_to_the_next() {
        let store = Arc::new(Memory::new(Clock::tokio()));
        let (one, two) = (rig(&store, "one"), rig(&store, "two"));
        one.begin().await.unwrap();
        assert!(one.tenancy.may_act());
        two.tenancy.begin().await;
        let waited = two.tenancy.ready(MINUTE, &Shutdown::manual().0).await;
        assert_eq!(waited, Err(Spent::ByAnother));
        one.send().await;
        one.tenancy.end(MINUTE).await;
        assert!(!one.tenancy.may_act());
        two.begin().await.unwrap();
        assert_eq!(two.wait(), None, "one of two slots is free");
        two.send().await;
        assert!(
            two.wait().is_some_and(|wait| wait <= MINUTE + Duration::from_millis(17)),
            "{:?}",
            two.wait()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn after_one_that_died_its_windows_are_waited_out_and_its_share_left_free() {
        let store = Arc::new(Memory::new(Clock::tokio()));
        let (one, two) = (rig(&store, "one"), rig(&store, "two"));
        one.begin().await.unwrap();
        one.send().await;
        drop(one.tenancy);
        two.begin().await.unwrap();
        let wait = two.wait().expect("held back");
        // Window, deadline and straggler behind the end of the term, seen within a third of it.
        assert!(wait > MINUTE && wait < MINUTE + Duration::from_secs(16), "{wait:?}");
        tokio::time::sleep(wait).await;
        let [a, _b] = [(); 2].map(|()| two.pool.try_send(Cost::ONE, Priority::Normal).unwrap());
        assert!(a.is_some(), "one of three is left beside the two of the dead");
        assert_eq!(two.pool.stats().in_flight, 1);
        // Its windows are part of the next owner's past too.
        let told = two.tenancy.shared.past.history(SystemTime::now());
        assert!(told.unknown_until.is_some());
    }
}
