//! Where a process begins: arguments, logs, the command, the exit code.

use std::collections::HashMap;
use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Args, Parser};

use crate::exit::{Exit, Failure, finish};
use crate::logs::{self, Format, Logs, Redactor};

/// The flags of every executable about its own log.
#[derive(Clone, Debug, Args)]
pub struct LogArgs {
    /// What is logged: error, warn, info, debug, trace, off, or directives such as info,hyper=warn
    #[arg(long, global = true, default_value = "warn", env = "TIDEMILL_LOG", value_name = "LEVEL")]
    pub log: String,
    /// Logs as text, or as lines of JSON
    #[arg(long, global = true, default_value = "text", value_name = "FORMAT")]
    pub log_format: Format,
}

/// Reads the arguments, sets up logs and runs the command with the environment; what it returns becomes the exit code.
pub fn start<Cli: Parser>(
    args: impl IntoIterator<Item = OsString>,
    env: impl IntoIterator<Item = (String, String)>,
    log_args: impl FnOnce(&Cli) -> &LogArgs,
    dispatch: impl FnOnce(Cli, HashMap<String, String>, Redactor) -> Result<Exit, Failure>,
) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers; the rest is bad input. Nobody is left to be told of a closed pipe.
            error.print().ok();
            return if error.use_stderr() { Exit::BAD_INPUT.into() } else { Exit::COMPLETE.into() };
        }
    };
    let env: HashMap<_, _> = env.into_iter().collect();
    let mut wanted = Logs::default().no_color(env.get("NO_COLOR").map(String::as_str));
    let LogArgs { log, log_format } = log_args(&cli);
    wanted.level.clone_from(log);
    wanted.format = *log_format;
    match logs::init(&wanted) {
        Ok(redactor) => finish(dispatch(cli, env, redactor.clone()), &redactor),
        Err(error) => finish(Err(Failure::new(Exit::BAD_INPUT, error)), &Redactor::default()),
    }
}
