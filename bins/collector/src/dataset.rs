//! One dataset at work: its universe, its table, and what its rows are checked against.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context as _, Result, ensure};
use tidemill_market::{Calendar, Checks, Interval};
use tidemill_storage::TableSpec;
use tidemill_storage::arrow::arrow_schema::SchemaRef;

use crate::config::{Dataset as Config, read_list};
use crate::http;
use crate::plan::{Freshness, Wanted};
use crate::rows;

/// Symbols of one dataset, at most.
const MAX_SYMBOLS: usize = 1_000_000;

/// A dataset and everything that is needed to collect it.
#[derive(Debug)]
pub struct Dataset {
    /// Its name, which is the table's and the folder's.
    pub name: String,
    /// Index of its provider in the configuration.
    pub provider: usize,
    /// Length of its bars.
    pub interval: Interval,
    /// Its universe, in the order given.
    pub symbols: Vec<Arc<str>>,
    /// When its answers are fresh.
    pub freshness: Freshness,
    /// Its columns.
    pub schema: SchemaRef,
    /// Its table.
    pub table: TableSpec,
    calendar: Option<Calendar>,
    fractional_volume: bool,
    max_body: usize,
}

impl Dataset {
    /// Builds a dataset of a checked configuration; lists are read relative to `base`.
    pub fn build(config: &Config, provider: usize, base: &Path, http: &http::Config) -> Result<Self> {
        let context = || format!("dataset {:?}", config.name);
        let names = match &config.symbols_file {
            Some(path) => read_list(base, path, "symbols_file").with_context(context)?,
            None => config.symbols.clone(),
        };
        let interval: Interval = config.interval.parse().with_context(context)?;
        let calendar = Calendar::by_name(&config.calendar).with_context(context)?;
        let table = rows::bars_table(config, interval.is_daily());
        Ok(Self {
            name: config.name.clone(),
            provider,
            interval,
            symbols: universe(names).with_context(context)?,
            freshness: match calendar {
                Some(calendar) => Freshness::Sessions { calendar, settle: config.settle },
                None => Freshness::Age(config.refresh),
            },
            schema: table.schema.clone(),
            table,
            calendar,
            fractional_volume: config.fractional_volume,
            max_body: http.inflated_max,
        })
    }

    /// What an answer that arrives at `now` is checked against.
    pub fn checks(&self, now: SystemTime) -> Checks {
        let mut checks = Checks::new(now).with_calendar(self.calendar);
        checks.fractional_volume = self.fractional_volume;
        checks.max_body = self.max_body;
        checks
    }

    /// The dataset as a plan sees it.
    pub fn wanted(&self) -> Wanted<'_> {
        Wanted { name: &self.name, symbols: &self.symbols, freshness: self.freshness }
    }
}

/// Symbols as they were given, each once.
fn universe(names: Vec<String>) -> Result<Vec<Arc<str>>> {
    ensure!(!names.is_empty(), "its list of symbols is empty");
    ensure!(names.len() <= MAX_SYMBOLS, "{} symbols; at most {MAX_SYMBOLS} fit one dataset", names.len());
    let mut seen = std::collections::HashSet::with_capacity(names.len());
    let mut symbols = Vec::with_capacity(names.len());
    for name in names {
        let fits = (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic());
        ensure!(fits, "symbol {name:?} must be 1 to 64 printable ASCII characters without spaces");
        if seen.insert(name.clone()) {
            symbols.push(Arc::from(name));
        }
    }
    Ok(symbols)
}
