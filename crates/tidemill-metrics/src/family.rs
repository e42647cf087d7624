//! One metric name and its series: idempotent look-up by labels, a cap, and a series for what is beyond it.

use std::collections::HashMap;
use std::marker::PhantomData;
use std::panic::Location;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::buckets::{self, Place};
use crate::counter::{CHUNK, Chunk, Counter};
use crate::error::{Error, Use};
use crate::family::sealed::Sealed as _;
use crate::gauge::Gauge;
use crate::histogram::Histogram;
use crate::name;

/// The value of every label of the series that takes what is beyond `max_series`.
pub const OVERFLOW: &str = "__overflow__";

/// A metric by name, from which [`with`](Self::with) makes the handles that count. Keep the handles: a look-up builds
/// the label text and takes a lock.
#[derive(Debug)]
pub struct Family<I> {
    known: Result<Arc<Known>, Error>,
    instrument: PhantomData<fn() -> I>,
}

/// Counter, gauge or histogram.
pub trait Instrument: sealed::Sealed + Clone + Send + Sync + 'static {}

pub(crate) mod sealed {
    /// How an instrument is kept by its family.
    pub trait Sealed: Sized {
        #[doc(hidden)]
        const KIND: &'static str;
        #[doc(hidden)]
        fn make(chunks: &mut super::Chunks) -> super::Value;
        #[doc(hidden)]
        fn from_value(value: &super::Value) -> Option<Self>;
    }
}

/// What the registry holds of a family.
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
    overflow: Option<usize>,
}

#[derive(Debug)]
pub(crate) struct Series {
    /// Escaped and sorted, without braces.
    pub(crate) labels: String,
    /// What stands before the value: name, labels and a space.
    pub(crate) head: String,
    pub(crate) value: Value,
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
}

/// Hands out the cells of counters, 16 a chunk.
#[derive(Debug, Default)]
#[doc(hidden)]
pub struct Chunks {
    chunk: Arc<Chunk>,
    used: usize,
}

impl<I: Instrument> Family<I> {
    pub(crate) fn new(known: Result<Arc<Known>, Error>) -> Self {
        Self { known, instrument: PhantomData }
    }

    /// The series with these labels, in any order; the same labels give the same series. All series of a metric
    /// have the same label names.
    ///
    /// # Errors
    /// A clash of the registration, a malformed label name, or label names other than those of the first series.
    #[track_caller]
    pub fn with(&self, labels: &[(&str, &str)]) -> Result<I, Error> {
        let at = Location::caller();
        let known = self.known.as_ref().map_err(Clone::clone)?;
        known.series::<I>(labels, at)
    }

    /// The series without labels.
    ///
    /// # Errors
    /// As for [`with`](Self::with).
    #[track_caller]
    pub fn get(&self) -> Result<I, Error> {
        self.with(&[])
    }

    /// The full name, prefix included.
    ///
    /// # Errors
    /// A clash of the registration.
    pub fn name(&self) -> Result<&str, Error> {
        self.known.as_ref().map(|known| known.name.as_str()).map_err(Clone::clone)
    }
}

impl Known {
    pub(crate) fn new<I: Instrument>(
        name: String,
        help: &str,
        at: &'static Location<'static>,
        bounds: &[f64],
        max_series: usize,
        overflowed: Counter,
    ) -> Self {
        let mut classic: Vec<(usize, String)> = Vec::new();
        if I::KIND == Histogram::KIND {
            for bucket in bounds.iter().map(|&bound| nearest(bound)) {
                if classic.last().is_none_or(|(last, _)| bucket > *last) {
                    classic.push((bucket, format!("le=\"{:?}\"}} ", buckets::upper(bucket))));
                }
            }
        }
        Self {
            name,
            help: help.to_owned(),
            kind: I::KIND,
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

    fn series<I: Instrument>(
        &self,
        labels: &[(&str, &str)],
        at: &'static Location<'static>,
    ) -> Result<I, Error> {
        let mut labels = labels.to_vec();
        labels.sort_unstable();
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
        let mut table = self.lock();
        if let Some(&found) = table.index.get(&text) {
            return self.instrument(&table.series[found], at);
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
            if let Some(overflow) = table.overflow {
                return self.instrument(&table.series[overflow], at);
            }
            text.clear();
            for (i, (name, _)) in labels.iter().enumerate() {
                text.push_str(if i > 0 { "," } else { "" });
                name::push_label(&mut text, name, OVERFLOW);
            }
            table.overflow = Some(table.series.len());
        }
        let value = I::make(&mut table.chunks);
        let head = match (I::KIND == Histogram::KIND, text.is_empty()) {
            (false, true) => format!("{} ", self.name),
            (false, false) => format!("{}{{{text}}} ", self.name),
            (true, true) => format!("{}_bucket{{", self.name),
            (true, false) => format!("{}_bucket{{{text},", self.name),
        };
        let series = Series { labels: text.clone(), head, value };
        let made = self.instrument(&series, at);
        let number = table.series.len();
        table.series.push(series);
        table.index.insert(text, number);
        made
    }

    fn instrument<I: Instrument>(&self, series: &Series, at: &'static Location<'static>) -> Result<I, Error> {
        // Families are made for one kind, so that this is always some.
        I::from_value(&series.value)
            .ok_or_else(|| Error::clash(Use { name: &self.name, kind: I::KIND, at }, self.as_use()))
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

impl Instrument for Counter {}
impl Instrument for Gauge {}
impl Instrument for Histogram {}

impl sealed::Sealed for Counter {
    const KIND: &'static str = "counter";

    fn make(chunks: &mut Chunks) -> Value {
        if chunks.used == CHUNK {
            *chunks = Chunks::default();
        }
        let counter = Self::in_chunk(Arc::clone(&chunks.chunk), chunks.used);
        chunks.used += 1;
        Value::Counter(counter)
    }

    fn from_value(value: &Value) -> Option<Self> {
        if let Value::Counter(counter) = value { Some(counter.clone()) } else { None }
    }
}

impl sealed::Sealed for Gauge {
    const KIND: &'static str = "gauge";

    fn make(_: &mut Chunks) -> Value {
        Value::Gauge(Self::new())
    }

    fn from_value(value: &Value) -> Option<Self> {
        if let Value::Gauge(gauge) = value { Some(gauge.clone()) } else { None }
    }
}

impl sealed::Sealed for Histogram {
    const KIND: &'static str = "histogram";

    fn make(_: &mut Chunks) -> Value {
        Value::Histogram(Self::new())
    }

    fn from_value(value: &Value) -> Option<Self> {
        if let Value::Histogram(histogram) = value { Some(histogram.clone()) } else { None }
    }
}
