//! What the rules look at: this machine, the answers, the refusals, and what waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tidemill_autotune::DriverBuilder;
use tidemill_host::Host;
use tidemill_metrics::HistogramSnapshot;

use crate::provider::Provider;
use crate::workers::Workers;

/// The signals, in the order of the readings. Behind them, for each provider, its response
/// while at least half of its `concurrency` was under way; and with several providers the response of each.
const NAMES: [&str; 8] = [
    "cpu.percent",
    "memory.percent",
    "disk.wait_percent",
    "response.ms",
    "requests",
    "errors.percent",
    "refused",
    "queue.waiting",
];

/// The bits of no reading.
const NONE: u64 = f64::NAN.to_bits();

/// `response.ms`, or with several providers `response.NAME.ms`. A name is told apart by its place where two read the same.
pub(super) fn of_provider(what: &str, unit: &str, providers: &[Arc<Provider>], at: usize) -> String {
    if providers.len() == 1 {
        return format!("{what}{unit}");
    }
    let plain = |provider: &Arc<Provider>| provider.name.replace('-', "_");
    let name = plain(&providers[at]);
    let same = providers.iter().filter(|provider| plain(provider) == name).count() > 1;
    if same { format!("{what}.{name}.{at}{unit}") } else { format!("{what}.{name}{unit}") }
}

/// The newest readings, each taken once.
#[derive(Clone, Debug)]
struct Readings(Arc<[(String, AtomicU64)]>);

/// Reads everything at once.
#[derive(Debug)]
pub(super) struct Sampler {
    readings: Readings,
    host: Option<Host>,
    providers: Vec<Watched>,
    workers: Arc<Workers>,
    last: Option<Duration>,
}

/// A provider and what was counted of it when it was last looked at.
#[derive(Debug)]
struct Watched {
    provider: Arc<Provider>,
    response: HistogramSnapshot,
    counted: Counted,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    requests: u64,
    refused: u64,
    failures: u64,
}

impl Sampler {
    /// Looks at these from now on.
    pub(super) fn new(providers: &[Arc<Provider>], workers: &Arc<Workers>) -> Self {
        // Neither file systems nor open files are signals.
        let config = tidemill_host::Config { mounts: false, open_files: false, ..Default::default() };
        let host = match Host::builder(config).build() {
            Ok(host) => Some(host),
            Err(error) => {
                tracing::warn!(%error, "this machine's load cannot be read; rules about it stay silent");
                None
            }
        };
        let full = (0..providers.len()).map(|at| of_provider("response", ".full_ms", providers, at));
        let own = (0..providers.len()).map(|at| of_provider("response", ".ms", providers, at));
        let own = own.filter(|_| providers.len() > 1);
        let names = NAMES.map(str::to_owned).into_iter().chain(full).chain(own);
        Self {
            readings: Readings(names.map(|name| (name, AtomicU64::new(NONE))).collect()),
            host,
            providers: providers.iter().map(Watched::new).collect(),
            workers: Arc::clone(workers),
            last: None,
        }
    }

    /// Adds the signals to a driver, which takes each reading once.
    pub(super) fn signals(&self, mut builder: DriverBuilder) -> DriverBuilder {
        for (at, (name, _)) in self.readings.0.iter().enumerate() {
            let readings = self.readings.clone();
            builder = builder.signal(name, move || readings.take(at));
        }
        builder
    }

    /// Reads everything; `now` is the time since any origin.
    pub(super) fn sample(&mut self, now: Duration) {
        let machine = self.host.as_mut().and_then(|host| host.sample(now).ok()).unwrap_or_default();
        let elapsed = self.last.replace(now).map(|last| now.saturating_sub(last).as_secs_f64());
        let (mut counted, mut response) = (Counted::default(), HistogramSnapshot::default());
        let (mut full, mut own) = (Vec::with_capacity(self.providers.len()), Vec::new());
        for watched in &mut self.providers {
            let answers = watched.look(&mut counted);
            own.push(milliseconds(&answers));
            full.push(
                milliseconds(&answers)
                    .filter(|_| elapsed.is_some_and(|elapsed| watched.is_full(&answers, elapsed))),
            );
            response.merge(&answers);
        }
        // An answer that failed may belong to a request of the interval before.
        let attempts = counted.requests.max(counted.failures);
        let per_second = elapsed.filter(|elapsed| *elapsed > 0.0);
        let passing = self.workers.waiting();
        let busy = passing.is_some() || attempts > 0;
        let all = [
            machine.cpu.percent,
            machine.memory.percent,
            machine.disk.wait_percent,
            milliseconds(&response),
            per_second.filter(|_| busy).map(|elapsed| counted.requests as f64 / elapsed),
            (attempts > 0).then(|| 100.0 * counted.failures as f64 / attempts as f64),
            busy.then_some(counted.refused as f64),
            passing.map(|waiting| waiting as f64),
        ];
        self.readings.put(all.into_iter().chain(full).chain(own));
    }
}

fn milliseconds(answers: &HistogramSnapshot) -> Option<f64> {
    answers.mean().map(|seconds| seconds * 1e3)
}

impl Watched {
    fn new(provider: &Arc<Provider>) -> Self {
        let counted = Counted::of(provider);
        Self { provider: Arc::clone(provider), response: provider.counts.response.snapshot(), counted }
    }

    /// Whether half of what may be under way at once was so, in the mean: what came, times how long each took, over the time
    /// that was (Little's law). With less, no bound on it is what makes answers slow.
    fn is_full(&self, answers: &HistogramSnapshot, elapsed: f64) -> bool {
        let under_way = answers.sum / elapsed.max(1e-3);
        under_way >= 0.5 * f64::from(self.provider.concurrency())
    }

    /// Adds what came since the last look; the response times of that.
    fn look(&mut self, counted: &mut Counted) -> HistogramSnapshot {
        let (now, answers) = (Counted::of(&self.provider), self.provider.counts.response.snapshot());
        counted.requests += now.requests - self.counted.requests;
        counted.refused += now.refused - self.counted.refused;
        counted.failures += now.failures - self.counted.failures;
        let came = answers.since(&self.response);
        (self.counted, self.response) = (now, answers);
        came
    }
}

impl Counted {
    fn of(provider: &Provider) -> Self {
        let summary = provider.counts.summary(&provider.name);
        Self { requests: summary.requests, refused: summary.refused, failures: provider.failures() }
    }
}

impl Readings {
    fn put(&self, values: impl Iterator<Item = Option<f64>>) {
        for ((_, cell), value) in self.0.iter().zip(values) {
            cell.store(value.map_or(NONE, f64::to_bits), Ordering::Relaxed);
        }
    }

    fn take(&self, at: usize) -> Option<f64> {
        let bits = self.0[at].1.swap(NONE, Ordering::Relaxed);
        Some(f64::from_bits(bits)).filter(|value| !value.is_nan())
    }
}
