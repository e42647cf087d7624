//! The shell: reads each target's knobs in its interval, steps, sets, and tells what was decided.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex as Short, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidemill_autotune::{Decision, Outcome, Record};
use tokio::sync::{Mutex, broadcast, watch};
use tokio::task::JoinSet;

use super::config::{Config, Target};
use super::handle::Handle;
use super::remote::{Refusal, Remote, Shown};
use super::signals::Readings;
use super::steering::Steering;
use crate::address::Address;
use crate::alert::{self, Secret, Severity};
use crate::event::{Event, Events};
use crate::http::Client;
use crate::series::{Reading, Round};
use crate::state;

/// Who hears of decisions: alerts and charts.
#[derive(Clone, Debug)]
pub struct Notify {
    /// Marks on charts.
    pub events: Events,
    /// Notices, and our own errors.
    pub alerts: Option<alert::Handle>,
}

/// What outlives a restart.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Saved {
    /// Its own tuner was switched off by us, and is switched on again when we end.
    taken_over: bool,
    records: Vec<Record>,
}

/// What is computed of a round.
pub type Derive = Box<dyn Fn(&Round) -> Vec<Reading> + Send>;

/// What tuning hears and tells.
pub struct Around {
    /// Where decisions are kept.
    pub data: PathBuf,
    /// Asks the targets.
    pub client: Client,
    /// What is read of them.
    pub rounds: broadcast::Receiver<Arc<Round>>,
    /// What is computed of a round and looked at with it: `response_ms`, `error_percent`, `hit_percent`.
    pub derive: Derive,
    /// Who hears of decisions.
    pub notify: Notify,
}

/// Tuning that runs.
#[derive(Debug)]
pub struct Tuning {
    handle: Handle,
    tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
}

#[derive(Debug)]
pub(super) struct Steered {
    pub(super) target: Target,
    pub(super) remote: Remote,
    pub(super) readings: Short<Readings>,
    pub(super) inner: Mutex<Inner>,
    pub(super) file: PathBuf,
    pub(super) notify: Notify,
    pub(super) counted: Counted,
}

/// What was decided about one target since the start, and whether its knobs are moved now.
#[derive(Debug, Default)]
pub(super) struct Counted {
    pub(super) steers: AtomicBool,
    pub(super) decisions: [AtomicU64; DECISIONS.len()],
}

/// What decisions are counted as.
pub(super) const DECISIONS: [&str; 6] = ["changed", "tried", "undone", "by_hand", "emergency", "other"];

#[derive(Debug, Default)]
pub(super) struct Inner {
    pub(super) steering: Option<Steering>,
    pub(super) shown: Shown,
    pub(super) error: Option<String>,
    /// Values that could not be set: tried again at the next step.
    pub(super) owed: BTreeMap<String, f64>,
    pub(super) taken_over: bool,
    pub(super) records: Vec<Record>,
}

impl Inner {
    fn saved(&self) -> Saved {
        Saved { taken_over: self.taken_over, records: self.records.clone() }
    }
}

impl Tuning {
    /// Begins to watch every target of the configuration, and moves their knobs when `enabled`. `env` looks up the variables that
    /// hold tokens.
    ///
    /// # Errors
    /// A field, variable or file that is wrong.
    pub async fn start(
        config: &Config,
        enabled: bool,
        around: Around,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, String> {
        let Around { data, client, rounds, derive, notify } = around;
        let mut steered = Vec::new();
        for target in &config.target {
            let of = |why: String| format!("tuning target {:?}: {why}", target.name);
            target.rules().map_err(|error| of(error.to_string()))?;
            let address = Address::parse(&target.url).map_err(|wants| of(format!("`url` {wants}")))?;
            let token = match &target.token_env {
                None => None,
                Some(name) => Some(
                    env(name)
                        .map(Secret::new)
                        .ok_or_else(|| of(format!("the variable {name} is not set")))?,
                ),
            };
            let file = state::folder(&data).join(format!("tuning-{}.json", target.name));
            let reading = file.clone();
            let saved = tokio::task::spawn_blocking(move || state::read::<Saved>(&reading)).await;
            let saved =
                saved.map_err(|error| error.to_string())?.map_err(|error| of(format!("{error:#}")))?;
            let Saved { taken_over, records } = saved.unwrap_or_default();
            let inner = Inner { taken_over, records, ..Inner::default() };
            steered.push(Arc::new(Steered {
                remote: Remote::new(client.clone(), address, token, target.timeout),
                target: target.clone(),
                readings: Short::default(),
                inner: Mutex::new(inner),
                file,
                notify: notify.clone(),
                counted: Counted::default(),
            }));
        }
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for one in &steered {
            tasks.spawn(steer(Arc::clone(one), enabled, stopped.clone()));
        }
        let steered = Arc::new(steered);
        if !steered.is_empty() {
            tasks.spawn(hear(Arc::clone(&steered), rounds, derive, stopped));
        }
        Ok(Self { handle: Handle { enabled, steered }, tasks, stop })
    }

    /// The way to it.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Ends every trial and puts its old value back, within `deadline`.
    pub async fn close(mut self, deadline: Duration) {
        self.stop.send_replace(true);
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(deadline, ended).await.is_err() {
            tracing::warn!("tuning did not end in time; what was under trial is put back at the next start");
        }
    }
}

async fn hear(
    steered: Arc<Vec<Arc<Steered>>>,
    mut rounds: broadcast::Receiver<Arc<Round>>,
    derive: Derive,
    mut stopped: watch::Receiver<bool>,
) {
    loop {
        let round = tokio::select! {
            round = rounds.recv() => round,
            () = asked_to_stop(&mut stopped) => return,
        };
        match round {
            Ok(round) => {
                let derived = derive(&round);
                for one in steered.iter() {
                    let mut readings = one.readings.lock().unwrap_or_else(PoisonError::into_inner);
                    readings.take(&one.target, &round, &derived);
                }
            }
            // Older readings than the newest are not needed.
            Err(broadcast::error::RecvError::Lagged(_)) => {}
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}

async fn steer(one: Arc<Steered>, enabled: bool, mut stopped: watch::Receiver<bool>) {
    let mut ticks = tokio::time::interval(one.target.interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => one.step(enabled).await,
            () = asked_to_stop(&mut stopped) => break,
        }
    }
    one.end().await;
}

/// Returns when it is time to end.
async fn asked_to_stop(stopped: &mut watch::Receiver<bool>) {
    stopped.wait_for(|stop| *stop).await.ok();
}

impl Steered {
    async fn step(&self, enabled: bool) {
        let looked = self.remote.look().await;
        let mut inner = self.inner.lock().await;
        let shown = match looked {
            Ok(shown) => shown,
            Err(refusal) => return self.failed(&mut inner, refusal),
        };
        inner.error = None;
        inner.shown = shown;
        if enabled && inner.shown.enabled == Some(true) && self.target.take_over {
            // Known before it is done: after a crash it is given back all the same.
            inner.taken_over = true;
            self.store(inner.saved()).await;
            match self.remote.switch(false).await {
                Ok(()) => inner.shown.enabled = Some(false),
                Err(refusal) => return self.failed(&mut inner, refusal),
            }
        }
        // Two tuners at one knob would each take the other's turns for its own.
        let steers = enabled && inner.shown.enabled != Some(true);
        self.counted.steers.store(steers, Ordering::Relaxed);
        if !steers {
            if let Some(mut steering) = inner.steering.take() {
                steering.end(now());
                inner.records = steering.records().cloned().collect();
            }
            return;
        }
        if let Err(why) = self.decide(&mut inner).await {
            self.failed(&mut inner, Refusal { status: None, why });
        }
    }

    async fn decide(&self, inner: &mut Inner) -> Result<(), String> {
        let (now, knobs) = (now(), inner.shown.knobs.clone());
        let mut wanted = BTreeMap::new();
        if !inner.steering.as_ref().is_some_and(|steering| steering.is_for(&knobs)) {
            let records = match inner.steering.take() {
                Some(steering) => steering.records().cloned().collect(),
                None => std::mem::take(&mut inner.records),
            };
            inner.records.clone_from(&records);
            let config = self.target.rules().map_err(|error| error.to_string())?;
            let (steering, back) =
                Steering::new(config, now, &knobs, records).map_err(|error| error.to_string())?;
            (inner.steering, wanted) = (Some(steering), back);
        }
        let own = self.readings.lock().unwrap_or_else(PoisonError::into_inner).drain();
        // What the target reads of itself is nearer than what we read of it.
        let mut all = inner.shown.signals.clone();
        for (name, value) in own {
            all.entry(name).or_insert(value);
        }
        let Some(steering) = &mut inner.steering else { return Ok(()) };
        // What is owed is not yet as it was decided: that is no sign of somebody else.
        let mut believed = knobs;
        for (knob, value) in &mut believed {
            *value = inner.owed.get(&knob.name).or(wanted.get(&knob.name)).copied().unwrap_or(*value);
        }
        let mut due = std::mem::take(&mut inner.owed);
        due.extend(wanted);
        due.extend(steering.step(now, &believed, all.iter().map(|(name, value)| (name.as_str(), *value))));
        // Stored before it is done: what a crash leaves under trial is put back.
        let fresh = steering.take_fresh();
        self.tell(inner, &fresh).await;
        if due.is_empty() {
            return Ok(());
        }
        match self.remote.set(&due).await {
            Ok(()) => Ok(()),
            Err(refusal) => {
                // A value it refuses is not asked for again: the next step sees what it has.
                if refusal.status.is_none_or(|status| status.is_server_error()) {
                    inner.owed = due;
                }
                Err(refusal.why)
            }
        }
    }

    async fn store(&self, saved: Saved) {
        let file = self.file.clone();
        let stored = tokio::task::spawn_blocking(move || state::write(&file, &saved)).await;
        if let Some(error) = stored.map_err(anyhow::Error::from).and_then(|stored| stored).err() {
            tracing::warn!(error = format!("{error:#}"), "decisions of tuning are not stored");
            self.count_error();
        }
    }

    /// Stores what was decided, and tells it.
    pub(super) async fn tell(&self, inner: &mut Inner, fresh: &[Record]) {
        if fresh.is_empty() {
            return;
        }
        if let Some(steering) = &inner.steering {
            inner.records = steering.records().cloned().collect();
        }
        self.store(inner.saved()).await;
        for record in fresh {
            self.counted.decisions[counted_as(&record.decision)].fetch_add(1, Ordering::Relaxed);
            let (name, severity) = kind_of(&record.decision);
            let summary = format!("{}: {}", self.target.name, record.words());
            tracing::info!(target_name = self.target.name, "{summary}");
            self.notify.events.publish(Event {
                at_ms: millis(record.at),
                kind: "change",
                title: summary.clone(),
                severity: Some(severity.name()),
                detail: None,
            });
            if let Some(alerts) = &self.notify.alerts {
                let (target, recommendation) = (self.target.name.clone(), String::new());
                alerts
                    .notice(alert::Notice {
                        name: name.to_owned(),
                        severity,
                        target,
                        summary,
                        recommendation,
                    })
                    .await;
            }
        }
    }

    fn failed(&self, inner: &mut Inner, refusal: Refusal) {
        if inner.error.is_none() {
            tracing::warn!(target_name = self.target.name, why = refusal.why, "its knobs cannot be moved");
            self.count_error();
        }
        inner.error = Some(refusal.why);
    }

    fn count_error(&self) {
        if let Some(alerts) = &self.notify.alerts {
            alerts.error("tuning");
        }
    }

    /// Puts back what is under trial, and gives its own tuner back.
    async fn end(&self) {
        let mut inner = self.inner.lock().await;
        let mut back = std::mem::take(&mut inner.owed);
        if let Some(steering) = &mut inner.steering {
            back.extend(steering.end(now()));
            let fresh = steering.take_fresh();
            self.tell(&mut inner, &fresh).await;
        }
        let mut done = if back.is_empty() { Ok(()) } else { self.remote.set(&back).await };
        if inner.taken_over {
            done = done.and(self.remote.switch(true).await);
            inner.taken_over = done.is_err();
            self.store(inner.saved()).await;
        }
        if let Err(refusal) = done {
            tracing::warn!(
                target_name = self.target.name,
                why = refusal.why,
                "its knobs could not be put back"
            );
        }
    }
}

/// The place in [`DECISIONS`].
fn counted_as(decision: &Decision) -> usize {
    match decision {
        Decision::Changed { by, .. } if by == "a person" => 3,
        Decision::Changed { .. } => 0,
        Decision::TrialBegan { .. } => 1,
        Decision::Undone { .. } | Decision::TrialEnded { outcome: Outcome::Undone, .. } => 2,
        Decision::EmergencyBegan { .. } => 4,
        _ => 5,
    }
}

/// As a notice: its name and how grave it is.
fn kind_of(decision: &Decision) -> (&'static str, Severity) {
    match decision {
        Decision::Changed { by, .. } if by == "a person" => ("tuning-by-hand", Severity::Info),
        Decision::Changed { .. } | Decision::TrialBegan { .. } | Decision::Ran { .. } => {
            (alert::AUTO_TUNING, Severity::Info)
        }
        Decision::Undone { .. } | Decision::TrialEnded { outcome: Outcome::Undone, .. } => {
            ("tuning-undone", Severity::Warning)
        }
        Decision::EmergencyBegan { .. } => ("tuning-emergency", Severity::Critical),
        _ => ("tuning-result", Severity::Info),
    }
}

pub(super) fn now() -> Duration {
    Duration::from_millis(u64::try_from(crate::now_ms()).unwrap_or(0))
}

pub(super) fn millis(at: Duration) -> i64 {
    i64::try_from(at.as_millis()).unwrap_or(i64::MAX)
}

impl std::fmt::Debug for Around {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Around").field("data", &self.data).finish_non_exhaustive()
    }
}
