//! `top`: the view on the terminal.

use anyhow::Context as _;
use tidemill_shell::exit::{Exit, Failure};
use tidemill_shell::signals::Shutdown;

use super::Surroundings;
use crate::args::Top;
use crate::top;

pub(super) fn top(args: &Top, surroundings: &Surroundings) -> Result<Exit, Failure> {
    let options = top::Options {
        url: args.url.clone(),
        every_s: args.interval,
        once: args.once,
        no_color: surroundings.env.get("NO_COLOR").cloned(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(2)
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(async {
        let shutdown = Shutdown::listen().context("cannot listen for signals")?;
        top::run(&options, &shutdown).await
    })?;
    Ok(Exit::COMPLETE)
}
