//! One process: its clock, its guard, its limiter, and what it has under way.

use std::collections::HashMap;
use std::time::Duration;

use tidemill_lease::{Epoch, Held, Owner};
use tidemill_rate_limit::{Config, Core, Cost, KeyIndex, Model, Outcome, Priority, Ticket};

use crate::world::{CONCURRENCY, QUOTA, RESERVE, WINDOW};

/// A process that owns the key, or would like to. What it knew is gone when it is killed.
pub(crate) struct Process {
    pub(crate) name: Owner,
    pub(crate) life: u32,
    /// By how much its clock is fast, in parts per million, and where that began.
    pub(crate) drift_ppm: i64,
    pub(crate) origin: Duration,
    pub(crate) paused: Duration,
    pub(crate) cut: Duration,
    pub(crate) held: Option<Held>,
    /// When it asks the store again, and since when it waits for an answer, by its own clock.
    pub(crate) ask_at: Duration,
    pub(crate) asking: Option<Duration>,
    pub(crate) lost: Vec<Epoch>,
    core: Core,
    tickets: HashMap<u64, (Epoch, Ticket)>,
}

/// What the quota is told to the limiter as.
fn config() -> Config {
    Config {
        concurrency: Some(RESERVE),
        deadline: Duration::from_secs(10),
        ..Config::per_key(QUOTA, WINDOW, Model::SlidingLog)
    }
}

fn fresh() -> Core {
    Core::new(&config(), 1).expect("the configuration is right")
}

/// A window, and how far clocks may be wrong in it: for so long after an owner's end its requests count.
pub(crate) fn guarded() -> Duration {
    let config = config();
    WINDOW + config.resolution + WINDOW * config.drift_ppm / 1_000_000
}

impl Process {
    pub(crate) fn born(who: usize, life: u32, drift_ppm: i64, origin: Duration) -> Self {
        Self {
            name: Owner::try_new(format!("owner {who} life {life}")).expect("a short name"),
            life,
            drift_ppm,
            origin,
            paused: Duration::ZERO,
            cut: Duration::ZERO,
            held: None,
            ask_at: Duration::ZERO,
            asking: None,
            lost: Vec::new(),
            core: fresh(),
            tickets: HashMap::new(),
        }
    }

    /// Its clock when it is truly `now`.
    pub(crate) fn clock(&self, now: Duration) -> Duration {
        let ns = i128::from(now.as_nanos() as u64) * i128::from(1_000_000 + self.drift_ppm) / 1_000_000;
        self.origin + Duration::from_nanos(ns as u64)
    }

    /// The lease is its own: the limiter starts anew, with all slots taken as long as a former owner's requests count, and
    /// without the share of what former owners may have under way.
    pub(crate) fn gained(&mut self, held: Held, guard: bool) {
        self.core = fresh();
        self.tickets.clear();
        if guard {
            self.core.park(KeyIndex::new(0), held.clear_at(guarded()));
        }
        let theirs: u32 = held.unconfirmed().iter().map(|former| former.reserve).sum();
        self.core.set_concurrency(Some(CONCURRENCY.saturating_sub(theirs).clamp(1, RESERVE)));
        self.held = Some(held);
    }

    /// It is its own no more; what is under way is confirmed when it has ended.
    pub(crate) fn forget(&mut self) {
        if let Some(held) = self.held.take() {
            held.stop();
            self.lost.push(held.epoch());
        }
    }

    /// Takes a slot, if there is one and the lease is its own.
    pub(crate) fn send(&mut self, local: Duration, request: u64) -> bool {
        let Some(epoch) = self.held.as_ref().map(Held::epoch) else { return false };
        match self.core.try_send(local, Cost::ONE, Priority::Normal) {
            Ok(ticket) => self.tickets.insert(request, (epoch, ticket)).is_none(),
            Err(_) => false,
        }
    }

    pub(crate) fn answered(&mut self, local: Duration, request: u64) {
        // What an earlier tenure sent is not the present limiter's.
        if let Some((_, ticket)) = self.tickets.remove(&request) {
            self.core.answered(local, ticket, Outcome::OK);
        }
    }

    /// An epoch that was lost and of which nothing is under way.
    pub(crate) fn ended(&self) -> Option<Epoch> {
        let under_way = |epoch: &Epoch| self.tickets.values().any(|(of, _)| of == epoch);
        self.lost.iter().copied().find(|epoch| !under_way(epoch))
    }
}
