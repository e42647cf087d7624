//! How grave a line is, under the names that programs give it.

use serde::{Deserialize, Serialize};

/// From the least to the most; a line that does not say stands before all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// It does not say.
    #[default]
    Unknown,
    /// Every step.
    Trace,
    /// For developers.
    Debug,
    /// As it should be.
    Info,
    /// To be looked at.
    Warning,
    /// Something failed.
    Error,
    /// Nothing goes on.
    Critical,
}

impl Level {
    /// Every level, from the least.
    pub const ALL: [Self; 7] =
        [Self::Unknown, Self::Trace, Self::Debug, Self::Info, Self::Warning, Self::Error, Self::Critical];

    /// As it is written here.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }

    /// A name that some program gives a level, whatever its case.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        let known: &[(Self, &[&str])] = &[
            (Self::Trace, &["trace", "verbose", "finest", "trc"]),
            (Self::Debug, &["debug", "fine", "dbg"]),
            (Self::Info, &["info", "information", "notice", "inf"]),
            (Self::Warning, &["warn", "warning", "wrn"]),
            (Self::Error, &["error", "err", "severe"]),
            (Self::Critical, &["critical", "crit", "fatal", "alert", "emerg", "emergency", "panic", "ftl"]),
            (Self::Unknown, &["unknown"]),
        ];
        let is = |names: &[&str]| names.iter().any(|name| name.eq_ignore_ascii_case(word));
        known.iter().find(|(_, names)| is(names)).map(|(level, _)| *level)
    }

    /// The numbers of bunyan and pino: 10 is trace, 60 is fatal.
    #[must_use]
    pub fn of_number(number: i64) -> Self {
        match number {
            10..20 => Self::Trace,
            20..30 => Self::Debug,
            30..40 => Self::Info,
            40..50 => Self::Warning,
            50..60 => Self::Error,
            60.. => Self::Critical,
            _ => Self::Unknown,
        }
    }
}
