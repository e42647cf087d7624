//! Where the process begins: arguments, logs, the command, the exit code.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser as _;
use tidemill_shell::exit::{Exit, Failure, finish};
use tidemill_shell::logs::{self, Logs, Redactor};

use crate::args::Cli;
use crate::commands::{Surroundings, dispatch};

/// Runs the program with these arguments and this environment.
pub fn start(
    args: impl IntoIterator<Item = OsString>,
    env: impl IntoIterator<Item = (String, String)>,
) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers; the rest is bad input. Nobody is left to be told of a closed pipe.
            error.print().ok();
            return if error.use_stderr() { Exit::BAD_INPUT.into() } else { Exit::COMPLETE.into() };
        }
    };
    let env: std::collections::HashMap<_, _> = env.into_iter().collect();
    let mut wanted = Logs::default().no_color(env.get("NO_COLOR").map(String::as_str));
    wanted.level.clone_from(&cli.log);
    wanted.format = cli.log_format;
    match logs::init(&wanted) {
        Ok(redactor) => finish(dispatch(cli, &Surroundings { env, redactor: redactor.clone() }), &redactor),
        Err(error) => finish(Err(Failure::new(Exit::BAD_INPUT, error)), &Redactor::default()),
    }
}
