//! `plan`: what a run would ask for, with which keys and until when, before any call.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use anyhow::Result;
use tidemill_metrics::Registry;
use tidemill_shell::exit::{Exit, Failure, OrExit as _};
use tidemill_storage::{Scan, Store};

use super::{Surroundings, base, load, print};
use crate::args::Configured;
use crate::builtin::Builtin;
use crate::collector::{Place, build_datasets, build_providers};
use crate::config::Config;
use crate::ledger::{self, Ledger};
use crate::plan::{Wanted, due};

pub(super) fn plan(args: &Configured, surroundings: &Surroundings) -> Result<Exit, Failure> {
    let mut config = load(args, Vec::new(), surroundings)?.value;
    if config.providers.is_empty() {
        Builtin::new()?.fill(&mut config, "http://sandbox.invalid");
    }
    let place = Place { base: base(args), redactor: surroundings.redactor.clone(), limited: true };
    // The limiter's clock needs a runtime, though nothing is awaited.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _inside = runtime.enter();
    print(&render(&config, &place, surroundings).or_exit(Exit::BAD_INPUT)?);
    Ok(Exit::COMPLETE)
}

fn render(config: &Config, place: &Place, surroundings: &Surroundings) -> Result<String> {
    let registry = Registry::new();
    let providers = build_providers(config, place, &registry, None, &|name| surroundings.var(name))?;
    let datasets = build_datasets(config, place)?;
    let ledger = read_ledger(config)?;
    let wanted: Vec<Wanted<'_>> = datasets.iter().map(|dataset| dataset.wanted()).collect();
    let due = due(&wanted, &ledger, SystemTime::now());
    let mut out = String::new();
    for (i, dataset) in datasets.iter().enumerate() {
        let calls = due.items.iter().filter(|item| item.dataset == i).count();
        let _ =
            writeln!(out, "dataset {}: {calls} calls for {} symbols", dataset.name, dataset.symbols.len());
    }
    let mut longest = Duration::ZERO;
    for (i, provider) in providers.iter().enumerate() {
        let calls = due.items.iter().filter(|item| datasets[item.dataset].provider == i).count() as u64;
        let takes = provider.pool.forecast(calls);
        longest = longest.max(takes);
        let keys = provider.pool.stats().keys.len();
        let _ = writeln!(
            out,
            "provider {}: {calls} calls over {keys} keys, about {}",
            provider.name,
            span(takes)
        );
    }
    let _ = writeln!(out, "finished about {} after the start; nothing was sent", span(longest));
    Ok(out)
}

/// The ledger as readers see it; empty where nothing was ever stored.
fn read_ledger(config: &Config) -> Result<Ledger> {
    let data = &config.collector.data;
    if !data.join("parquet").join(ledger::TABLE).exists() {
        return Ok(Ledger::default());
    }
    Ledger::load(Store::open_read_only(data)?.scan(ledger::TABLE, &Scan::new()))
}

fn span(time: Duration) -> String {
    humantime::format_duration(Duration::from_secs(time.as_secs_f64().ceil() as u64)).to_string()
}
