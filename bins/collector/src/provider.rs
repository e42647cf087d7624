//! One provider at work: its adapter, its keys and quota, its HTTP layers, and what was counted of it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use http::Uri;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use tidemill_market::{Adapter, Ask, Checks, Class, Reading, Refused};
use tidemill_metrics::Histogram;
use tidemill_rate_limit::{FileStamps, Hints, KeyIndex, KeyPool, Outcome, RetryAfter, headers};
use tower::{Layer as _, Service, ServiceBuilder, ServiceExt as _};

use crate::config::{Collector, Provider as Config};
use crate::dataset::Dataset;
use crate::http::{self as wire, Answer, Attempt, Call, Redirect, RedirectLayer};
use crate::keys::ApiKey;
use crate::permit::{Judge, KEY_HERE, Paid, PaidError, PermitLayer, Wallet};
use crate::report::{KeySummary, ProviderSummary};

/// A provider and everything that is needed to ask it.
#[derive(Debug)]
pub struct Provider {
    /// Its name in the configuration.
    pub name: String,
    /// Its quota.
    pub pool: KeyPool,
    adapter: Adapter,
    base: Base,
    layers: Redirect<Paid<Attempt, Counts>>,
    /// What was counted.
    pub counts: Arc<Counts>,
    failures_in_a_row: AtomicU32,
    give_up_after: u32,
    drained: AtomicBool,
}

/// Scheme, authority and leading path of every request.
#[derive(Debug)]
struct Base {
    scheme: String,
    authority: String,
    path: String,
}

/// What was counted of a provider; also the judge of its answers.
#[derive(Debug)]
pub struct Counts {
    keys: Vec<KeyCounts>,
    /// From request to answer, seconds; answers only.
    pub response: Histogram,
    /// Attempts without an answer.
    pub unanswered: AtomicU64,
}

#[derive(Debug, Default)]
struct KeyCounts {
    requests: AtomicU64,
    refused: AtomicU64,
}

/// What a call is about; travels in the call's extensions.
#[derive(Clone, Debug)]
struct Asked {
    provider: Arc<Adapter>,
    dataset: Arc<Dataset>,
    symbol: Arc<str>,
}

/// What an attempt came to.
#[derive(Debug)]
pub struct Read {
    /// The answer's rows and class.
    pub reading: Reading,
    /// The body, for quarantine when nothing could be read.
    pub body: bytes::Bytes,
    /// HTTP status.
    pub status: u16,
    /// When the answer arrived.
    pub at: SystemTime,
}

impl Provider {
    /// Builds a provider; `state` is the folder that keeps the send stamps, `limited = false` the control run without limits.
    pub fn build(config: &Config, keys: Vec<ApiKey>, http: &wire::Config, collector: &Collector, state: &Path, limited: bool) -> Result<Self> {
        let adapter = match &config.mapping {
            Some(mapping) => Adapter::generic(mapping.clone())?,
            None => Adapter::by_name(&config.adapter)?,
        };
        let limits = if limited { config.limits.clone() } else { Vec::new() };
        let quota = tidemill_rate_limit::Config {
            limits,
            concurrency: config.concurrency,
            max_waiters: collector.workers.max(1),
            deadline: http.total_timeout,
            ..tidemill_rate_limit::Config::default()
        };
        let mut builder = KeyPool::builder(quota).key_names(keys.iter().map(ApiKey::expose));
        if limited {
            std::fs::create_dir_all(state).with_context(|| format!("cannot create {}", state.display()))?;
            builder = builder.stamps(FileStamps::open(state.join(format!("{}.stamps", config.name)))?);
        }
        let pool = builder.build()?;
        let mut http = http.clone();
        if let Some(agent) = &config.user_agent {
            http.user_agent.clone_from(agent);
        }
        let counts = Arc::new(Counts::new(keys.len()));
        let permit = PermitLayer {
            pool: pool.clone(),
            keys: Arc::new(Wallet::new(keys)),
            max_wait: collector.max_wait,
            judge: Arc::clone(&counts),
        };
        let redirect = RedirectLayer::new(&http);
        let attempt = Attempt::builder(http).build()?;
        Ok(Self {
            name: config.name.clone(),
            layers: ServiceBuilder::new().layer(redirect).layer(permit).service(attempt),
            base: Base::parse(&config.base_url)?,
            adapter,
            pool,
            counts,
            failures_in_a_row: AtomicU32::new(0),
            give_up_after: collector.give_up_after,
            drained: AtomicBool::new(false),
        })
    }

    /// True when the provider's adapter can be asked for this interval.
    pub fn supports(&self, interval: tidemill_market::Interval) -> bool {
        self.adapter.supports(interval)
    }

    /// Why nobody should be asked any more in this pass.
    pub fn given_up(&self) -> Option<&'static str> {
        if self.drained.load(Ordering::Relaxed) {
            Some("the quota is used up")
        } else if self.failures_in_a_row.load(Ordering::Relaxed) >= self.give_up_after {
            Some("the provider is down")
        } else {
            None
        }
    }

    /// A new pass begins: what was given up is tried again.
    pub fn begin_pass(&self) {
        self.failures_in_a_row.store(0, Ordering::Relaxed);
        self.drained.store(false, Ordering::Relaxed);
    }

    /// Asks once, redirects included. Waits for permits as long as it must.
    pub async fn ask(&self, dataset: &Arc<Dataset>, symbol: &Arc<str>) -> Result<Read, PaidError> {
        let asked = Asked { provider: Arc::new(self.adapter.clone()), dataset: Arc::clone(dataset), symbol: Arc::clone(symbol) };
        let mut call = self.call(dataset, symbol);
        call.extensions.insert(asked);
        let mut layers = self.layers.clone();
        let answer = match layers.ready().await {
            Ok(ready) => ready.call(call).await,
            Err(error) => Err(error),
        };
        let read = answer.and_then(|mut answer| match answer.extensions.remove::<Read>() {
            Some(read) => Ok(read),
            None => unreachable!("a final answer has been read"),
        });
        self.learn(&read);
        read
    }
}
