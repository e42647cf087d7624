//! How a run ended, as an exit code: whatever makes the figures doubtful comes before what they say.

use tidemill_load::{Ended, Summary};
use tidemill_shell::exit::Exit;

/// How a run ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// Every promise was kept.
    Passed,
    /// A promise was broken.
    Missed,
    /// The figures say more about the generator than about the server.
    Invalid,
    /// A signal or a stop rule ended it.
    Stopped,
}

impl Outcome {
    /// Of a run: stopped before invalid, invalid before missed.
    #[must_use]
    pub fn of(summary: &Summary) -> Self {
        if summary.ended != Ended::Finished {
            Self::Stopped
        } else if !summary.verdict.valid {
            Self::Invalid
        } else if !summary.passed() {
            Self::Missed
        } else {
            Self::Passed
        }
    }
}

impl From<Outcome> for Exit {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Passed => Self::COMPLETE,
            Outcome::Missed => Self::THRESHOLD_MISSED,
            Outcome::Invalid => Self::INVALID,
            Outcome::Stopped => Self::STOPPED,
        }
    }
}
