//! A dataset moves to another provider step by step: 1, 10, 50, 100 % of its symbols, one step a pass, and back at harm.
//!
//! Which symbols moved is a hash's choice, the same in every pass and after a restart. What a move has come to stands in
//! `DATA/state/rollouts.json`.

pub mod api;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use tidemill_autotune::{Phase, Rollout};

use crate::dataset::Dataset;
use crate::provider::Provider;

/// Stages of a move that names none.
const STAGES: [f64; 4] = [0.01, 0.1, 0.5, 1.0];
/// Symbols answered badly that are harm, if they are also more than [`HARM`] of those answered in the stage.
const BAD: u64 = 3;
/// The share that is harm.
const HARM: f64 = 0.05;

/// The moves under way and done, by dataset.
#[derive(Debug)]
pub struct Rollouts {
    datasets: Vec<Arc<Dataset>>,
    providers: Vec<Arc<Provider>>,
    path: PathBuf,
    moves: Mutex<BTreeMap<String, Move>>,
    /// Datasets of which providers are compared: they do not move meanwhile. Locked after `moves`.
    compared: Mutex<BTreeSet<String>>,
}

/// One dataset's move, as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Move {
    /// The provider it comes from: the configuration's.
    pub from: String,
    /// The provider it goes to.
    pub to: String,
    /// How far it is.
    pub rollout: Rollout,
    /// Symbols that the new provider answered with rows in this stage.
    pub good: u64,
    /// Symbols that it did not know, had nothing for, or failed with.
    pub bad: u64,
    /// Why it stands where it stands.
    pub why: String,
}

/// What a person wants of a move.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// The dataset.
    pub dataset: String,
    /// The provider it is to go to.
    pub to: String,
    /// Shares that rise and end at 1; default 0.01, 0.1, 0.5, 1.
    #[serde(default)]
    pub stages: Vec<f64>,
    /// Passes in each stage; default 1.
    #[serde(default = "one")]
    pub passes: u32,
}

/// What to do with a move.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Do {
    /// Stay where it is.
    Pause,
    /// Go on.
    Resume,
    /// Back to the old provider, at once.
    Abort,
}

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such dataset or provider, or it has no such bars, or the stages make no sense.
    #[error("{0}")]
    Wrong(String),
    /// Another move is under way, or this one is not.
    #[error("{0}")]
    Busy(String),
}

fn one() -> u32 {
    1
}

impl Rollouts {
    /// Reads how the moves stood. One that the configuration has caught up with, or knows nothing of, is over.
    pub fn open(state: &Path, datasets: &[Arc<Dataset>], providers: &[Arc<Provider>]) -> Self {
        let path = state.join("rollouts.json");
        let mut moves: BTreeMap<String, Move> = match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).unwrap_or_else(|error| {
                tracing::warn!(%error, path = %path.display(), "every dataset is at its configured provider");
                BTreeMap::new()
            }),
            Err(_) => BTreeMap::new(),
        };
        let is_known = |dataset: &String, moving: &Move| {
            let from = datasets.iter().find(|known| known.name == *dataset);
            let from = from.and_then(|dataset| providers.get(dataset.provider));
            from.is_some_and(|from| from.name == moving.from)
                && providers.iter().any(|provider| provider.name == moving.to)
        };
        moves.retain(|dataset, moving| is_known(dataset, moving));
        let (moves, compared) = (Mutex::new(moves), Mutex::default());
        Self { datasets: datasets.to_vec(), providers: providers.to_vec(), path, moves, compared }
    }

    /// Whom to ask for a symbol; the second is true when that is a move's doing.
    pub fn provider(&self, dataset: &Dataset, symbol: &str) -> (&Arc<Provider>, bool) {
        let configured = &self.providers[dataset.provider];
        let moves = self.lock();
        let moving = moves.get(&dataset.name).filter(|moving| moving.rollout.is_new(symbol.as_bytes()));
        let to = moving.and_then(|moving| self.providers.iter().find(|known| known.name == moving.to));
        to.map_or((configured, false), |to| (to, true))
    }

    /// A symbol that was asked for at the new provider was answered well or badly. Harm takes the dataset back at once.
    pub fn saw(&self, dataset: &str, well: bool) {
        let mut moves = self.lock();
        let Some(moving) = moves.get_mut(dataset) else { return };
        if well {
            moving.good += 1;
        } else {
            moving.bad += 1;
        }
        let all = moving.good + moving.bad;
        let harm = moving.bad >= BAD && moving.bad as f64 > HARM * all as f64;
        if harm && moving.rollout.phase() != Phase::Aborted {
            moving.rollout.step(true);
            moving.why = format!("{} of {all} symbols were answered badly", moving.bad);
            tracing::warn!(
                dataset,
                to = moving.to,
                why = moving.why,
                "the dataset is back at its old provider"
            );
            self.keep(&moves);
        }
    }

    /// A pass has ended: each move that saw something is a step further.
    pub fn end_pass(&self) {
        let mut moves = self.lock();
        let mut moved = false;
        for (dataset, moving) in &mut *moves {
            let before = (moving.rollout.share(), moving.rollout.phase());
            // What nobody was asked for has shown nothing.
            if before.1 != Phase::Running || moving.good == 0 {
                continue;
            }
            moving.rollout.step(false);
            let (share, phase) = (moving.rollout.share(), moving.rollout.phase());
            if (share, phase) != before {
                moving.why = format!("{} symbols were answered well, {} badly", moving.good, moving.bad);
                (moving.good, moving.bad) = (0, 0);
                tracing::info!(
                    dataset,
                    to = moving.to,
                    share,
                    ?phase,
                    why = moving.why,
                    "a step of the move"
                );
            }
            moved = true;
        }
        if moved {
            self.keep(&moves);
        }
    }

    /// Begins a move.
    ///
    /// # Errors
    /// Names what is not there; `Busy` while the dataset moves already.
    pub fn begin(&self, wanted: &Wanted) -> Result<(), Error> {
        let wrong = |why: String| Err(Error::Wrong(why));
        let Some(dataset) = self.datasets.iter().find(|dataset| dataset.name == wanted.dataset) else {
            return wrong(format!("there is no dataset {:?}", wanted.dataset));
        };
        let Some(to) = self.providers.iter().find(|provider| provider.name == wanted.to) else {
            return wrong(format!("there is no provider {:?}", wanted.to));
        };
        let from = &self.providers[dataset.provider];
        if from.name == to.name || !to.supports(dataset.interval) {
            return wrong(format!("{:?} is its provider already, or has no such bars", to.name));
        }
        let stages = if wanted.stages.is_empty() { &STAGES[..] } else { &wanted.stages };
        // The same symbols move first each time, so that who was harmed once is looked at first.
        let version = format!("{} at {}", dataset.name, to.name);
        let rollout = Rollout::new(&version, stages, wanted.passes, 0);
        let rollout = rollout.map_err(|error| Error::Wrong(error.to_string()))?;
        let mut moves = self.lock();
        if let Some(moving) = moves.get(&dataset.name)
            && matches!(moving.rollout.phase(), Phase::Running | Phase::Paused)
        {
            return Err(Error::Busy(format!("{} moves to {}: abort that", dataset.name, moving.to)));
        }
        if self.compared().contains(&dataset.name) {
            return Err(Error::Busy(format!("providers of {} are compared: end that", dataset.name)));
        }
        let (from, to, why) = (from.name.clone(), to.name.clone(), "a person began it".to_owned());
        tracing::info!(dataset = dataset.name, from, to, "a move begins");
        moves.insert(dataset.name.clone(), Move { from, to, rollout, good: 0, bad: 0, why });
        self.keep(&moves);
        Ok(())
    }

    /// Pauses, resumes or aborts a move.
    ///
    /// # Errors
    /// Names what is not there; `Busy` when it is not in a phase for that.
    pub fn act(&self, dataset: &str, what: Do) -> Result<(), Error> {
        let mut moves = self.lock();
        let Some(moving) = moves.get_mut(dataset) else {
            return Err(Error::Wrong(format!("nothing moves {dataset:?}")));
        };
        let (done, why) = match what {
            Do::Pause => (moving.rollout.pause(), "a person paused it"),
            Do::Resume => (moving.rollout.resume(), "a person resumed it"),
            Do::Abort => {
                moving.rollout.abort();
                (Ok(()), "a person aborted it")
            }
        };
        done.map_err(|error| Error::Busy(error.to_string()))?;
        why.clone_into(&mut moving.why);
        self.keep(&moves);
        Ok(())
    }

    /// Keeps a dataset where it is while providers are compared.
    ///
    /// # Errors
    /// `Busy` when it moves, or has moved.
    pub fn hold(&self, dataset: &str) -> Result<(), Error> {
        let moves = self.lock();
        if let Some(moving) = moves.get(dataset).filter(|moving| moving.rollout.phase() != Phase::Aborted) {
            let why = format!("{dataset} moves or has moved to {}: abort that, or configure it", moving.to);
            return Err(Error::Busy(why));
        }
        self.compared().insert(dataset.to_owned());
        Ok(())
    }

    /// It may move again.
    pub fn release(&self, dataset: &str) {
        self.compared().remove(dataset);
    }

    fn compared(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.compared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, moves: &BTreeMap<String, Move>) {
        let write = || -> Result<()> {
            let next = self.path.with_extension("json.next");
            std::fs::write(&next, serde_json::to_vec_pretty(moves)?)?;
            std::fs::rename(&next, &self.path).context("cannot replace it")
        };
        if let Err(error) = write() {
            let error = format!("{error:#}");
            tracing::warn!(error, path = %self.path.display(), "a restart will not know how the moves stand");
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Move>> {
        self.moves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
