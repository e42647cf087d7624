//! `run`: passes over the universe, once or for ever, until a signal.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result};
use tidemill_shell::exit::{Exit, Failure, OrExit as _};
use tidemill_shell::progress::{Progress, Style};
use tidemill_shell::serve::{self, Server};
use tidemill_shell::signals::Shutdown;

use crate::access::Access;
use crate::bridge::{Bridge, Health};
use crate::collector::Collector;
use crate::experiments;
use crate::pass;
use crate::report::Summary;
use crate::rollouts;
use crate::tuning;

/// How a run is shown and when it ends.
#[derive(Clone)]
pub struct Options {
    /// One pass instead of passes for ever.
    pub once: bool,
    /// Where `/health`, `/metrics` and `/api/v2` are served.
    pub listen: Option<SocketAddr>,
    /// What changes by `/api/v2` ask for.
    pub token: Option<String>,
    /// Where the summary of the last pass is written.
    pub summary: Option<PathBuf>,
    /// How progress is shown.
    pub style: Style,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("once", &self.once)
            .field("listen", &self.listen)
            .finish_non_exhaustive()
    }
}

/// Longest sleep between two looks at what is due, so that a clock that is set does no harm.
const NAP: Duration = Duration::from_secs(60);

/// Runs passes until there is nothing left to wait for, and closes the collector.
pub async fn run(mut collector: Collector, options: &Options, shutdown: &Shutdown) -> Result<Exit, Failure> {
    let health = Arc::new(Mutex::new(Health::default()));
    let bridge = Bridge::new(&collector, Arc::clone(&health))?;
    let server = listen(options, bridge, &collector, shutdown).await.or_exit(Exit::BAD_INPUT)?;
    let ended = passes(&mut collector, options, shutdown, &health).await;
    if let Some(server) = server {
        server.close(Duration::from_secs(5)).await;
    }
    let closed = collector.close().await;
    let exit = ended?;
    closed?;
    Ok(exit)
}

async fn listen(
    options: &Options,
    bridge: Bridge,
    collector: &Collector,
    shutdown: &Shutdown,
) -> Result<Option<Server>> {
    let Some(addr) = options.listen else { return Ok(None) };
    let access = Access { addr, token: options.token.as_deref() };
    let routes = bridge
        .router()
        .merge(tuning::api::routes(collector.tuning.clone(), access))
        .merge(rollouts::api::routes(Arc::clone(&collector.rollouts), access))
        .merge(experiments::api::routes(Arc::clone(&collector.experiments), access));
    let ending = shutdown.clone();
    let ended = async move { ending.immediate().await };
    let server = serve::serve(addr, routes, serve::Limits::default(), ended).await?;
    tracing::info!(addr = %server.addr(), "serving /health, /metrics and /api/v2");
    Ok(Some(server))
}

async fn passes(
    collector: &mut Collector,
    options: &Options,
    shutdown: &Shutdown,
    health: &Mutex<Health>,
) -> Result<Exit> {
    loop {
        let due = collector.due(SystemTime::now());
        if options.once || !due.items.is_empty() {
            let summary = one(collector, due, options, shutdown, health).await?;
            let complete = summary.is_complete();
            if options.once {
                return Ok(if complete { Exit::COMPLETE } else { Exit::INCOMPLETE });
            }
        }
        if shutdown.is_draining() || !asleep(collector, shutdown).await {
            return Ok(Exit::COMPLETE);
        }
    }
}

async fn one(
    collector: &mut Collector,
    due: crate::plan::Due,
    options: &Options,
    shutdown: &Shutdown,
    health: &Mutex<Health>,
) -> Result<Summary> {
    let symbols = collector.datasets.iter().map(|dataset| dataset.symbols.len() as u64).sum();
    let progress = Progress::new(symbols, options.style);
    set(health, |health| health.passing = true);
    let summary = pass::run(collector, due, shutdown, &progress).await?;
    set(health, |health| {
        health.passing = false;
        health.passes += 1;
        health.complete = Some(summary.is_complete());
        health.ended_early.clone_from(&summary.ended_early);
    });
    if let Some(path) = &options.summary {
        summary.write(path).context("the pass itself is done and its rows are kept")?;
    }
    if options.style != Style::Silent {
        progress.suspend(|| say(&summary));
    }
    Ok(summary)
}

/// The report goes to standard output: it is what the command is for.
fn say(summary: &Summary) {
    use std::io::Write as _;
    // Nobody is left to be told that standard output is closed.
    std::io::stdout().write_all(summary.render().as_bytes()).ok();
}

/// Sleeps until something is due; false when a signal came first. What a pass left missing is tried again after a while.
async fn asleep(collector: &Collector, shutdown: &Shutdown) -> bool {
    let again = !collector.due(SystemTime::now()).items.is_empty();
    let begun = Instant::now();
    loop {
        let now = SystemTime::now();
        let pause = if again {
            collector.config.collector.try_again.saturating_sub(begun.elapsed())
        } else if collector.due(now).items.is_empty() {
            collector.next_turn(now).duration_since(now).unwrap_or(Duration::ZERO).max(Duration::from_secs(1))
        } else {
            Duration::ZERO
        };
        if pause.is_zero() {
            return true;
        }
        tracing::debug!(seconds = pause.as_secs(), "nothing to do until then");
        tokio::select! {
            () = tokio::time::sleep(pause.min(NAP)) => {}
            () = shutdown.draining() => return false,
        }
    }
}

fn set(health: &Mutex<Health>, change: impl FnOnce(&mut Health)) {
    change(&mut health.lock().unwrap_or_else(PoisonError::into_inner));
}
