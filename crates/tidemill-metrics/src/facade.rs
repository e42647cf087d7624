//! A recorder for the `metrics` crate: what other libraries count by its macros ends in our registry.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use metrics::{CounterFn, GaugeFn, HistogramFn, Key, KeyName, Metadata, SharedString, Unit};

use crate::counter::Counter;
use crate::error::Error;
use crate::gauge::Gauge;
use crate::histogram::Histogram;
use crate::registry::Registry;

/// Help texts kept for metrics that may be registered.
const DESCRIBED: usize = 10_000;

/// Takes what the macros of the `metrics` crate count.
///
/// Characters that a name cannot have become `_`. What cannot be registered (another kind under the same name, other
/// label names than before, a full registry) is not counted, and [`rejected`](Self::rejected) says how often that was.
/// Keep handles where it is hot: a macro looks its metric up at each call.
///
/// ```
/// use tidemill_metrics::{FacadeRecorder, Registry};
///
/// let registry = Registry::new();
/// let recorder = FacadeRecorder::new(registry.clone());
/// // In a program: metrics::set_global_recorder(recorder)
/// metrics::with_local_recorder(&recorder, || {
///     metrics::counter!("http.requests", "method" => "GET").increment(2);
/// });
/// assert!(registry.to_text().contains("http_requests{method=\"GET\"} 2\n"));
/// ```
#[derive(Clone, Debug)]
pub struct FacadeRecorder {
    registry: Registry,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    help: Mutex<HashMap<String, String>>,
    rejected: Counter,
    /// Held while a counter is raised to an absolute value.
    absolute: Mutex<()>,
}

struct FacadeCounter {
    counter: Counter,
    shared: Arc<Shared>,
}

struct FacadeGauge(Gauge);

struct FacadeHistogram(Histogram);

impl FacadeRecorder {
    /// Counts into this registry.
    #[must_use]
    pub fn new(registry: Registry) -> Self {
        Self { registry, shared: Arc::default() }
    }

    /// Look-ups that ended in an error.
    #[must_use]
    pub fn rejected(&self) -> u64 {
        self.shared.rejected.get()
    }

    fn describe(&self, name: &KeyName, help: &str) {
        let mut all = self.shared.help.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() < DESCRIBED {
            all.insert(metric_name(name.as_str()), help.to_owned());
        }
    }

    fn registered<I>(
        &self,
        key: &Key,
        register: impl FnOnce(&Registry, &str, &str, &[(&str, &str)]) -> Result<I, Error>,
    ) -> Option<I> {
        let name = metric_name(key.name());
        let help = {
            let all = self.shared.help.lock().unwrap_or_else(PoisonError::into_inner);
            all.get(&name).cloned().unwrap_or_default()
        };
        let labels: Vec<(String, &str)> =
            key.labels().map(|label| (label_name(label.key()), label.value())).collect();
        let labels: Vec<(&str, &str)> = labels.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        let made = register(&self.registry, &name, &help, &labels);
        if made.is_err() {
            self.shared.rejected.inc();
        }
        made.ok()
    }
}

impl metrics::Recorder for FacadeRecorder {
    fn describe_counter(&self, key: KeyName, _: Option<Unit>, description: SharedString) {
        self.describe(&key, &description);
    }

    fn describe_gauge(&self, key: KeyName, _: Option<Unit>, description: SharedString) {
        self.describe(&key, &description);
    }

    fn describe_histogram(&self, key: KeyName, _: Option<Unit>, description: SharedString) {
        self.describe(&key, &description);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> metrics::Counter {
        let made =
            self.registered(key, |registry, name, help, labels| registry.counter(name, help).with(labels));
        made.map_or_else(metrics::Counter::noop, |counter| {
            metrics::Counter::from_arc(Arc::new(FacadeCounter { counter, shared: Arc::clone(&self.shared) }))
        })
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> metrics::Gauge {
        let made =
            self.registered(key, |registry, name, help, labels| registry.gauge(name, help).with(labels));
        made.map_or_else(metrics::Gauge::noop, |gauge| metrics::Gauge::from_arc(Arc::new(FacadeGauge(gauge))))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> metrics::Histogram {
        let made =
            self.registered(key, |registry, name, help, labels| registry.histogram(name, help).with(labels));
        made.map_or_else(metrics::Histogram::noop, |histogram| {
            metrics::Histogram::from_arc(Arc::new(FacadeHistogram(histogram)))
        })
    }
}

impl CounterFn for FacadeCounter {
    fn increment(&self, value: u64) {
        self.counter.add(value);
    }

    fn absolute(&self, value: u64) {
        let _one_at_a_time = self.shared.absolute.lock().unwrap_or_else(PoisonError::into_inner);
        self.counter.add(value.saturating_sub(self.counter.get()));
    }
}

impl GaugeFn for FacadeGauge {
    fn increment(&self, value: f64) {
        self.0.add(value);
    }

    fn decrement(&self, value: f64) {
        self.0.sub(value);
    }

    fn set(&self, value: f64) {
        self.0.set(value);
    }
}

impl HistogramFn for FacadeHistogram {
    fn record(&self, value: f64) {
        self.0.observe(value);
    }
}

fn metric_name(name: &str) -> String {
    made_of(name, |c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
}

fn label_name(name: &str) -> String {
    let name = made_of(name, |c| c.is_ascii_alphanumeric() || c == '_');
    match name.strip_prefix("__") {
        Some(rest) => format!("_{}", rest.trim_start_matches('_')),
        None => name,
    }
}

fn made_of(name: &str, allowed: fn(char) -> bool) -> String {
    let mut out = String::with_capacity(name.len() + 1);
    if name.starts_with(|c: char| c.is_ascii_digit()) || name.is_empty() {
        out.push('_');
    }
    out.extend(name.chars().map(|c| if allowed(c) { c } else { '_' }));
    out
}
