//! `backup` and `restore`: everything kept, verified both ways.

use std::path::Path;

use anyhow::{Context as _, Result};
use tidemill_shell::exit::{Exit, Failure, OrExit as _};

use super::{Surroundings, load, print};
use crate::args::{Configured, Restore, Settings};
use crate::history::{self, History};
use crate::{backup as copies, now_ms};

pub(super) fn backup(configured: &Configured, surroundings: &Surroundings) -> Result<Exit, Failure> {
    let loaded = load(configured, &Settings::default(), surroundings)?;
    let config = &loaded.value;
    let data = &config.monitor.data;
    let there = || data.is_dir().then_some(()).with_context(|| format!("{} is no folder", data.display()));
    there().or_exit(Exit::BAD_INPUT)?;
    let into = config.backup.folder(data);
    std::fs::create_dir_all(&into).with_context(|| format!("cannot create {}", into.display()))?;
    let whole = settle(data, config.history.clone());
    let report = copies::make(data, &into, config.backup.keep, now_ms())?;
    print(&format!(
        "{}: {} files, {} bytes, {} stores verified; {} older removed\n{}",
        report.path.display(),
        report.files,
        report.bytes,
        report.stores,
        report.removed,
        match whole {
            Ok(()) => "everything committed is in it\n".to_owned(),
            Err(error) => format!("as of the last publish, for a monitor runs there ({error:#})\n"),
        }
    ));
    Ok(Exit::COMPLETE)
}

/// Publishes what a monitor that ended left in its journals.
fn settle(data: &Path, config: history::Config) -> Result<()> {
    let (history, writing) = History::open(data, config, std::time::Duration::ZERO, now_ms())?;
    drop(history);
    writing.close()
}

pub(super) fn restore(args: &Restore) -> Result<Exit, Failure> {
    let newest = copies::all(&args.backup).unwrap_or_default().pop();
    let backup = newest.as_deref().unwrap_or(&args.backup);
    std::fs::create_dir_all(&args.data).with_context(|| format!("cannot create {}", args.data.display()))?;
    let report = copies::restore(backup, &args.data).or_exit(Exit::BAD_INPUT)?;
    print(&format!(
        "{} from {}: {} files, {} bytes, {} stores verified\n",
        report.path.display(),
        backup.display(),
        report.files,
        report.bytes,
        report.stores
    ));
    Ok(Exit::COMPLETE)
}
