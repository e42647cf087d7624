//! Where snapshots come from: a running monitor's API, a Prometheus endpoint, or this machine itself.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use http::Uri;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::task::JoinSet;

use super::snapshot::{Alert, Snapshot, Target};
use crate::config::Config;
use crate::current::Current;
use crate::http::{Client, Request};
use crate::now_ms;
use crate::probe::Probes;
use crate::watch::{self, Rounds};

/// Time that a monitor has to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of an answer.
const MOST: usize = 32 << 20;

/// One of them.
#[derive(Debug)]
pub enum Source {
    /// A monitor, by its address.
    Monitor(Asked),
    /// Watched by this process.
    Own(Watched),
}

/// A monitor's API.
#[derive(Debug)]
pub struct Asked {
    client: Client,
    url: String,
}

/// Targets that this process asks itself.
#[derive(Debug)]
pub struct Watched {
    current: Current,
    _tasks: JoinSet<()>,
}

impl Source {
    /// An address that ends with `/metrics` is asked itself, beside this machine; any other is a monitor's.
    ///
    /// # Errors
    /// What is no address.
    pub fn open(url: &str, every: Duration) -> Result<Self> {
        let url = url.trim_end_matches('/');
        let uri: Uri = url.parse().with_context(|| format!("{url:?} is no address"))?;
        ensure!(uri.scheme().is_some(), "{url:?} has no scheme: give http://HOST:PORT");
        if uri.path().ends_with("/metrics") {
            let name = uri.host().unwrap_or("target").to_owned();
            return Self::own(Some((name, url)), every);
        }
        Ok(Self::Monitor(Asked { client: Client::new(MOST)?, url: url.to_owned() }))
    }

    /// This machine alone.
    ///
    /// # Errors
    /// When it cannot be looked at.
    pub fn here(every: Duration) -> Result<Self> {
        Self::own(None, every)
    }

    fn own(target: Option<(String, &str)>, every: Duration) -> Result<Self> {
        let mut config = Config::default();
        config.monitor.interval = every.clamp(Duration::from_secs(1), Duration::from_secs(60));
        config.targets.extend(target.map(|(name, url)| watch::Target {
            name,
            url: url.to_owned(),
            ..watch::Target::default()
        }));
        let current = Current::default();
        for target in &config.targets {
            current.declare(&target.name, Some(&target.url));
        }
        let rounds = Rounds::new(current.clone());
        let probes = Probes::open(Path::new(""), &[])?;
        let client = Client::new(config.monitor.answers_max_bytes)?;
        let tasks = watch::start(&config, &client, &rounds, &probes, &|_| None)?;
        Ok(Self::Own(Watched { current, _tasks: tasks }))
    }

    /// What is known now.
    ///
    /// # Errors
    /// Who did not answer, and why.
    pub async fn ask(&self) -> Result<Snapshot> {
        match self {
            Self::Monitor(monitor) => monitor.ask().await,
            Self::Own(watched) => {
                let targets = serde_json::to_value(watched.current.targets(true))?;
                let targets = serde_json::from_value(targets)?;
                Ok(Snapshot { at_ms: now_ms(), targets, ..Snapshot::default() })
            }
        }
    }
}

#[derive(Debug, Deserialize)]
struct Now {
    at_ms: i64,
    targets: Vec<Target>,
}

#[derive(Debug, Default, Deserialize)]
struct Alerts {
    active: Vec<Alert>,
}

impl Asked {
    async fn ask(&self) -> Result<Snapshot> {
        let now: Now = self.get("metrics/current").await?;
        let health: Value = self.get("health").await?;
        // An older monitor has no alerts to tell.
        let alerts: Alerts = self.get("alerts").await.unwrap_or_default();
        let status = health["status"].as_str().unwrap_or_default().to_owned();
        Ok(Snapshot { at_ms: now.at_ms, status, targets: now.targets, alerts: alerts.active })
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let address = format!("{}/api/{path}", self.url);
        let mut request =
            Request::get(address.parse().with_context(|| format!("{address:?} is no address"))?);
        (request.timeout, request.max_bytes) = (PATIENCE, MOST);
        let answer =
            self.client.send(&request).await.with_context(|| format!("{} does not answer", self.url))?;
        ensure!(
            answer.status.is_success(),
            "{address} answers {}: is a tidemill-monitor there?",
            answer.status
        );
        serde_json::from_slice(&answer.body).with_context(|| format!("{address} answers something else"))
    }
}
