//! Parses the arguments, runs, and turns the outcome into an exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    tidemill_monitor::start(std::env::args_os(), std::env::vars())
}
