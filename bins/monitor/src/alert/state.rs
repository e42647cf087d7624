//! One file that holds what must survive: alerts, silences, history and what is still to be told.
//!
//! It is written whole beside itself, synced, and renamed over the old one, so it is the state before or after a step and never
//! between. ADR 0036 says why it is no journal.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::active::{Alert, Event, fingerprint};
use super::baseline::Baseline;
use super::engine::{Engine, resolved};
use super::matcher::Labels;
use super::outbox::Outbox;
use super::silence::Silence;
use super::standing::{Key, Standing};

/// What this build writes and reads.
const VERSION: u32 = 1;

/// Bytes of a state file that are read at most.
const MAX_BYTES: u64 = 256 << 20;

/// What is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    version: u32,
    /// Of this folder of data: keys of notifications begin with it.
    pub identity: String,
    seq: u64,
    silences: Vec<Silence>,
    history: Vec<Event>,
    standing: Vec<Stood>,
    /// What is still to be told.
    pub outbox: Outbox,
}

/// A series and a rule, as they stood.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Stood {
    rule: String,
    target: String,
    labels: Labels,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fired_ms: Option<i64>,
    #[serde(default)]
    baseline: Baseline,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    alert: Option<Alert>,
}

impl State {
    /// Of a monitor that never ran; `seed` tells it from others.
    #[must_use]
    pub fn new(seed: &str) -> Self {
        Self {
            version: VERSION,
            identity: fingerprint([seed]),
            seq: 0,
            silences: Vec::new(),
            history: Vec::new(),
            standing: Vec::new(),
            outbox: Outbox::default(),
        }
    }

    /// What an engine and an outbox hold.
    #[must_use]
    pub fn of(identity: &str, engine: &Engine, outbox: &Outbox) -> Self {
        let stood = engine.standing.iter().filter_map(|(key, standing)| {
            let rule = &engine.rules[key.rule];
            let learnt = standing.baseline.count > 0;
            (standing.alert.is_some() || standing.fired_ms.is_some() || learnt).then(|| Stood {
                rule: rule.name.clone(),
                target: key.target.to_string(),
                labels: key.labels.clone(),
                fired_ms: standing.fired_ms,
                baseline: standing.baseline,
                alert: standing.alert.clone(),
            })
        });
        Self {
            version: VERSION,
            identity: identity.to_owned(),
            seq: engine.seq,
            silences: engine.silences.clone(),
            history: engine.history.iter().cloned().collect(),
            standing: stood.collect(),
            outbox: outbox.clone(),
        }
    }

    /// Gives an engine its memory back. An alert whose rule is gone is over: the events say so.
    pub fn restore(&self, now_ms: i64, engine: &mut Engine) -> Vec<Event> {
        engine.seq = engine.seq.max(self.seq);
        engine.silences = self.silences.clone();
        let skip = self.history.len().saturating_sub(engine.config.history);
        engine.history = self.history[skip..].iter().cloned().collect();
        let mut events = Vec::new();
        for stood in &self.standing {
            let Some(at) = engine.rules.iter().position(|rule| rule.name == stood.rule) else {
                events.extend(
                    stood.alert.clone().map(|alert| resolved(now_ms, alert, Some("its rule is gone"))),
                );
                continue;
            };
            let key =
                Key { rule: at, target: Arc::from(stood.target.as_str()), labels: stood.labels.clone() };
            if let Some(alert) = &stood.alert {
                if alert.told_ms.is_none() {
                    engine.untold.insert(alert.id.clone());
                }
                engine.active.insert(alert.id.clone(), key.clone());
            }
            let standing = Standing::restored(now_ms, stood.fired_ms, stood.baseline, stood.alert.clone());
            engine.standing.insert(key, standing);
        }
        engine.keep(events)
    }
}

/// Where it is stored.
#[derive(Clone, Debug)]
pub(super) struct Place {
    file: PathBuf,
}

impl Place {
    /// In this folder.
    pub(super) fn new(folder: &Path) -> Self {
        Self { file: folder.join("alerts.json") }
    }

    /// What was stored; none at the first start.
    ///
    /// # Errors
    /// It cannot be read, or is of a newer version, or damaged.
    pub(super) fn read(&self) -> Result<Option<State>, String> {
        let place = self.file.display();
        let bytes = match std::fs::metadata(&self.file).map(|file| file.len()) {
            Ok(bytes) if bytes > MAX_BYTES => {
                return Err(format!("{place}: {bytes} bytes are too many for a state"));
            }
            Ok(_) => std::fs::read(&self.file).map_err(|error| format!("{place}: {error}"))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(format!("{place}: {error}")),
        };
        let state: State = serde_json::from_slice(&bytes)
            .map_err(|error| format!("{place}: {error}; move it away to begin without it"))?;
        if state.version != VERSION {
            return Err(format!(
                "{place}: version {}, this build knows {VERSION}; use a newer one",
                state.version
            ));
        }
        Ok(Some(state))
    }

    /// Stores it; when this returns it survives a power cut.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn write(&self, state: &State) -> std::io::Result<()> {
        let folder = self.file.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder)?;
        let beside = self.file.with_extension("json.new");
        let mut file = File::create(&beside)?;
        file.write_all(&serde_json::to_vec(state)?)?;
        file.sync_all()?;
        std::fs::rename(&beside, &self.file)?;
        File::open(folder)?.sync_all()
    }
}
