//! One pass: everything that is due is asked for once, and every symbol and row is accounted for.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tidemill_shell::progress::Progress;
use tidemill_shell::signals::Shutdown;
use tidemill_worker_pool::{self as worker_pool, Job, JobContext, JobHandle, Pool, Retry};

use crate::collector::Collector;
use crate::dataset::Dataset;
use crate::experiments::Seen;
use crate::grade::{Figures, grade};
use crate::ledger::Answered;
use crate::load::Load;
use crate::plan::{Due, Item};
use crate::provider::Provider;
use crate::report::{Failure, MISSING_NAMED, ResponseMs, Summary};
use crate::work::{Bench, Done, Failed, Kept};

/// How long giving a lease back may take; after that it runs out by itself.
const HAND_BACK: Duration = Duration::from_secs(5);

/// Runs one pass over `due`. Ends early when `shutdown` drains, when the store fails, or when no provider is left to ask.
pub async fn run(
    collector: &mut Collector,
    due: Due,
    shutdown: &Shutdown,
    progress: &Progress,
) -> Result<Summary> {
    let pool = pool(collector)?;
    let workers = Arc::clone(&collector.workers);
    let _duty = workers.employ(&pool);
    for provider in &collector.providers {
        provider.begin_pass().await;
    }
    let mut tally = Tally::begin(collector, &due);
    let mut load = Load::start();
    let mut waiting = due.items.iter().copied();
    let mut running = FuturesUnordered::new();
    let mut tick = tokio::time::interval(Duration::from_millis(200));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut stopping = false;
    loop {
        // What waits for its acknowledgement has left the pool, so handing out never waits for room.
        let room = workers.get() + collector.config.collector.queue;
        while !stopping && running.len() < room {
            let Some(item) = waiting.next() else { break };
            let (job, way) = job(collector, item);
            let handle = pool.submit(job).await.context("cannot hand out work")?;
            running.push(watched(item, way, handle));
        }
        tokio::select! {
            ended = running.next() => match ended {
                Some((item, way, ended)) => {
                    tell(collector, item, way, &ended);
                    stopping |= tally.take(collector, item, ended);
                }
                None => break,
            },
            () = shutdown.draining(), if !stopping => {
                stopping = true;
                tally.end_early("asked to stop; what was under way was finished");
                let pool = pool.clone();
                let deadline = collector.config.collector.drain;
                tokio::spawn(async move { pool.close(deadline).await });
            }
            () = shutdown.immediate() => {
                tally.end_early("asked twice to stop");
                break;
            }
            _ = tick.tick() => {
                workers.see_left(waiting.len());
                load.sample();
                show(collector, &tally, progress);
            }
        }
    }
    pool.close(Duration::ZERO).await;
    for provider in &collector.providers {
        provider.end_pass(HAND_BACK).await;
    }
    collector.rollouts.end_pass();
    let experiments = Arc::clone(&collector.experiments);
    tokio::task::spawn_blocking(move || experiments.end_pass())
        .await
        .context("comparing providers panicked")?;
    collector.writer.publish().await?;
    load.finish();
    let summary = tally.finish(collector, &load);
    show_last(&summary, progress);
    Ok(summary)
}

fn pool(collector: &Collector) -> Result<Pool> {
    let config = &collector.config.collector;
    let bounds = worker_pool::Config {
        workers: collector.workers.get(),
        max_workers: collector.workers.most(),
        queue: config.queue,
        ..worker_pool::Config::default()
    };
    Pool::builder(bounds).build().context("cannot start the workers")
}

/// One try of an item.
type Making = Pin<Box<dyn Future<Output = Result<Kept, worker_pool::JobError>> + Send>>;

/// How an item ended: with its rows acknowledged, or why not.
#[derive(Debug)]
enum Ended {
    Kept(Done),
    Lost(Failed),
    Failed(worker_pool::Error),
}

/// Why a symbol is asked for where it is.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// The configuration says so.
    Configured,
    /// Its dataset moves there.
    Moved,
    /// This experiment drew it.
    Drawn(u64),
}

/// Whoever sent the symbol there hears how it was answered, if that was the provider's choice.
fn tell(collector: &Collector, item: Item, way: Way, ended: &Ended) {
    let Some(well) = ended.is_well() else { return };
    let dataset = &collector.datasets[item.dataset];
    match way {
        Way::Configured => {}
        Way::Moved => collector.rollouts.saw(&dataset.name, well),
        Way::Drawn(id) => {
            let answer = match ended {
                Ended::Kept(done) => Some((done.took, done.entry.accepted)),
                _ => None,
            };
            collector.experiments.saw(
                &dataset.name,
                &dataset.symbols[item.symbol],
                id,
                Seen { well, answer },
            );
        }
    }
}

async fn watched(item: Item, way: Way, handle: JobHandle<Kept>) -> (Item, Way, Ended) {
    let ended = match handle.await {
        Ok(kept) => kept.done().await.map_or_else(Ended::Lost, Ended::Kept),
        Err(error) => Ended::Failed(error),
    };
    (item, way, ended)
}

impl Ended {
    /// Whether the provider gave what it was asked for; none when that was not its choice.
    fn is_well(&self) -> Option<bool> {
        match self {
            // A row in twenty that breaks a rule is no better than none.
            Self::Kept(Done { entry, .. }) => {
                Some(entry.answered == Answered::Rows && entry.quarantined * 20 <= entry.received)
            }
            Self::Lost(_) => None,
            Self::Failed(error) if error.kind() == worker_pool::ErrorKind::Closed => None,
            Self::Failed(error) => match failed_of(error) {
                Some(Failed::Store(_) | Failed::GivenUp { .. }) => None,
                _ => Some(false),
            },
        }
    }
}

fn failed_of(error: &worker_pool::Error) -> Option<&Failed> {
    std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<Failed>())
}

/// The item as a job, and why it asks whom it asks.
fn job(collector: &Collector, item: Item) -> (Job<impl FnMut(JobContext) -> Making + Send + 'static>, Way) {
    let dataset = &collector.datasets[item.dataset];
    let (provider, way) = whom(collector, dataset, &dataset.symbols[item.symbol]);
    let bench = Arc::new(Bench {
        provider: Arc::clone(&provider),
        dataset: Arc::clone(dataset),
        writer: collector.writer.clone(),
        refusals: collector.config.collector.refusals,
    });
    let symbol = Arc::clone(&dataset.symbols[item.symbol]);
    let retry = Retry { max: collector.config.collector.tries.saturating_sub(1), ..Retry::STANDARD };
    let job = Job::new(move |_: JobContext| {
        let (bench, symbol) = (Arc::clone(&bench), Arc::clone(&symbol));
        Box::pin(async move { bench.make(&symbol).await }) as Making
    })
    .retry(retry)
    .group(provider.name.clone());
    (job, way)
}

fn whom(collector: &Collector, dataset: &Dataset, symbol: &str) -> (Arc<Provider>, Way) {
    if let Some((provider, id)) = collector.experiments.provider(dataset, symbol) {
        return (provider, Way::Drawn(id));
    }
    let (provider, moved) = collector.rollouts.provider(dataset, symbol);
    (Arc::clone(provider), if moved { Way::Moved } else { Way::Configured })
}

/// Failures of one pass that are warned of one by one.
const LOUD: u64 = 20;

/// What has come of a pass so far.
#[derive(Debug)]
struct Tally {
    begun: Instant,
    summary: Summary,
    reasons: BTreeMap<String, u64>,
    left: Vec<u64>,
    before: Vec<Counted>,
}

/// A provider's counters when the pass began.
#[derive(Debug)]
struct Counted {
    summary: crate::report::ProviderSummary,
    response: tidemill_metrics::HistogramSnapshot,
}

impl Tally {
    fn begin(collector: &Collector, due: &Due) -> Self {
        let mut left = vec![0; collector.providers.len()];
        for item in &due.items {
            left[collector.datasets[item.dataset].provider] += 1;
        }
        let symbols = collector.datasets.iter().map(|dataset| dataset.symbols.len() as u64).sum();
        let mut tally = Self {
            begun: Instant::now(),
            summary: Summary {
                symbols,
                fresh: due.fresh,
                not_asked: due.items.len() as u64,
                ..Summary::default()
            },
            reasons: BTreeMap::new(),
            left,
            before: collector
                .providers
                .iter()
                .map(|provider| Counted {
                    summary: provider.counts.summary(&provider.name),
                    response: provider.counts.response.snapshot(),
                })
                .collect(),
        };
        for item in &due.refused {
            tally.fail(collector, *item, "the provider does not know the symbol (answered before)");
        }
        tally
    }

    /// Takes an item's end; true when the pass must stop.
    fn take(&mut self, collector: &mut Collector, item: Item, ended: Ended) -> bool {
        let dataset = Arc::clone(&collector.datasets[item.dataset]);
        let symbol = &dataset.symbols[item.symbol];
        self.left[dataset.provider] -= 1;
        match ended {
            Ended::Kept(done) => {
                self.summary.not_asked -= 1;
                self.summary.rows_received += done.entry.received;
                self.summary.rows_quarantined += done.entry.quarantined;
                self.summary.rows_stored += done.stored;
                self.summary.rows_duplicate += done.duplicate;
                let meters = &collector.meters;
                meters.rows_received.add(done.entry.received);
                meters.rows_quarantined.add(done.entry.quarantined);
                meters.rows_stored.add(done.stored);
                meters.rows_duplicate.add(done.duplicate);
                if done.entry.answered == Answered::Refused {
                    let said = done.message.as_deref().unwrap_or("the provider does not know the symbol");
                    let said = collector.providers[dataset.provider].scrub(said);
                    tracing::warn!(dataset = dataset.name, %symbol, said, "unknown symbol");
                    self.fail(collector, item, "the provider does not know the symbol");
                } else {
                    self.summary.answered += 1;
                    collector.meters.symbols_answered.inc();
                }
                collector.ledger.put(&dataset.name, symbol, done.entry);
                false
            }
            Ended::Lost(failed) => self.take_cause(collector, item, &failed),
            Ended::Failed(error) => self.take_failure(collector, item, &error),
        }
    }

    fn take_failure(&mut self, collector: &Collector, item: Item, error: &worker_pool::Error) -> bool {
        if error.kind() == worker_pool::ErrorKind::Closed {
            self.miss(collector, item);
            return false;
        }
        match failed_of(error) {
            Some(failed) => self.take_cause(collector, item, failed),
            None => {
                self.summary.not_asked -= 1;
                self.fail(collector, item, &error.to_string());
                false
            }
        }
    }

    fn take_cause(&mut self, collector: &Collector, item: Item, failed: &Failed) -> bool {
        match failed {
            Failed::GivenUp { provider, why } => {
                self.end_early(&format!("{provider}: {why}"));
                self.miss(collector, item);
                false
            }
            Failed::Store(why) => {
                tracing::error!(why, "the pass stops: rows could not be kept");
                self.summary.not_asked -= 1;
                self.end_early(why);
                self.fail(collector, item, why);
                true
            }
            Failed::NoAnswer { .. } => {
                self.summary.not_asked -= 1;
                let dataset = &collector.datasets[item.dataset];
                let symbol = &dataset.symbols[item.symbol];
                if self.summary.failed < LOUD {
                    tracing::warn!(dataset = dataset.name, %symbol, %failed, "failed");
                } else {
                    tracing::debug!(dataset = dataset.name, %symbol, %failed, "failed");
                }
                if self.summary.failed == LOUD {
                    tracing::warn!(
                        "further failures of this pass stand in its summary, and in the log at debug"
                    );
                }
                self.fail(collector, item, &failed.to_string());
                false
            }
        }
    }

    fn fail(&mut self, collector: &Collector, item: Item, why: &str) {
        self.summary.failed += 1;
        collector.meters.symbols_failed.inc();
        *self.reasons.entry(why.to_owned()).or_default() += 1;
        self.miss(collector, item);
    }

    fn miss(&mut self, collector: &Collector, item: Item) {
        if self.summary.missing.len() < MISSING_NAMED {
            let dataset = &collector.datasets[item.dataset];
            self.summary.missing.push(format!("{}/{}", dataset.name, dataset.symbols[item.symbol]));
        }
    }

    fn end_early(&mut self, why: &str) {
        self.summary.ended_early.get_or_insert_with(|| why.to_owned());
    }

    fn finish(mut self, collector: &Collector, load: &Load) -> Summary {
        let elapsed_s = self.begun.elapsed().as_secs_f64();
        let mut response = tidemill_metrics::HistogramSnapshot::default();
        for (provider, before) in collector.providers.iter().zip(&self.before) {
            let mut now = provider.counts.summary(&provider.name);
            now.subtract(&before.summary);
            self.summary.requests += now.requests;
            self.summary.refused += now.refused;
            self.summary.providers.push(now);
            response.merge(&provider.counts.response.snapshot().since(&before.response));
        }
        let ms = |seconds: Option<f64>| seconds.unwrap_or(0.0) * 1e3;
        let s = &mut self.summary;
        s.response_ms = ResponseMs {
            mean: ms(response.mean()),
            p50: ms(response.quantile(0.5)),
            p95: ms(response.quantile(0.95)),
            p99: ms(response.quantile(0.99)),
        };
        s.elapsed_s = elapsed_s;
        s.symbols_per_minute = if elapsed_s > 0.0 { s.answered as f64 * 60.0 / elapsed_s } else { 0.0 };
        s.success_rate = if s.symbols == 0 { 1.0 } else { (s.answered + s.fresh) as f64 / s.symbols as f64 };
        let mut reasons: Vec<Failure> =
            self.reasons.into_iter().map(|(reason, symbols)| Failure { reason, symbols }).collect();
        reasons.sort_by_key(|failure| std::cmp::Reverse(failure.symbols));
        s.failures = reasons;
        let asked = s.requests > 0;
        s.grades = grade(&Figures {
            symbols_per_minute: asked.then_some(s.symbols_per_minute),
            response_s: response.mean(),
            success_percent: Some(s.success_rate * 100.0),
            cpu_percent: load.cpu_percent(),
            memory_percent: load.memory_percent(),
            disk_wait_percent: load.disk_wait_percent(),
        });
        self.summary
    }
}

fn show(collector: &Collector, tally: &Tally, progress: &Progress) {
    let refused: u64 = collector
        .providers
        .iter()
        .zip(&tally.before)
        .map(|(provider, before)| provider.counts.summary(&provider.name).refused - before.summary.refused)
        .sum();
    let eta = collector
        .providers
        .iter()
        .zip(&tally.left)
        .map(|(provider, left)| provider.pool.forecast(*left))
        .max();
    let s = &tally.summary;
    let rows = s.rows_stored;
    let fields: [(&str, &dyn Display); 3] = [("refused", &refused), ("failed", &s.failed), ("rows", &rows)];
    progress.update(s.answered + s.fresh, &fields, eta);
}

fn show_last(summary: &Summary, progress: &Progress) {
    let fields: [(&str, &dyn Display); 3] =
        [("refused", &summary.refused), ("failed", &summary.failed), ("rows", &summary.rows_stored)];
    progress.finish(summary.answered + summary.fresh, &fields);
}
