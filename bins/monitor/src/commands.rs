//! The commands, each from its arguments to an exit code.

mod backup;
mod check;
mod export;
mod run;
mod top;

use std::collections::HashMap;

use tidemill_shell::config::{self as layers, Flag, Loaded, Sources};
use tidemill_shell::exit::{Exit, Failure, OrExit as _};
use tidemill_shell::logs::Redactor;

use crate::args::{Cli, Command, Configured, Settings};
use crate::config::{ALIASES, Config};
use crate::doctor;

/// What a command may know of the process it runs in.
#[derive(Debug)]
pub struct Surroundings {
    /// Environment variables.
    pub env: HashMap<String, String>,
    /// Masks tokens in everything that is printed.
    pub redactor: Redactor,
}

impl Surroundings {
    /// The value of a variable that holds a secret: from then on it is masked.
    pub fn secret(&self, name: &str) -> Option<String> {
        let value = self.env.get(name).cloned();
        if let Some(value) = value.as_deref().map(str::trim).filter(|value| !value.is_empty()) {
            self.redactor.register(value);
        }
        value
    }
}

/// Runs the command.
///
/// # Errors
/// What was refused, with the code of bad input where it is that.
pub fn dispatch(cli: Cli, surroundings: &Surroundings) -> Result<Exit, Failure> {
    match cli.command {
        Command::Run(args) => run::run(&args, surroundings),
        Command::Top(args) => top::top(&args, surroundings),
        Command::Check(args) => check::check(&args, surroundings),
        Command::Export(args) => export::export(&args),
        Command::Backup(args) => backup::backup(&args, surroundings),
        Command::Restore(args) => backup::restore(&args),
        Command::Doctor(options) => {
            let (mut input, mut output) = (std::io::stdin().lock(), std::io::stdout().lock());
            doctor::run(&options, &mut input, &mut output)
        }
        Command::ConfigInit => {
            print(include_str!("../config/sample.toml"));
            Ok(Exit::COMPLETE)
        }
    }
}

/// Reads and checks a configuration.
fn load(
    configured: &Configured,
    settings: &Settings,
    surroundings: &Surroundings,
) -> Result<Loaded<Config>, Failure> {
    let mut sources = Sources::new(surroundings.env.clone());
    sources.not_fields = vec!["TIDEMILL_LOG"];
    sources.aliases = ALIASES.to_vec();
    if let Some(file) = &configured.config {
        sources = sources.file(file);
    }
    sources.flags = flags(configured, settings)?;
    let loaded = layers::load::<Config>(sources).or_exit(Exit::BAD_INPUT)?;
    let checked = loaded.value.check();
    checked.map_err(|fault| loaded.error(&fault.path, fault.problem)).or_exit(Exit::BAD_INPUT)?;
    Ok(loaded)
}

fn flags(configured: &Configured, settings: &Settings) -> Result<Vec<Flag>, Failure> {
    let mut flags = Vec::new();
    let mut set = |name: &str, path: &str, value: Option<String>| {
        flags.extend(value.map(|value| Flag::new(path, value).named(name)));
    };
    let data = configured.data.as_ref().map(|data| data.to_string_lossy().into_owned());
    set("--data", "monitor.data", data);
    set("--interval", "monitor.interval", settings.interval.clone());
    set("--memory-threshold", "monitor.memory_threshold", settings.memory_threshold.clone());
    set("--cpu-threshold", "monitor.cpu_threshold", settings.cpu_threshold.clone());
    set("--response-threshold", "monitor.response_threshold", settings.response_threshold.clone());
    set("--no-auto-tuning", "monitor.auto_tuning", settings.no_auto_tuning.then(|| "false".to_owned()));
    set("--host-detail", "monitor.host_detail", settings.host_detail.clone());
    let (address, port) = match &settings.listen {
        Some(listen) => address(listen)?,
        None => (None, None),
    };
    set("--listen", "monitor.listen", address);
    set("--listen", "monitor.port", port);
    set("--port", "monitor.port", settings.port.map(|port| port.to_string()));
    Ok(flags)
}

/// An address with or without a port.
fn address(listen: &str) -> Result<(Option<String>, Option<String>), Failure> {
    if let Ok(both) = listen.parse::<std::net::SocketAddr>() {
        return Ok((Some(both.ip().to_string()), Some(both.port().to_string())));
    }
    match listen.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>() {
        Ok(address) => Ok((Some(address.to_string()), None)),
        Err(_) => {
            let problem = format!("--listen {listen:?} is no address such as 127.0.0.1 or 127.0.0.1:8080");
            Err(Failure::new(Exit::BAD_INPUT, anyhow::anyhow!(problem)))
        }
    }
}

/// What a command is asked for goes to standard output.
fn print(text: &str) {
    use std::io::Write as _;
    // Nobody is left to be told that standard output is closed.
    std::io::stdout().write_all(text.as_bytes()).ok();
}
