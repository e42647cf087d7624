//! What happens once and has no end.

use super::severity::Severity;

/// Something that happens once: a result of tuning, an error of our own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Its kind, as a rule's name.
    pub name: String,
    /// How bad.
    pub severity: Severity,
    /// Whose.
    pub target: String,
    /// What.
    pub summary: String,
    /// What to do.
    pub recommendation: String,
}
