//! `export`: history as one file, from a running monitor or from a folder.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tidemill_shell::exit::{Exit, Failure, OrExit as _};

use super::print;
use crate::args::Export;
use crate::history::{Config, History, file_name};
use crate::http::{Client, Request};
use crate::now_ms;

/// Bytes of an export from a running monitor, at most.
const MOST: usize = 1 << 30;

pub(super) fn export(args: &Export) -> Result<Exit, Failure> {
    let sound =
        args.hours > 0.0 && args.hours <= 24.0 * 366.0 * 10.0 && (1..=1_000_000).contains(&args.points);
    let checked = || {
        ensure!(sound, "--hours must be above 0 and --points from 1 to 1000000");
        Ok(())
    };
    checked().or_exit(Exit::BAD_INPUT)?;
    let now = now_ms();
    let path = args.to.join(file_name(now));
    match &args.url {
        Some(url) => from_monitor(url, args, &path)?,
        None => from_folder(args, now, &path)?,
    }
    print(&format!("{}\n", path.display()));
    Ok(Exit::COMPLETE)
}

fn from_folder(args: &Export, now: i64, path: &Path) -> Result<()> {
    ensure!(args.data.is_dir(), "{} is no folder; give --data or --url", args.data.display());
    let from = now - (args.hours * 3_600_000.0) as i64;
    let opened = History::open(&args.data, Config::default(), Duration::from_secs(86_400), now);
    let (history, writing) = opened.context("while a monitor runs, give its address with --url")?;
    let file = File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
    let mut to = BufWriter::new(file);
    let written = history.export(from, now, args.points, &mut to);
    to.flush()?;
    drop(history);
    writing.close()?;
    written
}

fn from_monitor(url: &str, args: &Export, path: &Path) -> Result<()> {
    let address = format!(
        "{}/api/history/export?hours={}&points={}",
        url.trim_end_matches('/'),
        args.hours,
        args.points
    );
    let mut request = Request::get(address.parse().with_context(|| format!("{url:?} is no address"))?);
    request.timeout = Duration::from_secs(300);
    request.max_bytes = MOST;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let answer = runtime.block_on(async { Client::new(MOST)?.send(&request).await })?;
    ensure!(answer.status.is_success(), "the monitor answered {}", answer.status);
    std::fs::write(path, &answer.body).with_context(|| format!("cannot write {}", path.display()))
}
