//! The collector's configuration: plain data, checked once, with the names of the fields in every complaint.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use tidemill_market::Mapping;
use tidemill_rate_limit::Limit;

use crate::http;

/// The whole file. Every field has a default but the providers and datasets, without which there is nothing to do.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Version of this format; only `1` exists.
    pub config_version: Option<u32>,
    /// The program itself.
    pub collector: Collector,
    /// Connections, timeouts and bounds of every HTTP client.
    pub http: http::Config,
    /// Who is asked.
    #[serde(rename = "provider")]
    pub providers: Vec<Provider>,
    /// What is collected.
    #[serde(rename = "dataset")]
    pub datasets: Vec<Dataset>,
}

/// `[collector]`: the program itself.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Collector {
    /// Folder of everything kept; default `data`.
    pub data: PathBuf,
    /// Where `/health` and `/metrics` are served; default nowhere.
    pub listen: Option<SocketAddr>,
    /// Requests prepared at once, over all providers; default 32, 1 to 1024.
    pub workers: usize,
    /// Work items waiting for a worker; default 100.
    pub queue: usize,
    /// Tries of one item after a failure that may pass; default 3.
    pub tries: u32,
    /// Refusals one item sits through before it counts as failed; default 20.
    pub refusals: u32,
    /// Failures in a row, over one provider, after which the pass stops asking it; default 40.
    pub give_up_after: u32,
    /// Longest wait for a permit before a pass says that the quota is used up; default `10m`.
    #[serde(with = "humantime_serde")]
    pub max_wait: Duration,
    /// Time running work gets to finish after SIGTERM; default `35s`.
    #[serde(with = "humantime_serde")]
    pub drain: Duration,
    /// How often new rows become visible to readers while a pass runs; default `10s`.
    #[serde(with = "humantime_serde")]
    pub publish_every: Duration,
    /// Answers committed with one fsync; default 64.
    pub group_commit: usize,
}

impl Default for Collector {
    fn default() -> Self {
        Self {
            data: PathBuf::from("data"),
            listen: None,
            workers: 32,
            queue: 100,
            tries: 3,
            refusals: 20,
            give_up_after: 40,
            max_wait: Duration::from_secs(600),
            drain: Duration::from_secs(35),
            publish_every: Duration::from_secs(10),
            group_commit: 64,
        }
    }
}

/// `[[provider]]`: one API with its keys and limits.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Provider {
    /// Name that datasets, metrics and reports use.
    pub name: String,
    /// `alpha-vantage`, `alpha-vantage-csv`, `twelve-data` or `generic`.
    pub adapter: String,
    /// Scheme, host, port and an optional path in front of the adapter's own.
    pub base_url: String,
    /// Keys in plain sight; better one of the next two.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
    /// Environment variable with keys separated by commas or white space.
    pub keys_env: Option<String>,
    /// File with one key a line, relative to this file; `#` starts a comment.
    pub keys_file: Option<PathBuf>,
    /// `User-Agent` of every request; default `tidemill/VERSION`.
    pub user_agent: Option<String>,
    /// Requests under way at once; default the client's limit per host.
    pub concurrency: Option<u32>,
    /// What the provider allows; none means no limit at all.
    #[serde(rename = "limit")]
    pub limits: Vec<Limit>,
    /// How a `generic` provider's answers are read.
    pub mapping: Option<Mapping>,
}

/// `[[dataset]]`: one table of rows.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dataset {
    /// Name of the table and of its folder under `DATA/parquet`.
    pub name: String,
    /// What the rows are; `bars`.
    pub kind: Kind,
    /// Bar length: `1d`, `1min`, `5min`, `1h`.
    pub interval: String,
    /// Name of a `[[provider]]`.
    pub provider: String,
    /// The universe, in full.
    pub symbols: Vec<String>,
    /// The universe as a file with one symbol a line, relative to this file; `#` starts a comment.
    pub symbols_file: Option<PathBuf>,
    /// Sessions that bars must fall in and that decide when data is fresh: `XNYS` (default) or `none`.
    pub calendar: String,
    /// Without a calendar: how long an answer counts as fresh; default `1d`.
    #[serde(with = "humantime_serde")]
    pub refresh: Duration,
    /// After a session's close: how long the provider needs until its bar is final; default `30m`.
    #[serde(with = "humantime_serde")]
    pub settle: Duration,
    /// Volumes with fractions, as on crypto markets; default false.
    pub fractional_volume: bool,
}

impl Default for Dataset {
    fn default() -> Self {
        Self {
            name: String::new(),
            kind: Kind::Bars,
            interval: "1d".into(),
            provider: String::new(),
            symbols: Vec::new(),
            symbols_file: None,
            calendar: "XNYS".into(),
            refresh: Duration::from_secs(86_400),
            settle: Duration::from_secs(1_800),
            fractional_volume: false,
        }
    }
}

/// What a dataset's rows are.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Open, high, low, close, volume.
    #[default]
    Bars,
}

/// Tables the collector keeps beside the datasets; a dataset must not take their names.
pub const RESERVED_TABLES: [&str; 2] = ["ledger", "quarantine"];

impl Config {
    /// Checks every bound and every reference; the complaint names the field.
    pub fn check(&self) -> Result<()> {
        let c = &self.collector;
        ensure!((1..=1024).contains(&c.workers), "collector.workers is {}; choose 1 to 1024", c.workers);
        ensure!((1..=100_000).contains(&c.queue), "collector.queue is {}; choose 1 to 100000", c.queue);
        ensure!((1..=4096).contains(&c.group_commit), "collector.group_commit is {}; choose 1 to 4096", c.group_commit);
        ensure!(c.give_up_after > 0, "collector.give_up_after is 0; choose at least 1");
        ensure!(!self.providers.is_empty(), "no [[provider]] is configured; add one, or run without --config to try the built-in sandbox");
        ensure!(!self.datasets.is_empty(), "no [[dataset]] is configured; add one that names a provider");
        let mut names = HashSet::new();
        for (i, p) in self.providers.iter().enumerate() {
            p.check().with_context(|| format!("provider {:?} ([[provider]] number {})", p.name, i + 1))?;
            ensure!(names.insert(&p.name), "provider name {:?} is used twice; names must differ", p.name);
        }
        let mut tables = HashSet::new();
        for (i, d) in self.datasets.iter().enumerate() {
            d.check().with_context(|| format!("dataset {:?} ([[dataset]] number {})", d.name, i + 1))?;
            ensure!(tables.insert(&d.name), "dataset name {:?} is used twice; names must differ", d.name);
            ensure!(
                names.contains(&d.provider),
                "dataset {:?}: provider {:?} is not configured; there are: {}",
                d.name,
                d.provider,
                self.providers.iter().map(|p| p.name.as_str()).collect::<Vec<_>>().join(", ")
            );
        }
        Ok(())
    }
}

impl Provider {
    fn check(&self) -> Result<()> {
        check_name("name", &self.name)?;
        let sources = usize::from(!self.keys.is_empty())
            + usize::from(self.keys_env.is_some())
            + usize::from(self.keys_file.is_some());
        ensure!(sources <= 1, "give one of keys, keys_env and keys_file, not {sources} of them");
        ensure!(self.base_url.starts_with("http://") || self.base_url.starts_with("https://"),
            "base_url {:?} must start with http:// or https://", self.base_url);
        match (self.adapter.as_str(), &self.mapping) {
            ("generic", None) => bail!("adapter \"generic\" needs a [provider.mapping] that says where the rows are"),
            ("generic", Some(_)) => {}
            (_, Some(_)) => bail!("mapping belongs to adapter \"generic\", not to {:?}", self.adapter),
            ("alpha-vantage" | "alpha-vantage-csv" | "twelve-data", None) => {}
            (other, None) => bail!("adapter {other:?} is unknown; choose alpha-vantage, alpha-vantage-csv, twelve-data or generic"),
        }
        Ok(())
    }
}

impl Dataset {
    fn check(&self) -> Result<()> {
        check_name("name", &self.name)?;
        ensure!(!RESERVED_TABLES.contains(&self.name.as_str()), "name {:?} is the collector's own table; choose another", self.name);
        self.interval.parse::<tidemill_market::Interval>().map_err(|e| anyhow::anyhow!("interval {:?}: {e}", self.interval))?;
        ensure!(self.symbols.is_empty() || self.symbols_file.is_none(), "give symbols or symbols_file, not both");
        ensure!(!self.symbols.is_empty() || self.symbols_file.is_some(), "no symbols: give symbols = [\"AAPL\"] or symbols_file = \"symbols.txt\"");
        ensure!(matches!(self.calendar.as_str(), "XNYS" | "none"), "calendar {:?} is unknown; choose \"XNYS\" or \"none\"", self.calendar);
        Ok(())
    }
}

/// Names become folders, metric labels and log fields.
fn check_name(field: &str, name: &str) -> Result<()> {
    let fits = !name.is_empty()
        && name.len() <= 64
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-')
        && !name.starts_with(['-', '_']);
    ensure!(fits, "{field} {name:?} must be 1 to 64 of a-z, 0-9, '_' and '-', starting with a letter or digit");
    Ok(())
}

/// Lines of a list file: trimmed, without comments and empty ones. `path` is relative to `base`.
pub fn read_list(base: &Path, path: &Path, what: &str) -> Result<Vec<String>> {
    let path = base.join(path);
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {what} {}", path.display()))?;
    let lines = text.lines().map(|l| l.split('#').next().unwrap_or("").trim()).filter(|l| !l.is_empty());
    Ok(lines.map(str::to_owned).collect())
}
