//! Exit codes with a meaning, and errors that become one with their message printed once.

use std::fmt;
use std::io::Write;
use std::process::ExitCode;

use crate::logs::Redactor;

/// How a run ended, as the shell sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Exit(u8);

impl Exit {
    /// 0: complete, or every threshold passed.
    pub const COMPLETE: Self = Self(0);
    /// 1: incomplete; the report says what is missing.
    pub const INCOMPLETE: Self = Self(1);
    /// 2: bad arguments, configuration or input.
    pub const BAD_INPUT: Self = Self(2);
    /// 3: a threshold was missed.
    pub const THRESHOLD_MISSED: Self = Self(3);
    /// 4: the measurement is invalid.
    pub const INVALID: Self = Self(4);
    /// 5: stopped by a signal or a stop condition.
    pub const STOPPED: Self = Self(5);
    /// 6: slower or larger than what it was compared with.
    pub const REGRESSION: Self = Self(6);

    /// The number.
    pub const fn code(self) -> u8 {
        self.0
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.0)
    }
}

/// An error and the code that it ends the process with. Any error becomes one with [`Exit::INCOMPLETE`] by `?`.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    error: anyhow::Error,
}

impl Failure {
    /// `error` ends the process with `exit`.
    pub fn new(exit: Exit, error: impl Into<anyhow::Error>) -> Self {
        Self { exit, error: error.into() }
    }

    /// The code.
    pub fn exit(&self) -> Exit {
        self.exit
    }
}

impl fmt::Display for Failure {
    /// The error and its causes on one line; a cause that its parent repeats already is left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = String::new();
        for cause in self.error.chain() {
            let text = cause.to_string();
            if said.contains(&text) {
                continue;
            }
            write!(f, "{}{text}", if said.is_empty() { "" } else { ": " })?;
            said.push_str(&text);
        }
        Ok(())
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(Exit::INCOMPLETE, error)
    }
}

/// Says with which code an error ends the process: `config::load(..).or_exit(Exit::BAD_INPUT)?`.
pub trait OrExit<T> {
    /// The value, or the error with its code.
    ///
    /// # Errors
    /// The error that was there, with the code.
    fn or_exit(self, exit: Exit) -> Result<T, Failure>;
}

impl<T, E: Into<anyhow::Error>> OrExit<T> for Result<T, E> {
    fn or_exit(self, exit: Exit) -> Result<T, Failure> {
        self.map_err(|error| Failure::new(exit, error))
    }
}

/// The end of `main`: prints the failure once, to stderr and without secrets, and gives the code.
pub fn finish(outcome: Result<Exit, Failure>, redactor: &Redactor) -> ExitCode {
    report(outcome, redactor, &mut std::io::stderr().lock()).into()
}

fn report(outcome: Result<Exit, Failure>, redactor: &Redactor, to: &mut impl Write) -> Exit {
    match outcome {
        Ok(exit) => exit,
        Err(failure) => {
            let line = format!("error: {failure}\n");
            // Nobody is left to be told that stderr is closed.
            to.write_all(redactor.redact(&line).as_bytes()).ok();
            failure.exit
        }
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn a_failure_is_printed_once_with_its_causes_and_without_secrets() {
        let redactor = Redactor::default();
        redactor.register("S3CRET");
        let failed = std::fs::read("/nowhere/S3CRET").context("cannot read the keys of S3CRET");
        let mut printed = Vec::new();
        let exit = report(failed.or_exit(Exit::BAD_INPUT).map(|_| Exit::COMPLETE), &redactor, &mut printed);
        let printed = String::from_utf8(printed).unwrap();
        assert_eq!(exit, Exit::BAD_INPUT);
        assert!(printed.starts_with("error: cannot read the keys of ***: No such file"), "{printed}");
        assert_eq!(printed.lines().count(), 1);
    }

    #[test]
    fn a_question_mark_means_incomplete_and_success_prints_nothing() {
        fn run() -> Result<Exit, Failure> {
            Err(std::io::Error::other("disk full"))?
        }
        assert_eq!(run().unwrap_err().exit(), Exit::INCOMPLETE);
        let mut printed = Vec::new();
        assert_eq!(report(Ok(Exit::STOPPED), &Redactor::default(), &mut printed).code(), 5);
        assert!(printed.is_empty());
    }

    #[test]
    fn a_cause_that_is_said_already_is_not_repeated() {
        let inner = anyhow::anyhow!("port 80 is taken");
        let failure = Failure::new(Exit::BAD_INPUT, inner.context("cannot serve: port 80 is taken"));
        assert_eq!(failure.to_string(), "cannot serve: port 80 is taken");
    }
}
