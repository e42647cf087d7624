//! What metrics were: a ring of samples for each series, with rates, quantiles of any window, and export as columns.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::known::Value;
use crate::registry::Registry;
use crate::snapshot::HistogramSnapshot;

/// Bounds of a [`History`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HistoryConfig {
    /// Samples kept of each series. Default 1000.
    pub samples: usize,
    /// Series kept; when it is full, the one that was sampled longest ago makes room. Default 10000.
    pub max_series: usize,
}

/// Keeps the last samples of series. A sample of a counter or gauge takes 16 bytes, one of a histogram those of the
/// buckets that were counted into since the one before.
#[derive(Debug)]
pub struct History {
    config: HistoryConfig,
    series: Vec<Series>,
    index: HashMap<(String, String), usize>,
    /// Numbers of all samples ever taken, for [`export`](Self::export).
    taken: u64,
}

/// What kind of numbers a series has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SeriesKind {
    /// Grows, and begins anew when its program does.
    Counter,
    /// Goes up and down.
    Gauge,
    /// The number of values counted; their sizes are asked for by [`History::distribution`].
    Histogram,
}

/// Samples as columns, oldest first; all have the same length.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Points {
    /// Milliseconds since 1970, UTC.
    pub ts_ms: Vec<i64>,
    /// The value at that time.
    pub value: Vec<f64>,
}

/// Samples of all series as columns, in the order they were taken; all have the same length.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Columns {
    /// The metric's name.
    pub name: Vec<String>,
    /// Its labels as they are exposed, without braces.
    pub labels: Vec<String>,
    /// Milliseconds since 1970, UTC.
    pub ts_ms: Vec<i64>,
    /// The value at that time.
    pub value: Vec<f64>,
    /// What to give to [`History::export`] next time.
    pub next: u64,
}

/// The smallest and the largest value of a piece of time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MinMax {
    /// When the piece begins, in milliseconds since 1970.
    pub start_ms: i64,
    /// The smallest value in it.
    pub min: f64,
    /// The largest.
    pub max: f64,
    /// The last.
    pub last: f64,
}

#[derive(Debug)]
struct Series {
    name: String,
    labels: String,
    kind: SeriesKind,
    points: VecDeque<Point>,
    /// The whole of a histogram at the last sample.
    whole: Option<HistogramSnapshot>,
}

#[derive(Debug)]
struct Point {
    ts_ms: i64,
    number: u64,
    value: f64,
    /// What a histogram counted since the sample before.
    counted: Option<Box<HistogramSnapshot>>,
}

impl Default for HistoryConfig {
    fn default() -> Self {
        Self { samples: 1000, max_series: 10_000 }
    }
}

impl History {
    /// An empty history.
    ///
    /// # Errors
    /// [`Config`](crate::ErrorKind::Config) names the field that is out of bounds.
    pub fn new(config: HistoryConfig) -> Result<Self, Error> {
        for (field, value) in [("samples", config.samples), ("max_series", config.max_series)] {
            if value == 0 || value > 1 << 24 {
                return Err(Error::config(field, format!("{value} is not within 1 to {}", 1 << 24)));
            }
        }
        Ok(Self { config, series: Vec::new(), index: HashMap::new(), taken: 0 })
    }

    /// Samples every series of a registry, collected ones included.
    pub fn sample(&mut self, registry: &Registry, now: SystemTime) {
        for family in registry.gather() {
            let counts = family.kind == "counter";
            let table = family.lock();
            for series in &table.series {
                let scalar = if counts { SeriesKind::Counter } else { SeriesKind::Gauge };
                let (kind, value, whole) = match &series.value {
                    Value::Counter(counter) => (SeriesKind::Counter, counter.get() as f64, None),
                    Value::Gauge(gauge) => (SeriesKind::Gauge, gauge.get(), None),
                    Value::Number(number) => (scalar, *number, None),
                    Value::Histogram(histogram) => {
                        let whole = histogram.snapshot();
                        (SeriesKind::Histogram, whole.count as f64, Some(whole))
                    }
                };
                self.put(&family.name, &series.labels, kind, ms(now), value, whole);
            }
        }
    }

    /// Adds a sample of a series that stands in no registry. `labels` is written as it is exposed: `a="b",c="d"`.
    pub fn push(&mut self, name: &str, labels: &str, kind: SeriesKind, now: SystemTime, value: f64) {
        self.put(name, labels, kind, ms(now), value, None);
    }

    /// Name and labels of each series.
    pub fn series(&self) -> impl Iterator<Item = (&str, &str)> {
        self.series.iter().map(|series| (series.name.as_str(), series.labels.as_str()))
    }

    /// The samples of a series in the last `window`, ending with the last sample; `None` when there is none.
    #[must_use]
    pub fn points(&self, name: &str, labels: &str, window: Duration) -> Option<Points> {
        let points = self.window(name, labels, window)?;
        Some(Points {
            ts_ms: points.iter().map(|point| point.ts_ms).collect(),
            value: points.iter().map(|point| point.value).collect(),
        })
    }

    /// By how much a series grew in the last `window`: for counters and histograms across restarts, a value below
    /// the one before being counted from 0; for gauges last minus first. `None` with fewer than two samples.
    #[must_use]
    pub fn difference(&self, name: &str, labels: &str, window: Duration) -> Option<f64> {
        let kind = self.find(name, labels)?.kind;
        let points = self.window(name, labels, window)?;
        let (first, last) = (points.first()?, points.last()?);
        if points.len() < 2 {
            return None;
        }
        if kind == SeriesKind::Gauge {
            return Some(last.value - first.value);
        }
        let step = |pair: &[&Point]| {
            let (before, now) = (pair[0].value, pair[1].value);
            if now < before { now } else { now - before }
        };
        Some(points.windows(2).map(step).sum())
    }

    /// [`difference`](Self::difference) per second, over the time between the first and the last sample.
    #[must_use]
    pub fn rate(&self, name: &str, labels: &str, window: Duration) -> Option<f64> {
        let points = self.window(name, labels, window)?;
        let elapsed_ms = points.last()?.ts_ms - points.first()?.ts_ms;
        let difference = self.difference(name, labels, window)?;
        (elapsed_ms > 0).then(|| difference / elapsed_ms as f64 * 1000.0)
    }

    /// What a histogram counted in the last `window`, after its first sample: quantiles, mean, count.
    #[must_use]
    pub fn distribution(&self, name: &str, labels: &str, window: Duration) -> Option<HistogramSnapshot> {
        let points = self.window(name, labels, window)?;
        let mut all: Option<HistogramSnapshot> = None;
        for counted in points.iter().skip(1).filter_map(|point| point.counted.as_ref()) {
            match &mut all {
                Some(all) => all.merge(counted),
                None => all = Some((**counted).clone()),
            }
        }
        all
    }

    /// The samples of the last `window` in at most `pieces` equal pieces of time, each with its smallest and largest
    /// value, so that no spike is lost. Pieces without a sample are left out.
    #[must_use]
    pub fn downsampled(&self, name: &str, labels: &str, window: Duration, pieces: usize) -> Vec<MinMax> {
        let Some(points) = self.window(name, labels, window) else { return Vec::new() };
        let (Some(first), Some(last)) = (points.first(), points.last()) else { return Vec::new() };
        let (start, pieces) = (first.ts_ms, i64::try_from(pieces.max(1)).unwrap_or(i64::MAX));
        let width = (last.ts_ms - start) / pieces + 1;
        let mut all: Vec<MinMax> = Vec::new();
        for point in points.iter().filter(|point| !point.value.is_nan()) {
            let start_ms = start + (point.ts_ms - start) / width * width;
            let value = point.value;
            match all.last_mut() {
                Some(piece) if piece.start_ms == start_ms => {
                    piece.min = piece.min.min(value);
                    piece.max = piece.max.max(value);
                    piece.last = value;
                }
                _ => all.push(MinMax { start_ms, min: value, max: value, last: value }),
            }
        }
        all
    }

    /// All samples taken since an earlier export, whose [`Columns::next`] is given; 0 at first. What fell out of the
    /// rings in between is not there.
    #[must_use]
    pub fn export(&self, from: u64) -> Columns {
        let mut found: Vec<(&Series, &Point)> = self
            .series
            .iter()
            .flat_map(|series| {
                series
                    .points
                    .iter()
                    .rev()
                    .map(move |point| (series, point))
                    .take_while(|(_, point)| point.number >= from)
            })
            .collect();
        found.sort_unstable_by_key(|(_, point)| point.number);
        let mut columns = Columns { next: self.taken, ..Columns::default() };
        for (series, point) in found {
            columns.name.push(series.name.clone());
            columns.labels.push(series.labels.clone());
            columns.ts_ms.push(point.ts_ms);
            columns.value.push(point.value);
        }
        columns
    }

    fn put(
        &mut self,
        name: &str,
        labels: &str,
        kind: SeriesKind,
        ts_ms: i64,
        value: f64,
        whole: Option<HistogramSnapshot>,
    ) {
        let number = self.taken;
        self.taken += 1;
        let place = self.place(name, labels, kind);
        let series = &mut self.series[place];
        let counted = whole.as_ref().map(|whole| match &series.whole {
            // Fewer than before: it began anew.
            Some(before) if before.count <= whole.count => Box::new(whole.since(before)),
            _ => Box::new(whole.clone()),
        });
        series.whole = whole;
        series.points.push_back(Point { ts_ms, number, value, counted });
        if series.points.len() > self.config.samples {
            series.points.pop_front();
        }
    }

    fn place(&mut self, name: &str, labels: &str, kind: SeriesKind) -> usize {
        let key = (name.to_owned(), labels.to_owned());
        if let Some(&found) = self.index.get(&key) {
            if self.series[found].kind != kind {
                self.series[found] = Series::new(&key, kind);
            }
            return found;
        }
        let fresh = Series::new(&key, kind);
        let place = if self.series.len() < self.config.max_series {
            self.series.push(fresh);
            self.series.len() - 1
        } else {
            let last = |series: &Series| series.points.back().map_or(0, |point| point.number);
            let oldest = (0..self.series.len()).min_by_key(|&i| last(&self.series[i])).unwrap_or(0);
            let gone = std::mem::replace(&mut self.series[oldest], fresh);
            self.index.remove(&(gone.name, gone.labels));
            oldest
        };
        self.index.insert(key, place);
        place
    }

    fn find(&self, name: &str, labels: &str) -> Option<&Series> {
        self.index.get(&(name.to_owned(), labels.to_owned())).map(|&place| &self.series[place])
    }

    fn window(&self, name: &str, labels: &str, window: Duration) -> Option<Vec<&Point>> {
        let points = &self.find(name, labels)?.points;
        let window_ms = i64::try_from(window.as_millis()).unwrap_or(i64::MAX);
        let from = points.back()?.ts_ms.saturating_sub(window_ms);
        Some(points.iter().filter(|point| point.ts_ms >= from).collect())
    }
}

impl Series {
    fn new((name, labels): &(String, String), kind: SeriesKind) -> Self {
        Self { name: name.clone(), labels: labels.clone(), kind, points: VecDeque::new(), whole: None }
    }
}

fn ms(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    i64::try_from(since).unwrap_or(i64::MAX)
}
