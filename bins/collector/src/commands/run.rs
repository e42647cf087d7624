//! `run`: puts a collector together and lets it run.

use std::time::Duration;

use anyhow::Context as _;
use tidemill_shell::config::Flag;
use tidemill_shell::exit::{Exit, Failure, OrExit as _};
use tidemill_shell::progress::Style;
use tidemill_shell::signals::Shutdown;

use super::{Surroundings, base, load};
use crate::args::{Limiter, Run};
use crate::builtin::Builtin;
use crate::collector::{Collector, Place};
use crate::config::Config;
use crate::lease;
use crate::run::{Options, run as passes};
use crate::tuning::most_workers;

pub(super) fn run(args: Run, surroundings: &Surroundings) -> Result<Exit, Failure> {
    let listen = args.listen.map(|addr| Flag::new("collector.listen", addr.to_string()).named("--listen"));
    let untuned = args.no_auto_tuning.then(|| Flag::new("tuning.enabled", "false").named("--no-auto-tuning"));
    let loaded = load(&args.configured, listen.into_iter().chain(untuned).collect(), surroundings)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(collect(loaded.value, args, surroundings))
}

async fn collect(mut config: Config, args: Run, surroundings: &Surroundings) -> Result<Exit, Failure> {
    let shutdown = Shutdown::listen().context("cannot listen for signals")?;
    let sandbox = match config.providers.is_empty() {
        true => Some(with_sandbox(&mut config).await?),
        false => None,
    };
    let style = if args.quiet { Style::Silent } else { Style::auto() };
    let mut options = Options {
        once: args.once,
        listen: config.collector.listen,
        token: None,
        summary: args.summary.clone(),
        style,
    };
    options.token = token(&config, surroundings).or_exit(Exit::BAD_INPUT)?;
    let limited = args.limiter == Limiter::On;
    let env = |name: &str| surroundings.var(name);
    let base = base(&args.configured);
    // What may be under way at once, for whoever follows us.
    let reserve = u32::try_from(most_workers(&config.collector)).unwrap_or(u32::MAX);
    let leases = match limited {
        true => lease::open(&config.lease, &base, reserve, &env).await.or_exit(Exit::BAD_INPUT)?,
        false => None,
    };
    let place =
        Place { base, redactor: surroundings.redactor.clone(), limited, shutdown: shutdown.clone(), leases };
    let collector = Collector::open(config, &place, &env).or_exit(Exit::BAD_INPUT)?;
    let ended = passes(collector, &options, &shutdown).await;
    if let Some(sandbox) = sandbox {
        sandbox.close(Duration::from_secs(1)).await;
    }
    ended
}

async fn with_sandbox(config: &mut Config) -> Result<tidemill_sandbox::Running, Failure> {
    let builtin = Builtin::new()?;
    let running = builtin.start().await?;
    builtin.fill(config, &running.base_url());
    config
        .check()
        .map_err(|fault| anyhow::anyhow!("{}: {}", fault.path, fault.problem))
        .or_exit(Exit::BAD_INPUT)?;
    Ok(running)
}

/// The token that changes ask for; it is masked in everything that is said.
fn token(config: &Config, surroundings: &Surroundings) -> anyhow::Result<Option<String>> {
    let Some(name) = &config.collector.token_env else { return Ok(None) };
    let token = surroundings.var(name).filter(|token| !token.is_empty());
    let token = token.with_context(|| format!("collector.token_env: {name} is not set"))?;
    surroundings.redactor.register(&token);
    Ok(Some(token))
}
