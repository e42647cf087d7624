//! The shipped program, run from a shell as an operator does.

use std::process::{Command, Output};

/// The program with these arguments and none of the environment that it reads.
pub(crate) fn bench<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidemill-bench"));
    command.args(args);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TIDEMILL_")) {
        command.env_remove(name);
    }
    command
}

/// Runs it to its end.
pub(crate) fn output<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Output {
    bench(args).output().expect("the program starts")
}

/// Standard output and error together, for messages of failed assertions.
pub(crate) fn said(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
