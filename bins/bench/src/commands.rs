//! The commands, each from its arguments to an exit code.

mod compare;
mod history;
mod load;
mod report;
mod run;
mod search;
mod suite;

use tidemill_load::{ErrorKind, Preset};
use tidemill_shell::exit::{Exit, Failure};

use crate::args::Command;
use crate::surroundings::{Surroundings, print};

/// The scenario that `config-init` prints.
const SAMPLE: &str = include_str!("../config/scenario.toml");

/// Runs the command.
///
/// # Errors
/// What keeps it from its work, with the exit code.
pub fn dispatch(command: Command, surroundings: &Surroundings) -> Result<Exit, Failure> {
    match command {
        Command::Load(args) => load::preset(Preset::Load, &args, surroundings),
        Command::Stress(args) => load::preset(Preset::Stress, &args, surroundings),
        Command::Spike(args) => load::preset(Preset::Spike, &args, surroundings),
        Command::Volume(args) => load::preset(Preset::Volume, &args, surroundings),
        Command::Endurance(args) => load::preset(Preset::Endurance, &args, surroundings),
        Command::Users(args) => load::preset(Preset::Users, &args, surroundings),
        Command::Search(args) => search::search(&args, surroundings),
        Command::Run(args) => run::run(&args, surroundings),
        Command::Compare(args) => compare::compare(&args, surroundings),
        Command::History(args) => history::history(&args, surroundings),
        Command::Report(args) => report::report(&args, surroundings),
        Command::Suite(args) => suite::suite(&args, surroundings),
        Command::ConfigInit => {
            print(SAMPLE);
            Ok(Exit::COMPLETE)
        }
    }
}

/// What the engine refuses is bad input, but for the machine's own troubles.
fn refused(error: tidemill_load::Error) -> Failure {
    let exit = if error.kind() == ErrorKind::System { Exit::INCOMPLETE } else { Exit::BAD_INPUT };
    Failure::new(exit, error)
}

/// Bad input, whatever it was.
fn bad_input(error: impl Into<anyhow::Error>) -> Failure {
    Failure::new(Exit::BAD_INPUT, error)
}
