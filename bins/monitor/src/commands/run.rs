//! `run`: reads the configuration, or writes it down, and lets a monitor run.

use anyhow::Context as _;
use tidemill_shell::exit::{Exit, Failure, OrExit as _};
use tidemill_shell::signals::Shutdown;

use super::{Surroundings, load, print};
use crate::args::Run;
use crate::run as monitor;

pub(super) fn run(args: &Run, surroundings: &Surroundings) -> Result<Exit, Failure> {
    let loaded = load(&args.configured, &args.settings, surroundings)?;
    if let Some(file) = &args.save_config {
        let text =
            toml::to_string_pretty(&loaded.value).context("the configuration cannot be written as TOML")?;
        let text = format!("# Written by tidemill-monitor run --save-config.\nconfig_version = 1\n\n{text}");
        std::fs::write(file, text)
            .with_context(|| format!("cannot write {}", file.display()))
            .or_exit(Exit::BAD_INPUT)?;
        print(&format!("written to {}\n", file.display()));
        return Ok(Exit::COMPLETE);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(8)
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(async {
        let shutdown = Shutdown::listen().context("cannot listen for signals")?;
        monitor::run(loaded.value, &shutdown, &|name| surroundings.secret(name)).await
    })
}
