//! The commands, each from its arguments to an exit code.

mod check;
mod plan;
mod restore;
mod run;
mod sandbox;
mod status;
mod verify;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use tidemill_shell::config::{self as layers, Flag, Loaded, Sources};
use tidemill_shell::exit::{Exit, Failure, OrExit as _};
use tidemill_shell::logs::Redactor;
use tidemill_shell::signals::Shutdown;

use crate::args::{Cli, Command, Configured};
use crate::collector::Place;
use crate::config::Config;
use crate::lease;

/// What a command may know of the process it runs in.
#[derive(Debug)]
pub struct Surroundings {
    /// Environment variables.
    pub env: HashMap<String, String>,
    /// Masks keys in everything that is printed.
    pub redactor: Redactor,
}

impl Surroundings {
    fn var(&self, name: &str) -> Option<String> {
        self.env.get(name).cloned()
    }
}

/// Runs the command.
pub fn dispatch(cli: Cli, surroundings: &Surroundings) -> Result<Exit, Failure> {
    match cli.command {
        Command::Run(args) => run::run(args, surroundings),
        Command::Plan(args) => plan::plan(&args, surroundings),
        Command::Check(args) => check::check(&args, surroundings),
        Command::Restore(args) => restore::restore(&args, surroundings),
        Command::Verify(args) => verify::verify(&args),
        Command::Status(args) => status::status(&args),
        Command::Sandbox(args) => sandbox::sandbox(args),
        Command::ConfigInit => {
            print(include_str!("../config/collector.toml"));
            Ok(Exit::COMPLETE)
        }
    }
}

/// Reads and checks a configuration. Without a file there is no provider yet: [`crate::builtin`] is to be filled in.
fn load(
    configured: &Configured,
    more: Vec<Flag>,
    surroundings: &Surroundings,
) -> Result<Loaded<Config>, Failure> {
    let mut sources = Sources::new(surroundings.env.clone());
    sources.not_fields = vec!["TIDEMILL_LOG", lease::URL_ENV];
    if let Some(file) = &configured.config {
        sources = sources.file(file);
    }
    if let Some(data) = &configured.data {
        sources = sources.flag(Flag::new("collector.data", data.to_string_lossy()).named("--data"));
    }
    sources.flags.extend(more);
    let loaded = layers::load::<Config>(sources).or_exit(Exit::BAD_INPUT)?;
    if configured.config.is_some() {
        checked(&loaded).or_exit(Exit::BAD_INPUT)?;
    }
    Ok(loaded)
}

fn checked(loaded: &Loaded<Config>) -> Result<(), layers::ConfigError> {
    loaded.value.check().map_err(|fault| loaded.error(&fault.path, fault.problem))
}

/// Folder that lists in a configuration are relative to.
fn base(configured: &Configured) -> PathBuf {
    let parent = configured.config.as_deref().and_then(Path::parent);
    parent.map_or_else(PathBuf::new, Path::to_path_buf)
}

/// The place of a command that sends nothing and so is never asked to stop.
fn still(configured: &Configured, surroundings: &Surroundings) -> Place {
    let (shutdown, _) = Shutdown::manual();
    Place {
        base: base(configured),
        redactor: surroundings.redactor.clone(),
        limited: true,
        shutdown,
        leases: None,
    }
}

/// What a command is asked for goes to standard output.
fn print(text: &str) {
    use std::io::Write as _;
    // Nobody is left to be told that standard output is closed.
    std::io::stdout().write_all(text.as_bytes()).ok();
}
