//! Providers of a dataset beside each other: in each pass a hash gives every symbol to one of them, and what they answer is
//! judged on several metrics at once, with one promise over all of it.
//!
//! Each pass draws anew, so that no provider is judged by the symbols it happened to get. What was seen stands in
//! `DATA/state/experiments.json`; a restart loses the pass it fell into and nothing else.

pub mod api;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use tidemill_autotune::{Experiment, Objective};

use crate::dataset::Dataset;
use crate::provider::Provider;
use crate::rollouts::{Error, Rollouts};

/// What can be measured of an answer.
const METRICS: [&str; 3] = ["response_ms", "well", "rows"];
/// Variants beside the configured provider.
const MAX_VARIANTS: usize = 7;
/// Pairs an experiment may take.
const MAX_PAIRS: usize = 2000;
/// How much longer than the mean it may take before it ends without a verdict.
const PATIENCE: f64 = 2.0;
/// Symbols that a variant answered badly which are harm, if they are also more than [`HARM`] of its own.
const BAD: u64 = 3;
/// The share beyond the control's own that is harm.
const HARM: f64 = 0.05;

/// The experiments under way and ended, by dataset.
#[derive(Debug)]
pub struct Experiments {
    datasets: Vec<Arc<Dataset>>,
    providers: Vec<Arc<Provider>>,
    rollouts: Arc<Rollouts>,
    path: PathBuf,
    compared: Mutex<BTreeMap<String, Compared>>,
    writing: Mutex<()>,
}

/// One dataset's experiment, as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compared {
    /// Its arms are providers by name, the configured one first.
    pub experiment: Experiment,
    /// Pairs a comparison needs on average, told before the start.
    pub estimate: f64,
    /// Pairs after which it ends in any case.
    pub max_pairs: usize,
    /// Which of its passes this is.
    pub pass: u64,
    /// How it stands.
    pub phase: Phase,
    /// Symbols answered well and badly, by arm.
    pub answers: Vec<(u64, u64)>,
    /// Why it stands where it stands.
    pub why: String,
    /// Tells it from the one before.
    id: u64,
}

/// How an experiment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Symbols are shared out.
    Running,
    /// Every comparison has its verdict.
    Decided,
    /// It has taken all its pairs, and some comparison has none.
    Undecided,
    /// A variant answered too badly to go on.
    Harmful,
    /// A person ended it.
    Ended,
}

/// What a person wants to know.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// The dataset.
    pub dataset: String,
    /// Providers beside the configured one.
    pub variants: Vec<String>,
    /// What better means; default `response_ms lower`, `well higher`.
    #[serde(default)]
    pub metrics: Vec<Objective>,
    /// The chance of any wrong verdict; default 0.05.
    #[serde(default = "alpha")]
    pub alpha: f64,
    /// The effect that is to be seen, in standard deviations of the difference of two answers; default 0.5.
    #[serde(default = "effect")]
    pub effect: f64,
    /// Only tell what it would take.
    #[serde(default)]
    pub dry_run: bool,
}

/// What an experiment will take, told before it begins.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Estimate {
    /// Variants times metrics; each has its share of `alpha`.
    pub comparisons: usize,
    /// Pairs a comparison takes on average to see the effect.
    pub pairs: f64,
    /// Requests of all arms for them.
    pub requests: u64,
    /// Passes over all of the dataset for them.
    pub passes: u64,
    /// Pairs after which it ends without a verdict.
    pub max_pairs: usize,
}

/// An answer as the experiment sees it.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// Whether the provider gave what it was asked for.
    pub well: bool,
    /// Of an answer that could be read: how long it took, and its rows.
    pub answer: Option<(Duration, u64)>,
}

fn alpha() -> f64 {
    0.05
}

fn effect() -> f64 {
    0.5
}

impl Experiments {
    /// Reads how the experiments stood. One that the configuration knows nothing of any more is over.
    pub fn open(
        state: &Path,
        datasets: &[Arc<Dataset>],
        providers: &[Arc<Provider>],
        rollouts: &Arc<Rollouts>,
    ) -> Self {
        let path = state.join("experiments.json");
        let mut compared: BTreeMap<String, Compared> = match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).unwrap_or_else(|error| {
                tracing::warn!(%error, path = %path.display(), "no provider is compared");
                BTreeMap::new()
            }),
            Err(_) => BTreeMap::new(),
        };
        compared.retain(|dataset, one| {
            let known = datasets.iter().find(|known| known.name == *dataset);
            let control = known.and_then(|dataset| providers.get(dataset.provider));
            let arms = one.experiment.arms();
            let is_known = |arm: &String| providers.iter().any(|provider| provider.name == *arm);
            one.answers.len() == arms.len()
                && control.is_some_and(|control| control.name == arms[0])
                && arms.iter().all(is_known)
        });
        for (dataset, one) in compared.iter_mut().filter(|(_, one)| one.phase == Phase::Running) {
            if let Err(error) = rollouts.hold(dataset) {
                (one.phase, one.why) = (Phase::Ended, error.to_string());
            }
        }
        let (datasets, providers, rollouts) = (datasets.to_vec(), providers.to_vec(), Arc::clone(rollouts));
        let (compared, writing) = (Mutex::new(compared), Mutex::default());
        Self { datasets, providers, rollouts, path, compared, writing }
    }

    /// Whom to ask for a symbol in this pass, and of which experiment that is.
    pub fn provider(&self, dataset: &Dataset, symbol: &str) -> Option<(Arc<Provider>, u64)> {
        let compared = self.lock();
        let one = compared.get(&dataset.name).filter(|one| one.phase == Phase::Running)?;
        let arm = one.experiment.arm(one.unit(symbol).as_bytes());
        let provider = self.providers.iter().find(|provider| provider.name == *arm)?;
        Some((Arc::clone(provider), one.id))
    }

    /// A symbol that the experiment `id` gave away was answered. Harm ends it at once.
    pub fn saw(&self, dataset: &str, symbol: &str, id: u64, seen: Seen) {
        let mut compared = self.lock();
        let running = |one: &&mut Compared| one.phase == Phase::Running && one.id == id;
        let Some(one) = compared.get_mut(dataset).filter(running) else { return };
        one.saw(symbol, seen);
        if let Some(why) = one.harm() {
            tracing::warn!(dataset, why, "the comparison ends");
            (one.phase, one.why) = (Phase::Harmful, why);
            self.rollouts.release(dataset);
        }
    }

    /// A pass has ended: the next one draws anew, and what has its verdicts is over.
    pub fn end_pass(&self) {
        let mut compared = self.lock();
        for (dataset, one) in compared.iter_mut().filter(|(_, one)| one.phase == Phase::Running) {
            one.pass += 1;
            let pairs = one.experiment.pairs();
            if one.experiment.is_decided() {
                (one.phase, one.why) =
                    (Phase::Decided, format!("every comparison is decided, {pairs} pairs"));
            } else if pairs >= one.max_pairs {
                let why = format!("{pairs} pairs, and not every comparison is decided");
                (one.phase, one.why) = (Phase::Undecided, why);
            } else {
                continue;
            }
            tracing::info!(dataset, why = one.why, "the comparison ends");
            self.rollouts.release(dataset);
        }
        let any = !compared.is_empty();
        drop(compared);
        if any {
            self.keep();
        }
    }

    /// What an experiment would take, and unless it is a dry run, begins it.
    ///
    /// # Errors
    /// Names what is not there, or an effect that is too small to be seen; `Busy` while the dataset moves or is compared.
    pub fn begin(&self, wanted: &Wanted) -> Result<Estimate, Error> {
        let wrong = |why: String| Err(Error::Wrong(why));
        let Some(dataset) = self.datasets.iter().find(|dataset| dataset.name == wanted.dataset) else {
            return wrong(format!("there is no dataset {:?}", wanted.dataset));
        };
        let mut arms = vec![self.providers[dataset.provider].name.as_str()];
        if wanted.variants.is_empty() || wanted.variants.len() > MAX_VARIANTS {
            return wrong(format!("name 1 to {MAX_VARIANTS} variants: providers beside {}", arms[0]));
        }
        for name in &wanted.variants {
            let Some(variant) = self.providers.iter().find(|provider| provider.name == *name) else {
                return wrong(format!("there is no provider {name:?}"));
            };
            if arms.contains(&name.as_str()) || !variant.supports(dataset.interval) {
                return wrong(format!("{name:?} is an arm already, or has no such bars"));
            }
            arms.push(name);
        }
        let metrics = metrics(&wanted.metrics)?;
        if !(wanted.alpha > 0.0 && wanted.alpha <= 0.5 && (0.05..=100.0).contains(&wanted.effect)) {
            return wrong("alpha lies above 0 and up to 0.5, effect within 0.05 and 100".to_owned());
        }
        let comparisons = wanted.variants.len() * metrics.len();
        let id = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as u64;
        let experiment = Experiment::new(&arms, metrics, wanted.alpha, id);
        let experiment = experiment.map_err(|error| Error::Wrong(error.to_string()))?;
        let Some(pairs) = experiment.pairs_needed(wanted.effect, MAX_PAIRS, 0) else {
            return wrong(format!(
                "an effect of {} is not seen within {MAX_PAIRS} pairs by {comparisons} comparisons: \
                 ask for a larger one, or compare less",
                wanted.effect
            ));
        };
        let max_pairs = ((pairs * PATIENCE).ceil() as usize).clamp(10, MAX_PAIRS);
        let requests = (pairs * arms.len() as f64).ceil() as u64;
        let passes = requests.div_ceil((dataset.symbols.len() as u64).max(1));
        let estimate = Estimate { comparisons, pairs, requests, passes, max_pairs };
        if wanted.dry_run {
            return Ok(estimate);
        }
        let mut compared = self.lock();
        if compared.get(&dataset.name).is_some_and(|one| one.phase == Phase::Running) {
            return Err(Error::Busy(format!("providers of {} are compared: end that", dataset.name)));
        }
        self.rollouts.hold(&dataset.name)?;
        let (answers, why) = (vec![(0, 0); arms.len()], "a person began it".to_owned());
        tracing::info!(dataset = dataset.name, ?arms, "a comparison begins");
        let (estimated, phase) = (estimate.pairs, Phase::Running);
        let one = Compared { experiment, estimate: estimated, max_pairs, pass: 0, phase, answers, why, id };
        compared.insert(dataset.name.clone(), one);
        drop(compared);
        self.keep();
        Ok(estimate)
    }

    /// Ends an experiment; every symbol is its configured provider's again.
    ///
    /// # Errors
    /// Names what is not there; `Busy` when it has ended already.
    pub fn end(&self, dataset: &str) -> Result<(), Error> {
        let mut compared = self.lock();
        let Some(one) = compared.get_mut(dataset) else {
            return Err(Error::Wrong(format!("nothing is compared for {dataset:?}")));
        };
        if one.phase != Phase::Running {
            return Err(Error::Busy(format!("the comparison of {dataset} has ended: {}", one.why)));
        }
        (one.phase, one.why) = (Phase::Ended, "a person ended it".to_owned());
        self.rollouts.release(dataset);
        drop(compared);
        self.keep();
        Ok(())
    }

    /// The newest state is written, whoever asks last; the collection does not wait for it.
    fn keep(&self) {
        let _one_at_a_time = self.writing.lock();
        let compared = self.lock().clone();
        let write = || -> Result<()> {
            let next = self.path.with_extension("json.next");
            std::fs::write(&next, serde_json::to_vec(&compared)?)?;
            std::fs::rename(&next, &self.path).context("cannot replace it")
        };
        if let Err(error) = write() {
            let error = format!("{error:#}");
            tracing::warn!(error, path = %self.path.display(), "a restart will not know what was compared");
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Compared>> {
        self.compared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Compared {
    /// What is drawn: the symbol in this pass.
    fn unit(&self, symbol: &str) -> String {
        format!("{symbol}#{}", self.pass)
    }

    fn saw(&mut self, symbol: &str, seen: Seen) {
        let unit = self.unit(symbol);
        let arm = self.experiment.arm(unit.as_bytes());
        if let Some(at) = self.experiment.arms().iter().position(|name| name == arm) {
            let (well, badly) = &mut self.answers[at];
            *(if seen.well { well } else { badly }) += 1;
        }
        let (ms, rows) =
            seen.answer.map_or((f64::NAN, f64::NAN), |(took, rows)| (took.as_secs_f64() * 1e3, rows as f64));
        for (metric, value) in METRICS.iter().zip([ms, f64::from(u8::from(seen.well)), rows]) {
            // What is no number, or is not measured here, counts for nothing.
            self.experiment.observe(unit.as_bytes(), metric, value).ok();
        }
    }

    fn harm(&self) -> Option<String> {
        let share = |(well, badly): (u64, u64)| badly as f64 / (well + badly).max(1) as f64;
        let bar = share(*self.answers.first()?) + HARM;
        let harmful = |(_, answers): &(&String, &(u64, u64))| answers.1 >= BAD && share(**answers) > bar;
        let (arm, (well, badly)) = self.experiment.arms().iter().zip(&self.answers).skip(1).find(harmful)?;
        Some(format!("{arm} answered {badly} of {} symbols badly", well + badly))
    }
}

fn metrics(wanted: &[Objective]) -> Result<Vec<Objective>, Error> {
    let higher = |signal: &str, higher| Objective { signal: signal.to_owned(), higher };
    if wanted.is_empty() {
        return Ok(vec![higher("response_ms", false), higher("well", true)]);
    }
    for (at, metric) in wanted.iter().enumerate() {
        let again = wanted[..at].iter().any(|one| one.signal == metric.signal);
        if again || !METRICS.contains(&metric.signal.as_str()) {
            let why = format!("metric {metric}: name each once of {}", METRICS.join(", "));
            return Err(Error::Wrong(why));
        }
    }
    Ok(wanted.to_vec())
}
