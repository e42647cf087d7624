//! Whether a run's figures may be believed, and why not.

use serde::{Deserialize, Serialize};

/// VALID without reasons, INVALID with them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// Whether the figures may be believed.
    pub valid: bool,
    /// Why not; empty when valid.
    pub reasons: Vec<Reason>,
}

/// Why a run's figures say more about the generator than about the server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reason {
    /// What kind.
    pub kind: ReasonKind,
    /// What was seen, the bound, and what to do.
    pub text: String,
}

/// What kind of reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ReasonKind {
    /// The generator sent late by its own fault.
    GeneratorLate,
    /// Others took the machine's virtual processors.
    CpuSteal,
    /// This machine had no socket or port left.
    Sockets,
    /// The server's samples have holes.
    SamplesLost,
    /// Nothing was counted: the run ended within its warm-up, or nothing was due.
    Empty,
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.valid { "VALID" } else { "INVALID" })?;
        for (n, reason) in self.reasons.iter().enumerate() {
            write!(f, "{}{}", if n == 0 { ": " } else { "; " }, reason.text)?;
        }
        Ok(())
    }
}
