//! The collector's configuration: plain data, checked once, with the names of the fields in every complaint.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use tidemill_market::{Adapter, Calendar, Interval, Mapping};
use tidemill_rate_limit::Limit;

use crate::http;
use crate::lease;
use crate::tuning;

/// The whole file. Every field has a default but the providers and datasets, without which there is nothing to do.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The program itself.
    pub collector: Collector,
    /// Where rows are kept beside the data folder.
    pub storage: Storage,
    /// Connections, timeouts and bounds of every HTTP client.
    pub http: http::Config,
    /// Whether other collectors have the same keys.
    pub lease: lease::Config,
    /// What changes by itself while the collector runs, and by which rules.
    pub tuning: tidemill_autotune::Config,
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
    /// Where `/health`, `/metrics` and `/api/v2` are served; default nowhere.
    pub listen: Option<SocketAddr>,
    /// Environment variable with the token that changes by `PUT` and `DELETE` ask for; default none: they are open on
    /// loopback and refused elsewhere.
    pub token_env: Option<String>,
    /// Requests prepared at once, over all providers; default 32, 1 to 1024.
    pub workers: usize,
    /// Who changes how many requests are under way at once; default `gradient`.
    pub concurrency_by: ConcurrencyBy,
    /// Work items waiting for a worker; default 100.
    pub queue: usize,
    /// Tries of one item after a failure that may pass; default 3.
    pub tries: u32,
    /// Refusals one item sits through before it counts as failed; default 20.
    pub refusals: u32,
    /// Failures in a row, over one provider, after which the pass stops asking it; default 40.
    pub give_up_after: u32,
    /// Pause between two passes when the last one left something missing; default `5m`.
    #[serde(with = "humantime_serde")]
    pub try_again: Duration,
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
    /// Time an answer waits for others to share its fsync; default `2ms`.
    #[serde(with = "humantime_serde")]
    pub linger: Duration,
}

impl Default for Collector {
    fn default() -> Self {
        Self {
            data: PathBuf::from("data"),
            listen: None,
            token_env: None,
            workers: 32,
            concurrency_by: ConcurrencyBy::default(),
            queue: 100,
            tries: 3,
            refusals: 20,
            give_up_after: 40,
            try_again: Duration::from_secs(300),
            max_wait: Duration::from_secs(600),
            drain: Duration::from_secs(35),
            publish_every: Duration::from_secs(10),
            group_commit: 64,
            linger: Duration::from_millis(2),
        }
    }
}

/// Who changes how many requests are under way at once, below what is configured.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConcurrencyBy {
    /// The ratio of the response time without load to that of now: as many as do not queue at the provider.
    #[default]
    Gradient,
    /// One more each interval, and a third less when the mean response is above 1500 ms.
    Aimd,
    /// The tuning rules alone.
    Rules,
}

/// `[storage]`: where rows are kept beside the data folder.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Storage {
    /// A bucket that holds every published snapshot too; default none.
    pub s3: Option<S3>,
}

/// `[storage.s3]`: a bucket at Amazon's, or on another server that speaks S3 and honours conditional writes. It needs a program
/// built with the feature `s3`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct S3 {
    /// Name of the bucket, which must exist.
    pub bucket: String,
    /// Where in the bucket the tables stand; default at its top.
    pub prefix: String,
    /// Region of the bucket; default `us-east-1`.
    pub region: String,
    /// Scheme, host and port of a server other than Amazon's.
    pub endpoint: Option<String>,
    /// `local`: an answer is kept once it is on the disk. `remote`: once it is in the bucket. Default `local`.
    pub ack: String,
    /// How often published rows are sent with `ack = "local"`; default `30s`.
    #[serde(with = "humantime_serde")]
    pub push_every: Duration,
    /// Longest time one request to the bucket may take, retries included; default `1m`.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// Environment variable with the key's id; default `AWS_ACCESS_KEY_ID`.
    pub key_id_env: String,
    /// Environment variable with the key's secret; default `AWS_SECRET_ACCESS_KEY`.
    pub secret_env: String,
    /// Environment variable with a temporary key's token; default `AWS_SESSION_TOKEN`, which may be unset.
    pub token_env: String,
}

impl Default for S3 {
    fn default() -> Self {
        Self {
            bucket: String::new(),
            prefix: String::new(),
            region: "us-east-1".into(),
            endpoint: None,
            ack: "local".into(),
            push_every: Duration::from_secs(30),
            timeout: Duration::from_secs(60),
            key_id_env: "AWS_ACCESS_KEY_ID".into(),
            secret_env: "AWS_SECRET_ACCESS_KEY".into(),
            token_env: "AWS_SESSION_TOKEN".into(),
        }
    }
}

impl S3 {
    /// A commit waits for the bucket.
    pub fn ack_remote(&self) -> bool {
        self.ack == "remote"
    }

    fn check(&self) -> Result<(), Fault> {
        fault("storage.s3.bucket", !self.bucket.is_empty(), || {
            "is missing; name a bucket that exists".into()
        })?;
        fault("storage.s3.ack", matches!(self.ack.as_str(), "local" | "remote"), || {
            format!("{:?} is unknown; choose local or remote", self.ack)
        })?;
        let second = Duration::from_secs(1);
        fault("storage.s3.push_every", self.push_every >= second, || "must be at least 1s".into())?;
        fault("storage.s3.timeout", self.timeout >= second, || "must be at least 1s".into())
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
    /// What one request weighs in the limits, where the provider counts weights; then the used weights that its answers
    /// tell are believed. Default 1, and they are not.
    pub cost: Option<u32>,
    /// What the provider allows; none means no limit at all.
    #[serde(rename = "limit")]
    pub limits: Vec<Limit>,
    /// How a `generic` provider's answers are read.
    #[serde(skip_serializing)]
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

/// What is wrong with a configuration, and with which of its fields.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fault {
    /// Dotted path, with indices: `provider.0.base_url`.
    pub path: String,
    /// In words, with what to do.
    pub problem: String,
}

impl Config {
    /// Checks every bound and every reference, and stops at the first fault.
    pub fn check(&self) -> Result<(), Fault> {
        let c = &self.collector;
        let bounds = [
            ("workers", c.workers, 1024),
            ("queue", c.queue, 100_000),
            ("group_commit", c.group_commit, 4096),
        ];
        for (field, value, most) in bounds {
            let path = format!("collector.{field}");
            fault(&path, (1..=most).contains(&value), || format!("is {value}; choose 1 to {most}"))?;
        }
        fault("collector.tries", (1..=100).contains(&c.tries), || {
            format!("is {}; choose 1 to 100", c.tries)
        })?;
        fault("collector.give_up_after", c.give_up_after > 0, || "is 0; choose at least 1".into())?;
        fault("provider", !self.providers.is_empty(), || {
            "is missing; add a [[provider]], or run without --config to try the built-in sandbox".into()
        })?;
        fault("dataset", !self.datasets.is_empty(), || {
            "is missing; add a [[dataset]] that names a provider".into()
        })?;
        if let Some((field, problem)) = self.lease.wrong() {
            return fault(&format!("lease.{field}"), false, || problem);
        }
        if let Err(error) = tuning::check(&self.tuning) {
            return fault("tuning", false, || error.to_string());
        }
        if let Some(s3) = &self.storage.s3 {
            s3.check()?;
        }
        let mut providers = HashSet::new();
        for (i, provider) in self.providers.iter().enumerate() {
            let path = format!("provider.{i}");
            provider.check(&path)?;
            fault(&format!("{path}.name"), providers.insert(&provider.name), || {
                format!("{:?} is used twice; names must differ", provider.name)
            })?;
        }
        let mut tables = HashSet::new();
        for (i, dataset) in self.datasets.iter().enumerate() {
            let path = format!("dataset.{i}");
            dataset.check(&path)?;
            fault(&format!("{path}.name"), tables.insert(&dataset.name), || {
                format!("{:?} is used twice; names must differ", dataset.name)
            })?;
            fault(&format!("{path}.provider"), providers.contains(&dataset.provider), || {
                let there: Vec<&str> = self.providers.iter().map(|p| p.name.as_str()).collect();
                format!("{:?} is not configured; there are: {}", dataset.provider, there.join(", "))
            })?;
        }
        Ok(())
    }
}

impl Provider {
    fn check(&self, path: &str) -> Result<(), Fault> {
        let at = |field: &str| format!("{path}.{field}");
        check_name(&at("name"), &self.name)?;
        let sources = [!self.keys.is_empty(), self.keys_env.is_some(), self.keys_file.is_some()];
        let given = sources.into_iter().filter(|given| *given).count();
        fault(&at("keys"), given <= 1, || format!("give one of keys, keys_env and keys_file, not {given}"))?;
        let scheme = ["http://", "https://"].iter().any(|scheme| self.base_url.starts_with(scheme));
        fault(&at("base_url"), scheme, || {
            format!("{:?} must start with http:// or https://", self.base_url)
        })?;
        let generic = self.adapter == "generic";
        let known = generic || Adapter::names().contains(&self.adapter.as_str());
        fault(&at("adapter"), known, || {
            format!("{:?} is unknown; choose {} or generic", self.adapter, Adapter::names().join(", "))
        })?;
        fault(&at("mapping"), self.mapping.is_some() == generic, || match generic {
            true => "is missing; adapter \"generic\" needs a [provider.mapping] that says where the rows are"
                .into(),
            false => format!("belongs to adapter \"generic\", not to {:?}", self.adapter),
        })
    }
}

impl Dataset {
    fn check(&self, path: &str) -> Result<(), Fault> {
        let at = |field: &str| format!("{path}.{field}");
        check_name(&at("name"), &self.name)?;
        fault(&at("name"), !RESERVED_TABLES.contains(&self.name.as_str()), || {
            format!("{:?} is the collector's own table; choose another", self.name)
        })?;
        if let Err(error) = self.interval.parse::<Interval>() {
            return fault(&at("interval"), false, || error.to_string());
        }
        let (listed, file) = (!self.symbols.is_empty(), self.symbols_file.is_some());
        fault(&at("symbols"), listed != file, || match listed {
            true => "give symbols or symbols_file, not both".into(),
            false => "are missing; give symbols = [\"AAPL\"] or symbols_file = \"symbols.txt\"".into(),
        })?;
        match Calendar::by_name(&self.calendar) {
            Ok(_) => Ok(()),
            Err(error) => fault(&at("calendar"), false, || error.to_string()),
        }
    }
}

fn fault(path: &str, sound: bool, problem: impl FnOnce() -> String) -> Result<(), Fault> {
    if sound { Ok(()) } else { Err(Fault { path: path.to_owned(), problem: problem() }) }
}

/// Names become folders, metric labels and log fields.
fn check_name(path: &str, name: &str) -> Result<(), Fault> {
    let fits = (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-')
        && !name.starts_with(['-', '_']);
    fault(path, fits, || {
        format!("{name:?} must be 1 to 64 of a-z, 0-9, '_' and '-', and start with a letter or digit")
    })
}

/// Lines of a list file: trimmed, without comments and empty ones. `path` is relative to `base`.
pub fn read_list(base: &Path, path: &Path, what: &str) -> anyhow::Result<Vec<String>> {
    let path = base.join(path);
    let text =
        std::fs::read_to_string(&path).with_context(|| format!("cannot read {what} {}", path.display()))?;
    let lines = text.lines().map(|l| l.split('#').next().unwrap_or("").trim()).filter(|l| !l.is_empty());
    Ok(lines.map(str::to_owned).collect())
}
