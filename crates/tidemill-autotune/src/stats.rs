//! What the tuner has done, as numbers.

use serde::Serialize;

/// Counters since the start; `trials_running` and `changes_held` are gauges.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Steps.
    pub steps: u64,
    /// Changes made outright.
    pub changes: u64,
    /// Of these, taken back because they were no longer needed.
    pub restored: u64,
    /// Trials ended, however.
    pub trials: u64,
    /// New values kept.
    pub kept: u64,
    /// Changes and trials taken back for harm.
    pub undone: u64,
    /// Trials that saw too little.
    pub inconclusive: u64,
    /// Trials ended from outside.
    pub aborted: u64,
    /// Emergencies.
    pub emergencies: u64,
    /// Readings not taken: no number, too old, or of a signal too many.
    pub dropped_readings: u64,
    /// Records pushed out before they were taken.
    pub dropped_records: u64,
    /// Trials that run now.
    pub trials_running: u64,
    /// Outright changes on probation or waiting to be taken back.
    pub changes_held: u64,
}

impl Stats {
    /// What was done since an earlier reading; gauges as they are.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            steps: self.steps.saturating_sub(earlier.steps),
            changes: self.changes.saturating_sub(earlier.changes),
            restored: self.restored.saturating_sub(earlier.restored),
            trials: self.trials.saturating_sub(earlier.trials),
            kept: self.kept.saturating_sub(earlier.kept),
            undone: self.undone.saturating_sub(earlier.undone),
            inconclusive: self.inconclusive.saturating_sub(earlier.inconclusive),
            aborted: self.aborted.saturating_sub(earlier.aborted),
            emergencies: self.emergencies.saturating_sub(earlier.emergencies),
            dropped_readings: self.dropped_readings.saturating_sub(earlier.dropped_readings),
            dropped_records: self.dropped_records.saturating_sub(earlier.dropped_records),
            trials_running: self.trials_running,
            changes_held: self.changes_held,
        }
    }
}
