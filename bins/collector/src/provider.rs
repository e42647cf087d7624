//! One provider at work: its adapter, its keys and quota, its HTTP layers, and what was counted of it.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use http::Uri;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use tidemill_lease::Leases;
use tidemill_market::{Adapter, Ask, Class, Reading};
use tidemill_metrics::Registry;
use tidemill_rate_limit::{Cost, FileStamps, KeyPool};
use tidemill_shell::signals::Shutdown;
use tower::{Service as _, ServiceBuilder, ServiceExt as _};

use crate::config::{Collector, Provider as Config};
use crate::dataset::Dataset;
use crate::http::{self as wire, Answer, Attempt, Call, Redirect, RedirectLayer};
use crate::keys::ApiKey;
use crate::lease::{Past, Tenancy};
use crate::pace::{Pace, per_second};
use crate::permit::{KEY_HERE, Paid, PaidError, PermitLayer, Terms, Wallet};
use crate::tuning::most_workers;

mod counts;

pub use counts::Counts;

/// A provider and everything that is needed to ask it.
#[derive(Debug)]
pub struct Provider {
    /// Its name in the configuration.
    pub name: String,
    /// Its quota.
    pub pool: KeyPool,
    adapter: Arc<Adapter>,
    base: Base,
    layers: Redirect<Paid<Attempt, Counts>>,
    /// What was counted.
    pub counts: Arc<Counts>,
    failures_in_a_row: AtomicU32,
    failures: AtomicU64,
    last_failure: Mutex<String>,
    give_up_after: u32,
    drained: AtomicBool,
    limited: bool,
    wallet: Arc<Wallet>,
    tenancy: Option<Arc<Tenancy>>,
    pace: Arc<Pace>,
    /// Requests under way at once, as configured.
    concurrency: Option<u32>,
    /// The same, with what the client lets through.
    most_concurrency: u32,
    /// What it is turned to.
    cap: AtomicU32,
}

/// What all providers of a collector are built with.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// Bounds of the program.
    pub collector: &'a Collector,
    /// Bounds of the clients.
    pub http: &'a wire::Config,
    /// Folder that keeps the send stamps; none where nothing is to be sent.
    pub state: Option<&'a Path>,
    /// False in the control run, in which nothing holds requests back.
    pub limited: bool,
    /// Where metrics are registered.
    pub registry: &'a Registry,
    /// Ends the waiting for permits.
    pub shutdown: &'a Shutdown,
    /// Where the right to spend a quota is kept, when several collectors share it.
    pub leases: Option<&'a Leases>,
}

/// Scheme, authority and leading path of every request.
#[derive(Debug)]
struct Base {
    scheme: String,
    authority: String,
    path: String,
}

/// What a call is about; travels in the call's extensions.
#[derive(Clone, Debug)]
struct Asked {
    adapter: Arc<Adapter>,
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
    /// From the request to the last byte of the answer.
    pub took: Duration,
}

impl Provider {
    /// Builds a provider with its keys.
    pub fn build(config: &Config, keys: Vec<ApiKey>, given: &Given<'_>) -> Result<Self> {
        let Given { collector, http, state, limited, .. } = *given;
        let adapter = match &config.mapping {
            Some(mapping) => Adapter::generic(mapping.clone())?,
            None => Adapter::by_name(&config.adapter)?,
        };
        let limits = if limited { config.limits.clone() } else { Vec::new() };
        // Where nothing is limited there is no past to remember.
        let remembers = !limits.is_empty();
        let quota = tidemill_rate_limit::Config {
            limits,
            concurrency: config.concurrency,
            max_waiters: most_workers(collector),
            deadline: http.total_timeout,
            ..tidemill_rate_limit::Config::default()
        };
        let mut builder = KeyPool::builder(quota).key_names(keys.iter().map(ApiKey::expose));
        let mut past = None;
        if let Some(state) = state.filter(|_| remembers) {
            std::fs::create_dir_all(state).with_context(|| format!("cannot create {}", state.display()))?;
            let stamps = Past::of(FileStamps::open(state.join(format!("{}.stamps", config.name)))?);
            builder = builder.stamps(stamps.clone());
            past = Some(stamps);
        }
        let pool = builder.build()?;
        let tenancy = match given.leases.zip(past) {
            Some((leases, past)) => {
                let leases = leases.clone();
                let tenancy = Tenancy::new(leases, &config.name, pool.clone(), past, config.concurrency)?;
                Some(Arc::new(tenancy))
            }
            None => None,
        };
        let pace = Arc::new(Pace::new(per_second(config, pool.stats().keys.len(), Pace::LONGEST)));
        let most_connections = http.max_connections.min(http.max_connections_per_host);
        let most_connections = u32::try_from(most_connections).unwrap_or(u32::MAX);
        let mut http = http.clone();
        if let Some(agent) = &config.user_agent {
            http.user_agent.clone_from(agent);
        }
        let mut counts = Counts::new(given.registry, &config.name, keys.len())?;
        counts.weighs = config.cost.is_some();
        let counts = Arc::new(counts);
        let wallet = Arc::new(Wallet::new(keys));
        let permit = PermitLayer(Arc::new(Terms {
            pool: pool.clone(),
            cost: Cost::new(config.cost.unwrap_or(1)),
            pace: Arc::clone(&pace),
            tenancy: tenancy.clone(),
            keys: Arc::clone(&wallet),
            max_wait: collector.max_wait,
            shutdown: given.shutdown.clone(),
            judge: Arc::clone(&counts),
        }));
        let redirect = RedirectLayer::new(&http);
        let attempt = Attempt::builder(http).build()?;
        let most_concurrency = config.concurrency.unwrap_or(most_connections).clamp(1, most_connections);
        Ok(Self {
            name: config.name.clone(),
            layers: ServiceBuilder::new().layer(redirect).layer(permit).service(attempt),
            base: Base::parse(&config.base_url)?,
            adapter: Arc::new(adapter),
            pool,
            counts,
            failures_in_a_row: AtomicU32::new(0),
            failures: AtomicU64::new(0),
            last_failure: Mutex::default(),
            give_up_after: collector.give_up_after,
            drained: AtomicBool::new(false),
            limited,
            wallet,
            tenancy,
            pace,
            concurrency: config.concurrency,
            most_concurrency,
            cap: AtomicU32::new(most_concurrency),
        })
    }

    /// True when the provider's adapter can be asked for this interval.
    pub fn supports(&self, interval: tidemill_market::Interval) -> bool {
        self.adapter.supports(interval)
    }

    /// False in the control run, in which nothing holds requests back.
    pub fn is_limited(&self) -> bool {
        self.limited
    }

    /// The text without any of this provider's keys.
    pub fn scrub(&self, text: &str) -> String {
        self.wallet.scrub(text)
    }

    /// Attempts since the start without an answer or with one that is of no use.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// How fast it is asked.
    pub fn pace(&self) -> &Arc<Pace> {
        &self.pace
    }

    /// Requests under way at once, at most. None where that is agreed with other collectors.
    pub fn most_concurrency(&self) -> Option<u32> {
        let agreed = self.tenancy.is_some() && self.concurrency.is_some();
        (!agreed).then_some(self.most_concurrency)
    }

    /// Requests that may be under way at once now.
    pub fn concurrency(&self) -> u32 {
        self.cap.load(Ordering::Relaxed)
    }

    /// Lets fewer requests be under way at once, or as many as ever.
    pub fn set_concurrency(&self, cap: u32) {
        self.cap.store(cap.min(self.most_concurrency), Ordering::Relaxed);
        // What the client's connections bound needs no bound of the limiter's.
        let cap = if cap < self.most_concurrency { Some(cap) } else { self.concurrency };
        self.pool.set_concurrency(cap);
    }

    /// Why nobody should be asked any more in this pass.
    pub fn given_up(&self) -> Option<String> {
        if self.drained.load(Ordering::Relaxed) {
            return Some("the quota is used up".into());
        }
        let failures = self.failures_in_a_row.load(Ordering::Relaxed);
        if failures < self.give_up_after {
            return None;
        }
        let last = self.last_failure.lock().unwrap_or_else(PoisonError::into_inner);
        Some(format!("the provider is down, {failures} failures in a row; the last: {last}"))
    }

    /// A new pass begins: what was given up is tried again, and the right to send is asked for.
    pub async fn begin_pass(&self) {
        self.failures_in_a_row.store(0, Ordering::Relaxed);
        self.drained.store(false, Ordering::Relaxed);
        if let Some(tenancy) = &self.tenancy {
            tenancy.begin().await;
        }
    }

    /// The pass has ended: the right to send is given back, which takes at most `deadline`.
    pub async fn end_pass(&self, deadline: Duration) {
        if let Some(tenancy) = &self.tenancy {
            tenancy.end(deadline).await;
        }
    }

    /// Asks once, redirects included. Waits for permits as long as it must.
    pub async fn ask(&self, dataset: &Arc<Dataset>, symbol: &Arc<str>) -> Result<Read, PaidError> {
        let (adapter, dataset, symbol) = (Arc::clone(&self.adapter), Arc::clone(dataset), Arc::clone(symbol));
        let asked = Asked { adapter, dataset, symbol };
        let mut call = self.call(&asked)?;
        call.extensions.insert(asked.clone());
        let mut layers = self.layers.clone();
        let answer = match layers.ready().await {
            Ok(ready) => ready.call(call).await,
            Err(error) => Err(error),
        };
        let read = answer.map(|mut answer| {
            let read = answer.extensions.remove::<Arc<Read>>().and_then(Arc::into_inner);
            read.unwrap_or_else(|| asked.read(&answer))
        });
        self.learn(&read);
        read
    }

    fn call(&self, asked: &Asked) -> Result<Call, PaidError> {
        let ask = asked.ask();
        let parts = self.adapter.request(&ask, Some(KEY_HERE));
        let Base { scheme, authority, path } = &self.base;
        let bad = |note: &str| PaidError::BadRequest(format!("{}: {note}", parts.redacted()));
        let uri = Uri::builder()
            .scheme(scheme.as_str())
            .authority(authority.as_str())
            .path_and_query(format!("{path}{}", parts.path_and_query))
            .build()
            .map_err(|error| bad(&error.to_string()))?;
        let mut call = Call::get(uri);
        for (name, value) in &parts.headers {
            let name = HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| bad("a header name of the mapping is not valid"))?;
            let value = HeaderValue::from_str(value)
                .map_err(|_| bad("a header value of the mapping is not valid"))?;
            call.headers.insert(name, value);
        }
        Ok(call)
    }

    fn learn(&self, read: &Result<Read, PaidError>) {
        match read {
            Ok(read)
                if matches!(read.reading.class, Class::ServerError | Class::Malformed | Class::Blocked) =>
            {
                let said = read.reading.message.as_deref().unwrap_or("no usable answer");
                self.fail(self.scrub(&format!("HTTP {}: {said}", read.status)));
            }
            Ok(_) => self.failures_in_a_row.store(0, Ordering::Relaxed),
            Err(PaidError::Drained(_) | PaidError::Taken(_)) => self.drained.store(true, Ordering::Relaxed),
            Err(PaidError::Fetch(error)) => {
                self.counts.unanswered.inc();
                self.fail(error.to_string());
            }
            Err(PaidError::Limiter(_) | PaidError::BadRequest(_) | PaidError::Stopping) => {}
        }
    }

    fn fail(&self, why: String) {
        self.failures_in_a_row.fetch_add(1, Ordering::Relaxed);
        self.failures.fetch_add(1, Ordering::Relaxed);
        *self.last_failure.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }
}

impl Base {
    fn parse(url: &str) -> Result<Self> {
        let uri: Uri = url.parse().with_context(|| format!("base_url {url:?} is not a URL"))?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            anyhow::bail!("base_url {url:?} needs a scheme and a host, as in \"https://api.example.com\"");
        };
        anyhow::ensure!(
            uri.query().is_none(),
            "base_url {url:?} must not have a query; the adapter adds its own"
        );
        anyhow::ensure!(
            !authority.as_str().contains('@'),
            "base_url must not hold a user or password; use keys"
        );
        let path = uri.path().trim_end_matches('/').to_owned();
        Ok(Self { scheme: scheme.to_owned(), authority: authority.to_string(), path })
    }
}

impl Asked {
    fn ask(&self) -> Ask<'_> {
        Ask { symbol: &self.symbol, interval: self.dataset.interval, start: None, end: None }
    }

    fn read(&self, answer: &Answer) -> Read {
        let at = SystemTime::now();
        let given = tidemill_market::Answer {
            status: answer.status.as_u16(),
            content_type: answer.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()),
            body: &answer.body,
        };
        let reading = self.adapter.read(&self.ask(), given, &self.dataset.checks(at));
        let took = answer.received_at.saturating_duration_since(answer.sent_at);
        Read { reading, body: answer.body.clone(), status: answer.status.as_u16(), at, took }
    }
}
