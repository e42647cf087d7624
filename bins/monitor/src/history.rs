//! What was: the last values and a day of minutes of each series in memory, all of it on the disk.
//!
//! Rounds are taken at once; rows go to the disk by one thread, which is never waited for. Reads of what memory still
//! holds touch no disk.

mod config;
mod disk;
mod export;
mod load;
mod query;
pub mod ring;
pub mod tier;
pub mod track;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

pub use config::Config;
pub use disk::Writing;
pub use export::file_name;
pub(crate) use export::stamp;
pub use query::{Answer, Answered, Question};
pub use tier::Tier;

use crate::series::{BySeries, Kind, Reading, Round, Series};
use disk::{Disk, Rows};
use tier::Row;
use track::{Closed, Span, Track};

/// How long a series may be silent before another may take its place.
const SILENT_MS: i64 = 600_000;

/// The past. Clones share it.
#[derive(Clone, Debug)]
pub struct History {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: Config,
    tracks: Mutex<Tracks>,
    disk: Disk,
    counted: Counted,
}

#[derive(Debug, Default)]
struct Tracks {
    places: BySeries<usize>,
    all: Vec<(Arc<Series>, Track)>,
    /// From when on a new series is whole: values and minutes.
    since: (i64, i64),
}

#[derive(Debug, Default)]
struct Counted {
    values: AtomicU64,
    late: AtomicU64,
    refused: AtomicU64,
    dropped: AtomicU64,
}

/// What history counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Series in memory now.
    pub series: usize,
    /// Values taken.
    pub values: u64,
    /// Values left out because they were not later than the last of their series.
    pub late: u64,
    /// Values left out because there was no room for their series.
    pub refused: u64,
    /// Rounds that did not reach the disk because it fell behind; memory has them.
    pub dropped: u64,
    /// Commits that failed; the log says why.
    pub failed: u64,
}

impl History {
    /// Opens what is kept below `data` and takes the last of it back into memory. `span` is the time that the values of a
    /// ring cover.
    ///
    /// # Errors
    /// A folder that cannot be opened, or that another monitor has.
    pub fn open(data: &Path, config: Config, span: Duration, now_ms: i64) -> Result<(Self, Writing)> {
        let dir = folder(data);
        let (disk, writing) = Disk::start(&dir, &config)?;
        let mut tracks = Tracks::default();
        let rows = load::load(&disk, &config, &mut tracks, span, now_ms)?;
        let shared = Shared { config, tracks: Mutex::new(tracks), disk, counted: Counted::default() };
        let history = Self { shared: Arc::new(shared) };
        // Minutes that ended while nobody ran, or that a kill kept from the disk.
        history.send(rows);
        Ok((history, writing))
    }

    /// Takes a round, and whether its target answered as the series `up`.
    pub fn take(&self, round: &Round) {
        let own = |name: &str, value: f64| Reading {
            series: Arc::new(Series::new(&round.target, name, &[], Kind::Gauge)),
            value,
        };
        let up = own("up", if round.is_up() { 1.0 } else { 0.0 });
        let took = own("scrape_duration_seconds", round.took.as_secs_f64());
        let mut rows = Rows::default();
        rows.raw.reserve(round.readings.len() + 2);
        let mut tracks = self.tracks();
        for reading in round.readings.iter().chain([&up, &took]) {
            match tracks.take(reading, round.at_ms, &self.shared.config) {
                Taken::Kept(closed) => {
                    let value = Span {
                        start_ms: round.at_ms,
                        min: reading.value,
                        max: reading.value,
                        mean: reading.value,
                    };
                    rows.raw.push(Row { series: Arc::clone(&reading.series), span: value });
                    rows.add(&reading.series, closed);
                }
                Taken::Late => _ = self.shared.counted.late.fetch_add(1, Relaxed),
                Taken::Refused => _ = self.shared.counted.refused.fetch_add(1, Relaxed),
            }
        }
        drop(tracks);
        self.shared.counted.values.fetch_add(rows.raw.len() as u64, Relaxed);
        self.send(rows);
    }

    /// The last value of a series and when it was told; of a counter the total.
    #[must_use]
    pub fn last(&self, series: &Series) -> Option<(i64, f64)> {
        let tracks = self.tracks();
        tracks.all[*tracks.places.get(series)?].1.last()
    }

    /// What was counted.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let counted = &self.shared.counted;
        Stats {
            series: self.tracks().all.len(),
            values: counted.values.load(Relaxed),
            late: counted.late.load(Relaxed),
            refused: counted.refused.load(Relaxed),
            dropped: counted.dropped.load(Relaxed),
            failed: self.shared.disk.failed(),
        }
    }

    /// Makes everything taken visible to readers of the files. Blocks.
    ///
    /// # Errors
    /// What the disk said.
    pub fn publish(&self) -> Result<()> {
        self.shared.disk.publish()
    }

    fn send(&self, rows: Rows) {
        if !rows.is_empty() && !self.shared.disk.send(rows) {
            self.shared.counted.dropped.fetch_add(1, Relaxed);
        }
    }

    fn tracks(&self) -> MutexGuard<'_, Tracks> {
        self.shared.tracks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where history stands below the data folder.
#[must_use]
pub fn folder(data: &Path) -> PathBuf {
    data.join("history")
}

enum Taken {
    Kept(Closed),
    Late,
    Refused,
}

impl Tracks {
    fn take(&mut self, reading: &Reading, at_ms: i64, config: &Config) -> Taken {
        let place = match self.places.get(&reading.series) {
            Some(place) => *place,
            None => match self.place(&reading.series, at_ms, config) {
                Some(place) => place,
                None => return Taken::Refused,
            },
        };
        match self.all[place].1.push(at_ms, reading.value) {
            Some(closed) => Taken::Kept(closed),
            None => Taken::Late,
        }
    }

    /// A place for a new series: a fresh one, or that of the one that was silent for longest.
    fn place(&mut self, series: &Arc<Series>, at_ms: i64, config: &Config) -> Option<usize> {
        let track = Track::new(series.kind, config.values, config.minutes, self.since);
        if self.all.len() < config.max_series {
            self.all.push((Arc::clone(series), track));
            self.places.insert(Arc::clone(series), self.all.len() - 1);
            return Some(self.all.len() - 1);
        }
        let silent = |(_, track): &(Arc<Series>, Track)| track.last().map_or(i64::MIN, |(at, _)| at);
        let place = (0..self.all.len()).min_by_key(|at| silent(&self.all[*at]))?;
        if silent(&self.all[place]) > at_ms - SILENT_MS {
            return None;
        }
        // Whoever comes back after this finds only a part of its past here.
        self.since = (at_ms, at_ms);
        let track = Track::new(series.kind, config.values, config.minutes, self.since);
        let (gone, _) = std::mem::replace(&mut self.all[place], (Arc::clone(series), track));
        self.places.remove(&gone);
        self.places.insert(Arc::clone(series), place);
        Some(place)
    }
}
