//! The collector put together: store, ledger, providers and datasets of one configuration.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::SystemTime;

use anyhow::{Context as _, Result, ensure};
use tidemill_lease::Leases;
use tidemill_metrics::Registry;
use tidemill_shell::logs::Redactor;
use tidemill_shell::signals::Shutdown;
use tidemill_storage::{Scan, Store};

use crate::config::Config;
use crate::dataset::Dataset;
use crate::experiments::Experiments;
use crate::keys;
use crate::ledger::{self, Ledger};
use crate::meters::Meters;
use crate::plan::{self, Due, Wanted};
use crate::provider::{Given, Provider};
use crate::remote::{self, Pusher};
use crate::rollouts::Rollouts;
use crate::rows;
use crate::tuning::{self, Ticking, Tuning};
use crate::workers::Workers;
use crate::writer::{Rhythm, Writer};

/// Everything one process collects with.
#[derive(Debug)]
pub struct Collector {
    /// The configuration it was built from.
    pub config: Config,
    /// In the order of the configuration.
    pub providers: Vec<Arc<Provider>>,
    /// In the order of the configuration.
    pub datasets: Vec<Arc<Dataset>>,
    /// What was answered when.
    pub ledger: Ledger,
    /// The way to the store.
    pub writer: Writer,
    /// How many requests are prepared at once.
    pub workers: Arc<Workers>,
    /// Which datasets move to another provider, and how far they are.
    pub rollouts: Arc<Rollouts>,
    /// Which datasets' providers are compared.
    pub experiments: Arc<Experiments>,
    /// What changes settings while the collector runs.
    pub tuning: Tuning,
    /// Every metric of this process.
    pub registry: Registry,
    /// Rows and symbols as they are counted.
    pub meters: Meters,
    /// The right to spend quotas, when several collectors share them.
    pub leases: Option<Leases>,
    store: Store,
    writing: JoinHandle<()>,
    pusher: Pusher,
    ticking: Ticking,
}

/// Where things are and what may be said of them.
#[derive(Clone, Debug)]
pub struct Place {
    /// Folder that lists in the configuration are relative to.
    pub base: PathBuf,
    /// Masks keys in everything that is printed.
    pub redactor: Redactor,
    /// False in the control run.
    pub limited: bool,
    /// Tells when to stop.
    pub shutdown: Shutdown,
    /// Where the right to spend a quota is kept, when several collectors share it.
    pub leases: Option<Leases>,
}

impl Collector {
    /// Opens the store, replays its journal, and builds every provider and dataset. `config` has been checked.
    pub fn open(config: Config, place: &Place, env: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        let data = config.collector.data.clone();
        let prefix =
            tidemill_metrics::Config { prefix: "tidemill".into(), ..tidemill_metrics::Config::default() };
        let registry = Registry::builder(prefix).build()?;
        let meters = Meters::new(&registry)?;
        let state = data.join("state");
        let providers = build_providers(&config, place, &registry, Some(&state), env)?;
        let datasets = build_datasets(&config, place)?;
        for (dataset, wanted) in datasets.iter().zip(&config.datasets) {
            let provider = &providers[dataset.provider];
            ensure!(
                provider.supports(dataset.interval),
                "dataset {:?}: provider {:?} has no bars of {:?}",
                dataset.name,
                provider.name,
                wanted.interval
            );
        }
        std::fs::create_dir_all(&data).with_context(|| format!("cannot create {}", data.display()))?;
        let s3 = config.storage.s3.as_ref();
        let kept = tidemill_storage::Config::default();
        let buffer = kept.flush_bytes;
        let store = store_of(&datasets, kept);
        let store = remote::attach(store, s3, &place.redactor, env)?
            .open(&data)
            .with_context(|| format!("cannot open the data folder {}", data.display()))?;
        let ledger = Ledger::load(store.scan(ledger::TABLE, &Scan::new()))?;
        let bounds = &config.collector;
        let rhythm = Arc::new(Rhythm::new(bounds.group_commit, bounds.linger, bounds.publish_every, buffer));
        let workers = Arc::new(Workers::new(bounds.workers, tuning::most_workers(bounds)));
        let (writer, writing) = Writer::start(store.clone(), Arc::clone(&rhythm))?;
        let pusher = Pusher::start(&store, s3, &registry)?;
        let rollouts = Arc::new(Rollouts::open(&state, &datasets, &providers));
        let experiments = Arc::new(Experiments::open(&state, &datasets, &providers, &rollouts));
        let parts = tuning::Parts {
            providers: &providers,
            workers: &workers,
            rhythm: &rhythm,
            state: &state,
            registry: &registry,
        };
        let (tuning, ticking) = Tuning::start(&config, &parts)?;
        let leases = place.leases.clone();
        Ok(Self {
            config,
            providers,
            datasets,
            ledger,
            writer,
            workers,
            rollouts,
            experiments,
            tuning,
            registry,
            meters,
            leases,
            store,
            writing,
            pusher,
            ticking,
        })
    }

    /// What is due at `now`.
    pub fn due(&self, now: SystemTime) -> Due {
        let wanted: Vec<Wanted<'_>> = self.datasets.iter().map(|dataset| dataset.wanted()).collect();
        plan::due(&wanted, &self.ledger, now)
    }

    /// The next moment at which something fresh turns stale.
    pub fn next_turn(&self, now: SystemTime) -> SystemTime {
        let turns = self.datasets.iter().map(|dataset| {
            let oldest = self.ledger.of(&dataset.name).map(|(_, entry)| entry.at).min();
            dataset.freshness.next_turn(oldest.unwrap_or(now), now)
        });
        turns.min().unwrap_or(now)
    }

    /// Ends the writing thread and closes the store; everything acknowledged is kept.
    pub async fn close(self) -> Result<()> {
        let Self { writer, writing, store, pusher, ticking, .. } = self;
        drop(writer);
        let end = move || {
            ticking.close();
            ensure!(writing.join().is_ok(), "the writing thread panicked; run `verify` on the data folder");
            // Sent while the folder is still ours, and closed whether that worked or not.
            let published = store.publish().context("cannot publish");
            pusher.close(&store);
            store.close().context("cannot close the store")?;
            published.map(drop)
        };
        tokio::task::spawn_blocking(end).await.context("closing the store panicked")?
    }
}

/// Builds every provider; without `state` their past is neither read nor written. Their keys are registered with the redactor before anything else is done with them.
pub fn build_providers(
    config: &Config,
    place: &Place,
    registry: &Registry,
    state: Option<&Path>,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<Arc<Provider>>> {
    let given = Given {
        collector: &config.collector,
        http: &config.http,
        state,
        limited: place.limited,
        registry,
        shutdown: &place.shutdown,
        leases: place.leases.as_ref(),
    };
    let build = |provider: &crate::config::Provider| -> Result<Arc<Provider>> {
        let keys = keys::load(provider, &place.base, env)?;
        for key in &keys {
            place.redactor.register(key.expose());
        }
        Provider::build(provider, keys, &given)
            .map(Arc::new)
            .with_context(|| format!("provider {:?}", provider.name))
    };
    config.providers.iter().map(build).collect()
}

/// Builds every dataset.
pub fn build_datasets(config: &Config, place: &Place) -> Result<Vec<Arc<Dataset>>> {
    let build = |dataset: &crate::config::Dataset| -> Result<Arc<Dataset>> {
        let provider = config.providers.iter().position(|provider| provider.name == dataset.provider);
        let provider = provider
            .with_context(|| format!("dataset {:?}: no provider {:?}", dataset.name, dataset.provider))?;
        Dataset::build(dataset, provider, &place.base, &config.http).map(Arc::new)
    };
    config.datasets.iter().map(build).collect()
}

/// The store's builder with every table that a collector of these datasets has.
pub fn store_of(datasets: &[Arc<Dataset>], config: tidemill_storage::Config) -> tidemill_storage::Builder {
    let own = Store::builder(config).table(ledger::table()).table(rows::quarantine_table());
    datasets.iter().fold(own, |builder, dataset| builder.table(dataset.table.clone()))
}
