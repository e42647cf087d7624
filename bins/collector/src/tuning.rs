//! Settings that change by themselves: the tuner with this program's knobs and signals, on a thread of its own.
//!
//! Nothing here stands in the way of the collection: a tuner that cannot read this machine is silent about it, a journal that
//! cannot be written stays in memory, and if the thread should die, every setting stays what it is.

pub mod api;
mod counts;
mod journal;
mod knobs;
mod signals;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use tidemill_autotune::{Config as Tuned, Decision, Driver, Error, Guard, Record, Tuner};
use tidemill_metrics::Registry;

pub use knobs::most_workers;

use crate::config::Config;
use crate::provider::Provider;
use crate::workers::Workers;
use crate::writer::Rhythm;
use counts::Counts;
use journal::Journal;
use signals::Sampler;

/// Five steps like this in a row are an emergency, if the configuration says nothing else.
const BAD: &str = "memory.percent > 95 or errors.percent > 20";

/// What is tuned and looked at.
#[derive(Clone, Debug)]
pub struct Parts<'a> {
    /// In the order of the configuration.
    pub providers: &'a [Arc<Provider>],
    /// How many requests are prepared at once.
    pub workers: &'a Arc<Workers>,
    /// How the writer groups and publishes.
    pub rhythm: &'a Arc<Rhythm>,
    /// Folder of the journal.
    pub state: &'a Path,
    /// Where its metrics are registered.
    pub registry: &'a Registry,
}

/// The tuner at work. Clones share it.
#[derive(Clone, Debug)]
pub struct Tuning(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    driver: Driver,
    sampler: Sampler,
    journal: Journal,
    counts: Counts,
    enabled: bool,
    clock: Clock,
}

/// The thread that ticks.
#[derive(Debug)]
pub struct Ticking {
    stop: mpsc::Sender<()>,
    thread: JoinHandle<()>,
}

/// Time since 1970 that never goes back while the program runs.
#[derive(Clone, Copy, Debug)]
struct Clock {
    origin: Duration,
    begun: Instant,
}

impl Tuning {
    /// Puts the tuner together, brings back what it had decided, and starts its thread.
    pub fn start(config: &Config, parts: &Parts<'_>) -> Result<(Self, Ticking)> {
        let Parts { providers, workers, rhythm, state, registry } = *parts;
        let sampler = Sampler::new(providers, workers);
        let tuned = with_defaults(config.tuning.clone())?;
        let (enabled, interval) = (tuned.enabled, tuned.interval);
        let driver = knobs::knobs(Driver::builder(tuned), config, providers, workers, rhythm);
        let driver = driver.action("memory.release", || {
            // Nothing to give back is no failure.
            let _ = tidemill_host::release_memory();
            Ok(())
        });
        let mut driver = sampler.signals(driver).build().context("[tuning]")?;
        let journal = Journal::open(&state.join("tuning.jsonl"));
        let clock = Clock::start();
        if enabled {
            driver.restore(clock.now(), journal.records());
        } else {
            // Switched off, the configuration's values count; the numbers go on all the same.
            let known: Vec<Record> = journal.records().map(without_values).collect();
            driver.restore(clock.now(), &known);
        }
        let counts = Counts::new(registry, driver.tuner())?;
        counts.show(driver.tuner(), enabled);
        let inner = Inner { driver, sampler, journal, counts, enabled, clock };
        let tuning = Self(Arc::new(Mutex::new(inner)));
        let (stop, stopped) = mpsc::channel::<()>();
        let ticking = tuning.clone();
        let thread = std::thread::Builder::new().name("tuner".into()).spawn(move || {
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(interval) {
                ticking.tick();
            }
            ticking.lock().journal.flush();
        });
        let thread = thread.context("cannot start the tuner's thread")?;
        Ok((tuning, Ticking { stop, thread }))
    }

    /// Sets knobs by hand: all of them or, when one cannot be set, none.
    ///
    /// # Errors
    /// As [`Driver::set`].
    pub fn set(&self, wanted: &BTreeMap<String, f64>) -> Result<(), Error> {
        let mut inner = self.lock();
        let before: Vec<(String, f64)> = inner.values(wanted.keys());
        let now = inner.clock.now();
        let done = wanted.iter().try_for_each(|(knob, value)| inner.driver.set(now, knob, *value));
        if done.is_err() {
            for (knob, value) in before {
                // What was not reached yet has its value still.
                if inner.driver.tuner().value(&knob) != Some(value) {
                    inner.driver.set(now, &knob, value).ok();
                }
            }
        }
        inner.keep_records(now);
        done
    }

    /// Ends a trial by hand; the old value is back.
    ///
    /// # Errors
    /// `Unknown`.
    pub fn end_trial(&self, trial: u64) -> Result<(), Error> {
        let mut inner = self.lock();
        let now = inner.clock.now();
        let ended = inner.driver.abort(now, trial);
        inner.keep_records(now);
        ended
    }

    /// Switches decisions on or off, until the program ends.
    pub fn switch(&self, enabled: bool) {
        let mut inner = self.lock();
        let now = inner.clock.now();
        inner.driver.enable(now, enabled);
        inner.enabled = enabled;
        inner.keep_records(now);
    }

    fn tick(&self) {
        let mut inner = self.lock();
        let now = inner.clock.now();
        inner.sampler.sample(now);
        let failed = inner.driver.failures().0;
        inner.driver.tick(now);
        if let (failures, Some(error)) = inner.driver.failures()
            && failures > failed
        {
            tracing::warn!(%error, "a setting was not taken");
        }
        inner.keep_records(now);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn keep_records(&mut self, now: Duration) {
        let records = self.driver.take_records();
        for record in &records {
            match record.decision {
                Decision::Undone { .. } | Decision::EmergencyBegan { .. } => {
                    tracing::warn!("{}", record.words())
                }
                Decision::Changed { ref by, .. } if by.ends_with(" controller") => {
                    tracing::debug!("{}", record.words())
                }
                _ => tracing::info!("{}", record.words()),
            }
        }
        self.counts.count(&records);
        self.counts.show(self.driver.tuner(), self.enabled);
        self.journal.append(now, records);
    }

    fn values<'a>(&self, knobs: impl Iterator<Item = &'a String>) -> Vec<(String, f64)> {
        let value = |knob: &String| Some((knob.clone(), self.driver.tuner().value(knob)?));
        knobs.filter_map(value).collect()
    }
}

impl Ticking {
    /// Ends the thread after the tick it is in.
    pub fn close(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            tracing::warn!("the tuner had panicked; settings stayed what they were");
        }
    }
}

impl Clock {
    fn start() -> Self {
        let origin = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { origin, begun: Instant::now() }
    }

    fn now(&self) -> Duration {
        self.origin + self.begun.elapsed()
    }
}

/// Checks rules, guards and bounds without a program around them.
///
/// # Errors
/// The first fault, in words.
pub fn check(config: &Tuned) -> Result<(), Error> {
    Tuner::builder(config.clone()).build().map(drop)
}

/// A refusal is harm, and what is an emergency here, where the configuration says nothing of either.
fn with_defaults(mut config: Tuned) -> Result<Tuned> {
    if !config.guard.iter().any(|guard| guard.signal == "refused") {
        config.guard.push(Guard { signal: "refused".into(), above: Some(0.0), ratio: None, steps: 1 });
    }
    if config.bad.is_none() {
        config.bad = Some(BAD.parse()?);
    }
    Ok(config)
}

/// The record without what it changed.
fn without_values(record: &Record) -> Record {
    let mut record = record.clone();
    match &mut record.decision {
        Decision::Changed { turns, .. }
        | Decision::TrialBegan { turns, .. }
        | Decision::TrialEnded { turns, .. }
        | Decision::Undone { turns, .. }
        | Decision::Restored { turns, .. } => turns.clear(),
        _ => {}
    }
    record
}
