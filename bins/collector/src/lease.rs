//! Who may spend a provider's quota: with `[lease]`, one collector at a time, over processes and machines.

mod config;
mod counts;
mod past;
mod process;
mod tenancy;

pub(crate) use config::URL_ENV;
pub use config::{Config, Kind};
pub use counts::Counts;
pub use past::Past;
pub use process::Process;
pub use tenancy::{Spent, Tenancy};

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tidemill_lease::{Leases, Owner, Postgres, PostgresConfig, Sqlite, SqliteConfig, Store};

/// Opens the place of the leases, if the configuration names one; `base` is what its path is relative to.
pub async fn open(
    config: &Config,
    base: &Path,
    reserve: u32,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<Leases>> {
    let store: Arc<dyn Store> = match config.store {
        Kind::None => return Ok(None),
        Kind::Sqlite => {
            let path = base.join(config.path.as_deref().context("lease.path is missing")?);
            let folder = path.parent().unwrap_or(base);
            std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
            let opened = Sqlite::open(&path, SqliteConfig::default());
            Arc::new(opened.with_context(|| format!("cannot open the leases in {}", path.display()))?)
        }
        Kind::Postgres => {
            let name = &config.url_env;
            let url = env(name).with_context(|| {
                format!("environment variable {name} is not set; lease.url_env asks for it")
            })?;
            let tls_roots = config.tls_roots.as_deref().map(|roots| base.join(roots));
            let reached = PostgresConfig { tls_roots, ..PostgresConfig::default() };
            let connected = Postgres::connect(&url, reached).await;
            Arc::new(connected.with_context(|| format!("[lease]: cannot use the store that {name} names"))?)
        }
    };
    let owner = Owner::try_new(Process::this().to_string())?;
    let bounds = tidemill_lease::Config { reserve, ..tidemill_lease::Config::with_term(config.term) };
    let bounds = tidemill_lease::Config { margin: bounds.margin.max(MARGIN.min(config.term / 4)), ..bounds };
    Ok(Some(Leases::builder(bounds, store, owner).build()?))
}

/// What the clock of a database server may step by.
const MARGIN: Duration = Duration::from_secs(1);
