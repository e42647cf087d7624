//! `check`: a configuration, the keys and lists it names, the folder and the port.

use std::fmt::Write as _;
use std::net::TcpListener;

use anyhow::{Context as _, Result};
use tidemill_metrics::Registry;
use tidemill_shell::exit::{Exit, Failure, OrExit as _};

use super::{Surroundings, base, load, print};
use crate::args::Check;
use crate::builtin::Builtin;
use crate::collector::{Place, build_datasets, build_providers};
use crate::config::Config;

pub(super) fn check(args: &Check, surroundings: &Surroundings) -> Result<Exit, Failure> {
    let mut loaded = load(&args.configured, Vec::new(), surroundings)?;
    if args.effective {
        for value in loaded.effective() {
            print(&format!("{value}\n"));
        }
    }
    if loaded.value.providers.is_empty() {
        Builtin::new()?.fill(&mut loaded.value, "http://sandbox.invalid");
    }
    let place =
        Place { base: base(&args.configured), redactor: surroundings.redactor.clone(), limited: true };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _inside = runtime.enter();
    let said = examine(&loaded.value, &place, surroundings).or_exit(Exit::BAD_INPUT)?;
    if !args.effective {
        print(&said);
    }
    Ok(Exit::COMPLETE)
}

fn examine(config: &Config, place: &Place, surroundings: &Surroundings) -> Result<String> {
    let mut out = String::new();
    for provider in build_providers(config, place, &Registry::new(), None, &|name| surroundings.var(name))? {
        let keys = provider.pool.stats().keys.len();
        let _ = writeln!(out, "ok  provider {}: {keys} keys", provider.name);
    }
    for dataset in build_datasets(config, place)? {
        let _ = writeln!(out, "ok  dataset {}: {} symbols", dataset.name, dataset.symbols.len());
    }
    let data = &config.collector.data;
    std::fs::create_dir_all(data).with_context(|| format!("cannot create {}", data.display()))?;
    let probe = data.join(".check");
    std::fs::write(&probe, b"writable")
        .and_then(|()| std::fs::remove_file(&probe))
        .with_context(|| format!("cannot write to {}; choose another folder with --data", data.display()))?;
    let _ = writeln!(out, "ok  folder {} is writable", data.display());
    if let Some(addr) = config.collector.listen {
        TcpListener::bind(addr).with_context(|| {
            format!("cannot listen on {addr}; choose another with --listen or collector.listen")
        })?;
        let _ = writeln!(out, "ok  {addr} is free");
    }
    Ok(out)
}
