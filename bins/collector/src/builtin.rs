//! The configuration used without `--config`: a sandbox inside this process, as strict as a vendor can be.

use std::time::Duration;

use anyhow::{Context as _, Result};
use tidemill_rate_limit::{Limit, Model};
use tidemill_sandbox::{Config as SandboxConfig, Running, Sandbox};

use crate::config::{Config, Dataset, Provider};

/// A sandbox that has not been started.
#[derive(Debug)]
pub struct Builtin {
    sandbox: Sandbox,
    keys: Vec<String>,
}

impl Builtin {
    /// 1000 symbols over 4 keys of 75 requests in 10 s, a compressed minute, counted by a log that counts refusals too.
    pub fn new() -> Result<Self> {
        let config = SandboxConfig::default();
        let keys = config.keys.clone();
        Ok(Self { sandbox: Sandbox::builder(config).build().context("cannot build the sandbox")?, keys })
    }

    /// Serves it on a free port of this machine.
    pub async fn start(&self) -> Result<Running> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .context("cannot bind a port for the sandbox")?;
        Ok(self.sandbox.serve(listener).await?)
    }

    /// Adds the sandbox as the provider, and one dataset of all its symbols.
    pub fn fill(&self, config: &mut Config, base_url: &str) {
        let mut limit = Limit::new(75, Duration::from_secs(10));
        limit.model = Model::SlidingLog;
        config.providers.push(Provider {
            name: "sandbox".into(),
            adapter: "alpha-vantage".into(),
            base_url: base_url.into(),
            keys: self.keys.clone(),
            limits: vec![limit],
            ..Provider::default()
        });
        config.datasets.push(Dataset {
            name: "us_daily".into(),
            provider: "sandbox".into(),
            symbols: self.sandbox.symbols().collect(),
            ..Dataset::default()
        });
    }
}
