//! How bad it is, and how that is written in a log.

use serde::{Deserialize, Serialize};

/// From the least to the most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// To be known.
    Info,
    /// To be looked at today.
    #[default]
    Warning,
    /// To be looked at now.
    Error,
    /// Somebody is woken.
    Critical,
}

impl Severity {
    /// As configuration, labels and the API write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }

    /// As the log writes it.
    #[must_use]
    pub fn level(self) -> &'static str {
        match self {
            Self::Info => "INFO",
            Self::Warning => "WARNING",
            Self::Error => "ERROR",
            Self::Critical => "CRITICAL",
        }
    }

    /// One step worse; critical stays.
    #[must_use]
    pub fn worse(self) -> Self {
        match self {
            Self::Info => Self::Warning,
            Self::Warning => Self::Error,
            Self::Error | Self::Critical => Self::Critical,
        }
    }

    /// One step back; the mildest stays.
    #[must_use]
    pub fn milder(self) -> Self {
        match self {
            Self::Critical => Self::Error,
            Self::Error => Self::Warning,
            Self::Warning | Self::Info => Self::Info,
        }
    }
}
