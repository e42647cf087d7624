//! `sandbox`: a rate-limited market data API on a port, until a signal.

use std::time::Duration;

use anyhow::{Context as _, Result};
use tidemill_sandbox::{Config, Sandbox};
use tidemill_shell::config::{self as layers, Sources};
use tidemill_shell::exit::{Exit, Failure, OrExit as _};
use tidemill_shell::signals::Shutdown;

use super::print;
use crate::args;

pub(super) fn sandbox(args: args::Sandbox) -> Result<Exit, Failure> {
    let mut config = Config::default();
    if let Some(file) = &args.config {
        let nothing: [(String, String); 0] = [];
        config = layers::load(Sources::new(nothing).file(file)).or_exit(Exit::BAD_INPUT)?.value;
    }
    if let Some(symbols) = args.symbols {
        config.symbols = symbols;
    }
    let sandbox = Sandbox::builder(config).build().or_exit(Exit::BAD_INPUT)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    Ok(runtime.block_on(serve(sandbox, &args))?)
}

async fn serve(sandbox: Sandbox, args: &args::Sandbox) -> Result<Exit> {
    let shutdown = Shutdown::listen().context("cannot listen for signals")?;
    let listener = tokio::net::TcpListener::bind(args.listen)
        .await
        .with_context(|| format!("cannot listen on {}; choose another with --listen", args.listen))?;
    let running = sandbox.serve(listener).await?;
    print(&format!(
        "serving {} symbols on {}; GET /stats says what was counted\n",
        sandbox.symbols().count(),
        running.base_url()
    ));
    shutdown.draining().await;
    let report = running.close(Duration::from_secs(5)).await;
    print(&format!("{} admitted, {} refused\n", report.stats.admitted, report.stats.refused));
    Ok(Exit::COMPLETE)
}
