//! The shell: hears rounds, lets the engine decide, stores, and only then tells.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{Mutex, Notify, broadcast, watch};
use tokio::task::JoinSet;

use super::active::Event;
use super::build::Builder;
use super::config::Config;
use super::engine::Engine;
use super::notice::Notice;
use super::outbox::Outbox;
use super::state::{Place, State};
use super::view;
use crate::event::Events;
use crate::series::{Kind, Reading, Round, Series};

/// What goes wrong in ourselves, each a series of `monitor_errors_total`.
pub(super) const ERRORS: [&str; 8] =
    ["delivery", "history", "logs", "rounds", "series", "state", "tuning", "other"];

/// How often time alone is looked at, and what was delivered is stored.
const TICK: Duration = Duration::from_secs(1);

/// So often what was learnt is stored when nothing else happens.
const LEARNT_TICKS: u64 = 300;

/// What is computed of a round.
pub(super) type Derive = Box<dyn Fn(&Round) -> Vec<Reading> + Send + Sync>;

/// Milliseconds since 1970.
pub(super) type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Alerting that runs. Dropped, it stops at once; what was not delivered is at the next start.
#[derive(Debug)]
pub struct Alerts {
    pub(super) handle: Handle,
    pub(super) tasks: JoinSet<()>,
    pub(super) stop: watch::Sender<bool>,
}

/// The way to alerting that runs, for the API and for other parts. Clones share it.
#[derive(Clone)]
pub struct Handle(pub(super) Arc<Shared>);

pub(super) struct Shared {
    pub(super) inner: Mutex<Inner>,
    pub(super) place: Place,
    pub(super) clock: Clock,
    pub(super) keep_trying: Duration,
    pub(super) events: Events,
    pub(super) derive: Derive,
    pub(super) wake: BTreeMap<String, Arc<Notify>>,
    pub(super) dirty: AtomicBool,
    pub(super) delivered: AtomicU64,
    pub(super) counted: std::sync::Mutex<Counted>,
    pub(super) errors: HashMap<&'static str, AtomicU64>,
}

pub(super) struct Inner {
    pub(super) engine: Engine,
    pub(super) outbox: Outbox,
    pub(super) identity: String,
}

/// What `/metrics` tells of alerting, as of the last second.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Alerts that fire.
    pub active: usize,
    /// What the engine counted.
    pub stats: super::Stats,
    /// Notifications delivered in this run.
    pub delivered: u64,
    /// Notifications that wait.
    pub waiting: usize,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Notifications delivered in this run.
    pub delivered: u64,
    /// Notifications that wait for the next start.
    pub waiting: usize,
}

/// The target under which we watch ourselves.
pub(super) const MONITOR: &str = "monitor";

/// Rounds, and the time, until it is stopped.
pub(super) async fn hear(
    shared: Arc<Shared>,
    mut rounds: broadcast::Receiver<Arc<Round>>,
    mut stopped: watch::Receiver<bool>,
) {
    let target: Arc<str> = MONITOR.into();
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut count = 0_u64;
    let mut open = true;
    loop {
        tokio::select! {
            biased;
            () = asked_to_stop(&mut stopped) => return,
            round = rounds.recv(), if open => match round {
                Ok(round) => shared.step(&round).await,
                Err(broadcast::error::RecvError::Lagged(missed)) => {
                    tracing::warn!(missed, "rounds came faster than alerts look at them");
                    shared.error("rounds");
                }
                Err(broadcast::error::RecvError::Closed) => open = false,
            },
            _ = ticks.tick() => {
                shared.step(&shared.own_round(&target)).await;
                let mut inner = shared.inner.lock().await;
                let events = inner.engine.tick((shared.clock)());
                shared.commit(&mut inner, events).await;
                count += 1;
                if shared.dirty.swap(false, Ordering::Relaxed) || count.is_multiple_of(LEARNT_TICKS) {
                    shared.store_or_say(&mut inner).await;
                }
                shared.count(&inner);
            }
        }
    }
}

/// Returns when it is time to end.
pub(super) async fn asked_to_stop(stopped: &mut watch::Receiver<bool>) {
    stopped.wait_for(|stop| *stop).await.ok();
}

impl Shared {
    async fn step(&self, round: &Round) {
        let derived = (self.derive)(round);
        let mut inner = self.inner.lock().await;
        let dropped = inner.engine.stats().dropped;
        let events = inner.engine.step_with(round.at_ms, round, &derived);
        if inner.engine.stats().dropped > dropped {
            self.error("series");
        }
        self.commit(&mut inner, events).await;
    }

    /// Stores what happened; then, and only then, tells it.
    pub(super) async fn commit(&self, inner: &mut Inner, events: Vec<Event>) {
        if events.is_empty() {
            return;
        }
        let lost = inner.outbox.lost;
        let Inner { engine, outbox, identity } = &mut *inner;
        outbox.put(&engine.config, identity, &events);
        if inner.outbox.lost > lost {
            self.error("delivery");
        }
        self.store_or_say(inner).await;
        for event in &events {
            self.events.publish(crate::event::Event {
                at_ms: event.at_ms,
                kind: "alert",
                title: event.words(),
                severity: Some(if event.is_end() { "info" } else { event.alert.severity.name() }),
                detail: Some(view::event(event)),
            });
        }
        self.wake.values().for_each(|wake| wake.notify_one());
    }

    /// Stores; when that fails people are told all the same, and that it failed.
    async fn store_or_say(&self, inner: &mut Inner) {
        if let Err(error) = self.store(inner).await {
            tracing::error!(%error, "the state of alerts is not stored: after a crash some may be told again");
            self.error("state");
            self.dirty.store(true, Ordering::Relaxed);
        }
    }

    pub(super) async fn store(&self, inner: &mut Inner) -> std::io::Result<()> {
        let state = State::of(&inner.identity, &inner.engine, &inner.outbox);
        let place = self.place.clone();
        tokio::task::spawn_blocking(move || place.write(&state)).await.map_err(std::io::Error::other)?
    }

    /// Counts something that went wrong in ourselves.
    pub(super) fn error(&self, kind: &str) {
        if let Some(count) = self.errors.get(kind).or_else(|| self.errors.get("other")) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn count(&self, inner: &Inner) {
        let counted = Counted {
            active: inner.engine.active().count(),
            stats: inner.engine.stats().clone(),
            delivered: self.delivered.load(Ordering::Relaxed),
            waiting: inner.outbox.len(),
        };
        *self.counted.lock().unwrap_or_else(PoisonError::into_inner) = counted;
    }

    /// What we know of ourselves.
    fn own_round(&self, target: &Arc<str>) -> Round {
        let reading = |kind: &&'static str| Reading {
            series: Arc::new(Series::new(target, "monitor_errors_total", &[("kind", kind)], Kind::Counter)),
            value: self.errors[*kind].load(Ordering::Relaxed) as f64,
        };
        let readings = ERRORS.iter().map(reading).collect();
        let (target, at_ms) = (Arc::clone(target), (self.clock)());
        Round { target, at_ms, took: Duration::ZERO, error: None, readings }
    }
}

impl Handle {
    /// Something happened once.
    pub async fn notice(&self, notice: Notice) {
        let mut inner = self.0.inner.lock().await;
        let events = inner.engine.notice((self.0.clock)(), notice);
        self.0.commit(&mut inner, events).await;
    }

    /// Something went wrong in ourselves: `delivery`, `history`, `logs`, `rounds`, `series`, `state`, `tuning` or `other`.
    pub fn error(&self, kind: &str) {
        self.0.error(kind);
    }

    /// What went wrong in ourselves so far, by kind.
    #[must_use]
    pub fn errors(&self) -> BTreeMap<&'static str, u64> {
        self.0.errors.iter().map(|(kind, count)| (*kind, count.load(Ordering::Relaxed))).collect()
    }

    /// What is shown at `/api/alerts`.
    pub async fn view(&self) -> serde_json::Value {
        let inner = self.0.inner.lock().await;
        view::all(&inner.engine, &inner.outbox)
    }

    /// Somebody has seen an alert.
    ///
    /// # Errors
    /// There is no such alert.
    pub async fn acknowledge(&self, id: &str, by: &str) -> Result<(), String> {
        let mut inner = self.0.inner.lock().await;
        let events = inner.engine.acknowledge((self.0.clock)(), id, by)?;
        self.0.commit(&mut inner, events).await;
        Ok(())
    }

    /// Silences what matches.
    ///
    /// # Errors
    /// What the silence lacks.
    pub async fn silence(&self, wanted: super::NewSilence) -> Result<super::Silence, String> {
        let mut inner = self.0.inner.lock().await;
        let silence = inner.engine.silence((self.0.clock)(), wanted)?;
        self.0.store_or_say(&mut inner).await;
        Ok(silence)
    }

    /// Ends a silence; whether there was one. What it held back is told.
    pub async fn unsilence(&self, id: &str) -> bool {
        let mut inner = self.0.inner.lock().await;
        let was = inner.engine.unsilence(id);
        let events = inner.engine.tick((self.0.clock)());
        self.0.commit(&mut inner, events).await;
        self.0.store_or_say(&mut inner).await;
        was
    }

    /// What was counted until the last second, for `/metrics`: waits for nobody.
    #[must_use]
    pub fn counted(&self) -> Counted {
        self.0.counted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Alerts {
    /// Starts one.
    #[must_use]
    pub fn builder(config: Config, folder: PathBuf, events: Events) -> Builder {
        Builder::new(config, folder, events)
    }

    /// The way to it.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Hears no more, delivers until `deadline` what waits, and stores the rest for the next start.
    pub async fn close(mut self, deadline: Duration) -> Report {
        let shared = Arc::clone(&self.handle.0);
        self.stop.send_replace(true);
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        tokio::time::timeout(deadline, ended).await.ok();
        self.tasks.shutdown().await;
        let mut inner = shared.inner.lock().await;
        shared.store_or_say(&mut inner).await;
        Report { delivered: shared.delivered.load(Ordering::Relaxed), waiting: inner.outbox.len() }
    }
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}
