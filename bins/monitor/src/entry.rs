//! Where the process begins: its arguments and environment, handed to the command.

use std::ffi::OsString;
use std::process::ExitCode;

use tidemill_shell::entry;

use crate::args::Cli;
use crate::commands::{Surroundings, dispatch};

/// Runs the program with these arguments and this environment.
pub fn start(
    args: impl IntoIterator<Item = OsString>,
    env: impl IntoIterator<Item = (String, String)>,
) -> ExitCode {
    entry::start(
        args,
        env,
        |cli: &Cli| &cli.log,
        |cli, env, redactor| dispatch(cli, &Surroundings { env, redactor }),
    )
}
