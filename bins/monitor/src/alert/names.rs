//! Names that are known beyond alerting.

/// How many rounds of a target in a row had something bad in them: a metric of every target.
pub const POOR_ROUNDS: &str = "poor_rounds";

/// The name of the notice that watching began.
pub const STARTED: &str = "monitoring-started";

/// The name of the notice that a setting was changed by itself.
pub const AUTO_TUNING: &str = "auto-tuning";
