//! `restore`: brings the tables of `[storage.s3]` back into an empty data folder, which becomes their writer.

use std::fmt::Write as _;
use std::time::SystemTime;

use anyhow::{Context as _, Result};
use tidemill_shell::exit::{Exit, Failure, OrExit as _};

use super::{Surroundings, load, print};
use crate::args::Configured;
use crate::config::Config;
use crate::remote;

pub(super) fn restore(configured: &Configured, surroundings: &Surroundings) -> Result<Exit, Failure> {
    let loaded = load(configured, Vec::new(), surroundings)?;
    print(&bring_back(&loaded.value, surroundings).or_exit(Exit::BAD_INPUT)?);
    Ok(Exit::COMPLETE)
}

fn bring_back(config: &Config, surroundings: &Surroundings) -> Result<String> {
    let s3 = config
        .storage
        .s3
        .as_ref()
        .context("storage.s3 is not configured; there is nothing to restore from")?;
    let data = &config.collector.data;
    std::fs::create_dir_all(data).with_context(|| format!("cannot create {}", data.display()))?;
    let env = |name: &str| surroundings.var(name);
    let tables = remote::restore(s3, &surroundings.redactor, &env, data, SystemTime::now())
        .with_context(|| format!("cannot restore into {}", data.display()))?;
    let mut out = String::new();
    for table in &tables {
        let _ = writeln!(
            out,
            "{:<12} snapshot {:>6}  {:>4} files  {:>9} rows",
            table.name, table.snapshot, table.files_written, table.rows
        );
    }
    let _ = writeln!(
        out,
        "{}",
        match tables.len() {
            0 => "the bucket holds no table",
            _ => "restored; whoever wrote to the bucket before is refused from now on",
        }
    );
    Ok(out)
}
