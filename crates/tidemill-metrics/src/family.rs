//! A metric by name as its user holds it: labels in, a handle that counts out.

use std::marker::PhantomData;
use std::panic::Location;
use std::sync::Arc;

use crate::counter::Counter;
use crate::error::Error;
use crate::gauge::Gauge;
use crate::histogram::Histogram;
use crate::known::{Chunks, Known, Value};

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
        fn make(chunks: &mut crate::known::Chunks) -> crate::known::Value;
        #[doc(hidden)]
        fn from_value(value: &crate::known::Value) -> Option<Self>;
    }
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
        known.instrument::<I>(labels, at)
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

impl Instrument for Counter {}
impl Instrument for Gauge {}
impl Instrument for Histogram {}

impl sealed::Sealed for Counter {
    const KIND: &'static str = "counter";

    fn make(chunks: &mut Chunks) -> Value {
        Value::Counter(chunks.counter())
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
