//! What the registry holds of one metric name: its series by labels, the cap, the series beyond it, and what is idle.

use std::collections::HashMap;
use std::panic::Location;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::buckets::{self, Place};
use crate::counter::{CHUNK, Chunk, Counter};
use crate::error::{Error, Use};
use crate::family::Instrument;
use crate::family::sealed::Sealed as _;
use crate::gauge::Gauge;
use crate::histogram::Histogram;
use crate::name;

/// The value of every label of the series that takes what is beyond `max_series`.
pub const OVERFLOW: &str = "__overflow__";

/// A metric name and all its series.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) name: String,
    pub(crate) help: String,
    pub(crate) kind: &'static str,
    pub(crate) at: &'static Location<'static>,
    /// For each classic bucket, its last inner bucket and the text that closes its label.
    pub(crate) classic: Vec<(usize, String)>,
    pub(crate) bounds: Vec<f64>,
    max_series: usize,
    overflowed: Counter,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
pub(crate) struct Table {
    labels: Option<Vec<String>>,
    index: HashMap<String, usize>,
    pub(crate) series: Vec<Series>,
    chunks: Chunks,
    /// The labels of the series beyond the cap, once there is one.
    overflow: Option<String>,
}

#[derive(Debug)]
pub(crate) struct Series {
    /// Escaped and sorted, without braces.
    pub(crate) labels: String,
    /// What stands before the value: name, labels and a space.
    pub(crate) head: String,
    pub(crate) value: Value,
    seen: Seen,
}

/// What a series held when it was last looked at for being idle, and since when.
#[derive(Debug, Default)]
struct Seen {
    print: u64,
    since: Option<Duration>,
}

#[derive(Debug)]
#[doc(hidden)]
pub enum Value {
    #[doc(hidden)]
    Counter(Counter),
    #[doc(hidden)]
    Gauge(Gauge),
    #[doc(hidden)]
    Histogram(Histogram),
    /// Told by a collector, for one exposition.
    #[doc(hidden)]
    Number(f64),
}

/// Hands out the cells of counters, 16 a chunk.
#[derive(Debug, Default)]
#[doc(hidden)]
pub struct Chunks {
    chunk: Arc<Chunk>,
    used: usize,
    /// Cells of counters that expired.
    free: Vec<(Arc<Chunk>, usize)>,
}

impl Known {
    pub(crate) fn new(
        name: String,
        help: &str,
        kind: &'static str,
        at: &'static Location<'static>,
        bounds: &[f64],
        max_series: usize,
        overflowed: Counter,
    ) -> Self {
        let mut classic: Vec<(usize, String)> = Vec::new();
        for bucket in bounds.iter().map(|&bound| nearest(bound)) {
            if classic.last().is_none_or(|(last, _)| bucket > *last) {
                classic.push((bucket, format!("le=\"{:?}\"}} ", buckets::upper(bucket))));
            }
        }
        Self {
            name,
            help: help.to_owned(),
            kind,
            at,
            classic,
            bounds: bounds.to_vec(),
            max_series,
            overflowed,
            table: Mutex::default(),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn as_use(&self) -> Use<'_> {
        Use { name: &self.name, kind: self.kind, at: self.at }
    }

    /// The handle of the series with these labels, made if it is new.
    pub(crate) fn instrument<I: Instrument>(
        &self,
        labels: &[(&str, &str)],
        at: &'static Location<'static>,
    ) -> Result<I, Error> {
        let (table, number) = self.series(labels, at, I::make)?;
        // Families are made for one kind, so that this is always some.
        I::from_value(&table.series[number].value)
            .ok_or_else(|| Error::clash(Use { name: &self.name, kind: I::KIND, at }, self.as_use()))
    }

    /// Puts the number of a collector in, once for each label set.
    pub(crate) fn put(
        &self,
        labels: &[(&str, &str)],
        at: &'static Location<'static>,
        number: f64,
    ) -> Result<(), Error> {
        let known = self.lock().series.len();
        let (table, place) = self.series(labels, at, |_| Value::Number(number))?;
        if table.series.len() > known {
            return Ok(());
        }
        let again = &table.series[place].labels;
        if table.overflow.as_ref() == Some(again) {
            return Ok(());
        }
        Err(Error::name("label set", again, "given twice in one collection", at))
    }

    /// Takes out what has not changed for `idle` and nobody holds a handle of. How many those were.
    pub(crate) fn expire(&self, now: Duration, idle: Duration) -> usize {
        let mut guard = self.lock();
        let table = &mut *guard;
        let before = table.series.len();
        let chunks = &mut table.chunks;
        table.series.retain_mut(|series| {
            // Asked first: what a handle counted before it was dropped is then in the value.
            let unheld = series.value.is_unheld();
            let print = series.value.print();
            match series.seen.since {
                Some(since) if series.seen.print == print => {
                    let expired = unheld && now.saturating_sub(since) >= idle;
                    if let (true, Value::Counter(counter)) = (expired, &series.value) {
                        chunks.free.push(counter.place());
                    }
                    !expired
                }
                _ => {
                    series.seen = Seen { print, since: Some(now) };
                    true
                }
            }
        });
        let expired = before - table.series.len();
        if expired > 0 {
            table.index.clear();
            let numbered = table.series.iter().enumerate();
            table.index.extend(numbered.map(|(number, series)| (series.labels.clone(), number)));
            table.overflow.take_if(|labels| !table.index.contains_key(labels.as_str()));
        }
        expired
    }

    fn series(
        &self,
        labels: &[(&str, &str)],
        at: &'static Location<'static>,
        make: impl FnOnce(&mut Chunks) -> Value,
    ) -> Result<(MutexGuard<'_, Table>, usize), Error> {
        let mut labels = labels.to_vec();
        labels.sort_unstable();
        let mut text = self.label_text(&labels, at)?;
        let mut table = self.lock();
        if let Some(&found) = table.index.get(&text) {
            return Ok((table, found));
        }
        let names = || labels.iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>();
        match &table.labels {
            None => table.labels = Some(names()),
            Some(known) => {
                if !known.iter().eq(labels.iter().map(|(name, _)| name)) {
                    return Err(Error::labels(&self.name, known.clone(), names(), at, self.at));
                }
            }
        }
        if table.index.len() >= self.max_series {
            self.overflowed.inc();
            if let Some(&found) = table.overflow.as_ref().and_then(|labels| table.index.get(labels)) {
                return Ok((table, found));
            }
            labels.iter_mut().for_each(|(_, value)| *value = OVERFLOW);
            text = self.label_text(&labels, at)?;
            table.overflow = Some(text.clone());
        }
        let value = make(&mut table.chunks);
        let head = match (matches!(value, Value::Histogram(_)), text.is_empty()) {
            (false, true) => format!("{} ", self.name),
            (false, false) => format!("{}{{{text}}} ", self.name),
            (true, true) => format!("{}_bucket{{", self.name),
            (true, false) => format!("{}_bucket{{{text},", self.name),
        };
        let number = table.series.len();
        table.series.push(Series { labels: text.clone(), head, value, seen: Seen::default() });
        table.index.insert(text, number);
        Ok((table, number))
    }

    /// Sorted labels as they are exposed, without braces.
    fn label_text(&self, labels: &[(&str, &str)], at: &'static Location<'static>) -> Result<String, Error> {
        let mut text = String::new();
        for (i, (name, value)) in labels.iter().enumerate() {
            if !name::is_label(name) || (self.kind == Histogram::KIND && *name == "le") {
                return Err(Error::name("label", name, "malformed or reserved", at));
            }
            if i > 0 {
                if labels[i - 1].0 == *name {
                    return Err(Error::name("label", name, "given twice", at));
                }
                text.push(',');
            }
            name::push_label(&mut text, name, value);
        }
        Ok(text)
    }
}

impl Value {
    /// Differs after every change that can be told from the value.
    fn print(&self) -> u64 {
        match self {
            Self::Counter(counter) => counter.get(),
            Self::Gauge(gauge) => gauge.get().to_bits(),
            Self::Histogram(histogram) => histogram.count(),
            Self::Number(number) => number.to_bits(),
        }
    }

    fn is_unheld(&mut self) -> bool {
        match self {
            Self::Counter(counter) => counter.is_unheld(),
            Self::Gauge(gauge) => gauge.is_unheld(),
            Self::Histogram(histogram) => histogram.is_unheld(),
            Self::Number(_) => true,
        }
    }
}

impl Chunks {
    /// A counter at 0, in the place of one that expired or in a new one.
    pub(crate) fn counter(&mut self) -> Counter {
        if let Some((chunk, index)) = self.free.pop() {
            return Counter::in_chunk(chunk, index);
        }
        if self.used == CHUNK {
            (self.chunk, self.used) = (Arc::default(), 0);
        }
        self.used += 1;
        Counter::in_chunk(Arc::clone(&self.chunk), self.used - 1)
    }
}

/// The inner bucket whose upper bound is nearest to `bound`, by ratio.
fn nearest(bound: f64) -> usize {
    match buckets::place(bound) {
        Place::Zero => 0,
        Place::Above => buckets::COUNT - 1,
        Place::Bucket(0) => 0,
        Place::Bucket(bucket) => {
            let (low, high) = (buckets::lower(bucket), buckets::upper(bucket));
            if bound / low < high / bound { bucket - 1 } else { bucket }
        }
    }
}
