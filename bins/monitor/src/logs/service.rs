//! The shell: looks at every file each second, and tells what it counted as a round of the target `logs`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::config::{Config, Start};
use super::entry::Entry;
use super::follow::{Follower, Position};
use super::level::Level;
use super::miner::{Cluster, Miner};
use super::pattern::Patterns;
use super::rate::Rates;
use super::search::{Found, Query};
use super::store::Store;
use crate::series::{Kind, Reading, Round, Series};
use crate::state;

/// The target under which logs are counted.
const TARGET: &str = "logs";

/// Looks between two stores of what is known.
const SAVE_EVERY: u64 = 10;

/// How long a new kind of line is shown as new, and how far back the worst are counted.
const RECENT_MS: i64 = 3_600_000;

/// Clusters shown at most.
const SHOWN: usize = 100;

/// Logs that are read. Dropped, it stops; what was read since the last store is read again.
#[derive(Debug)]
pub struct Logs {
    handle: Handle,
    task: JoinHandle<()>,
}

/// The way to logs that are read. Clones share it.
#[derive(Clone, Debug)]
pub struct Handle(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    config: Config,
    followers: Vec<(Arc<str>, Follower, Option<String>)>,
    store: Store,
    miner: Miner,
    patterns: Patterns,
    rates: Rates,
    per_source: BTreeMap<Arc<str>, [u64; Level::ALL.len()]>,
    new_kinds: u64,
    failures: u64,
    began_ms: i64,
    file: PathBuf,
    looks: u64,
}

/// What is known after a restart.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Saved {
    began_ms: i64,
    positions: BTreeMap<String, Position>,
    clusters: Vec<Cluster>,
}

impl Handle {
    /// Opens what is kept below `data`, and begins to follow the sources.
    ///
    /// # Errors
    /// The configuration, or a folder that cannot be read.
    pub fn open(config: Config, data: &std::path::Path, now_ms: i64) -> Result<Self, String> {
        config.validate()?;
        let file = state::folder(data).join("logs.json");
        let known: Option<Saved> = state::read(&file).map_err(|error| format!("{error:#}"))?;
        let known = known.unwrap_or_else(|| Saved { began_ms: now_ms, ..Saved::default() });
        let folder = data.join("logs");
        let store =
            Store::open(Some(&folder), &config).map_err(|error| format!("{}: {error}", folder.display()))?;
        let mut miner = Miner::new(config.max_clusters);
        miner.restore(known.clusters);
        let follower = |source: &super::Source| {
            let at = known.positions.get(&source.name).copied();
            let follower = Follower::new(&source.path, config.max_line, at, source.from == Start::End);
            (Arc::from(source.name.as_str()), follower, None)
        };
        let followers = config.source.iter().map(follower).collect();
        let patterns = Patterns::new(&config.pattern)?;
        let inner = Inner {
            followers,
            store,
            miner,
            patterns,
            rates: Rates::default(),
            per_source: config
                .source
                .iter()
                .map(|source| (source.name.as_str().into(), Default::default()))
                .collect(),
            new_kinds: 0,
            failures: 0,
            began_ms: known.began_ms,
            file,
            looks: 0,
            config,
        };
        Ok(Self(Arc::new(Mutex::new(inner))))
    }

    /// Looks at every file once, and what was counted so far. Blocks on the disk.
    pub fn look(&self, now_ms: i64) -> Round {
        let mut inner = self.lock();
        let added = inner.read(now_ms);
        if let Err(error) = inner.store.add(now_ms, added) {
            inner.fail("the lines cannot be kept on disk", &error);
        }
        inner.looks += 1;
        if inner.looks.is_multiple_of(SAVE_EVERY) {
            inner.save();
        }
        inner.round(now_ms)
    }

    /// Stores how far was read. Blocks on the disk.
    pub fn save(&self) {
        self.lock().save();
    }

    /// Looks for lines. Blocks on the disk.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn search(&self, query: &Query) -> std::io::Result<Found> {
        self.lock().store.search(query)
    }

    /// What is shown at `/api/logs/summary`.
    #[must_use]
    pub fn summary(&self, now_ms: i64) -> Value {
        self.lock().summary(now_ms)
    }

    /// How often a file or the disk could not be read or written.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.lock().failures
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn read(&mut self, now_ms: i64) -> Vec<Entry> {
        let mut followers = std::mem::take(&mut self.followers);
        let learn_ms = i64::try_from(self.config.learn.as_millis()).unwrap_or(i64::MAX);
        let settled = now_ms.saturating_sub(self.began_ms) >= learn_ms;
        let mut entries = Vec::new();
        let mut seq = self.store.next();
        for (source, follower, problem) in &mut followers {
            let read = follower.poll(self.config.max_read, |line| {
                entries.push(Entry::parse(seq, now_ms, source, line));
                seq += 1;
            });
            match read {
                Ok(_) => *problem = None,
                Err(error) => {
                    if problem.is_none() {
                        self.fail("a log cannot be read", &error);
                    }
                    *problem = Some(error.to_string());
                }
            }
        }
        for entry in &entries {
            self.rates.count(now_ms, entry.level);
            if let Some(counts) = self.per_source.get_mut(&entry.source) {
                counts[entry.level as usize] += 1;
            }
            self.patterns.count(entry);
            let (_, new) = self.miner.take(entry.at_ms, entry.level, &entry.text, settled);
            self.new_kinds += u64::from(new && settled);
        }
        self.followers = followers;
        entries
    }

    fn fail(&mut self, what: &str, error: &std::io::Error) {
        self.failures += 1;
        tracing::warn!(%error, "{what}");
    }

    fn save(&mut self) {
        let position =
            |(name, follower, _): &(Arc<str>, Follower, _)| Some((name.to_string(), follower.position()?));
        let saved = Saved {
            began_ms: self.began_ms,
            positions: self.followers.iter().filter_map(position).collect(),
            clusters: self.miner.clusters().cloned().collect(),
        };
        if let Err(error) = state::write(&self.file, &saved) {
            self.failures += 1;
            tracing::warn!(error = format!("{error:#}"), "how far logs were read is not stored");
        }
    }

    fn round(&self, now_ms: i64) -> Round {
        let target: Arc<str> = TARGET.into();
        let counter = |name: &str, labels: &[(&str, &str)], value: u64| Reading {
            series: Arc::new(Series::new(&target, name, labels, Kind::Counter)),
            value: value as f64,
        };
        let mut readings = Vec::new();
        for (source, counts) in &self.per_source {
            for level in Level::ALL {
                let labels = [("level", level.name()), ("source", source)];
                readings.push(counter("log_lines_total", &labels, counts[level as usize]));
            }
        }
        for (pattern, count) in self.patterns.counts() {
            readings.push(counter("log_pattern_matches_total", &[("pattern", pattern)], count));
        }
        readings.push(counter("log_new_kinds_total", &[], self.new_kinds));
        readings.push(counter("log_failures_total", &[], self.failures));
        let cut = self.followers.iter().map(|(_, follower, _)| follower.cut()).sum();
        readings.push(counter("log_lines_cut_total", &[], cut));
        Round { target: Arc::clone(&target), at_ms: now_ms, took: Duration::ZERO, error: None, readings }
    }

    fn summary(&self, now_ms: i64) -> Value {
        let mut clusters: Vec<&Cluster> = self.miner.clusters().collect();
        clusters.sort_by_key(|cluster| std::cmp::Reverse(cluster.count));
        let recent = |cluster: &&&Cluster| now_ms - cluster.last_ms < RECENT_MS;
        let errors: Vec<&&Cluster> =
            clusters.iter().filter(|cluster| cluster.level >= Level::Error).filter(recent).take(20).collect();
        let mut new: Vec<&&Cluster> =
            clusters.iter().filter(|cluster| cluster.new && now_ms - cluster.first_ms < RECENT_MS).collect();
        new.sort_by_key(|cluster| std::cmp::Reverse(cluster.first_ms));
        new.truncate(20);
        let totals: BTreeMap<&str, u64> =
            Level::ALL.iter().map(|level| (level.name(), self.rates.total(*level))).collect();
        let sources: Vec<Value> = self
            .followers
            .iter()
            .zip(&self.config.source)
            .map(|((name, follower, problem), source)| {
                json!({
                    "name": name,
                    "path": source.path,
                    "offset": follower.position().map(|position| position.offset),
                    "error": problem,
                })
            })
            .collect();
        let (memory, disk) = self.store.bytes();
        json!({
            "at_ms": now_ms,
            "sources": sources,
            "totals": totals,
            "rates": self.rates.view(now_ms - RECENT_MS),
            "clusters": clusters.iter().take(SHOWN).collect::<Vec<_>>(),
            "top_errors": errors,
            "new": new,
            "patterns": self.patterns.counts().map(|(name, count)| json!({ "name": name, "count": count })).collect::<Vec<_>>(),
            "bytes": { "memory": memory, "disk": disk },
        })
    }
}

impl Logs {
    /// Reads from now on, and hands each round to `tell`.
    ///
    /// # Errors
    /// As [`Handle::open`].
    pub async fn start(
        config: Config,
        data: PathBuf,
        tell: impl Fn(Round) + Send + 'static,
    ) -> Result<Self, String> {
        let (interval, idle) = (config.interval, config.source.is_empty());
        let opened = tokio::task::spawn_blocking(move || Handle::open(config, &data, crate::now_ms())).await;
        let handle = opened.map_err(|error| error.to_string())??;
        let looking = handle.clone();
        let task = tokio::spawn(async move {
            // Without sources there is nothing to look at, and no target to show.
            if idle {
                return;
            }
            let mut ticks = tokio::time::interval(interval);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                let handle = looking.clone();
                match tokio::task::spawn_blocking(move || handle.look(crate::now_ms())).await {
                    Ok(round) => tell(round),
                    Err(error) => tracing::error!(%error, "looking at logs panicked"),
                }
            }
        });
        Ok(Self { handle, task })
    }

    /// The way to it.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Stops, and stores how far was read.
    pub async fn close(self) {
        self.task.abort();
        self.task.await.ok();
        let handle = self.handle;
        tokio::task::spawn_blocking(move || handle.save()).await.ok();
    }
}
