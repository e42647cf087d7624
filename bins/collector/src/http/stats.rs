//! What an attempt and its clones have sent and received.

use serde::Serialize;

/// Counters of one [`super::Attempt`] and its clones; all monotone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// Requests handed to the client, a connection found or not.
    pub sent: u64,
    /// Answers complete with their body, whatever their status.
    pub answered: u64,
    /// Attempts that brought no answer.
    pub failed: u64,
    /// Attempts that found no free place in the pool at once.
    pub waited_for_connection: u64,
    /// Bytes of bodies as sent.
    pub wire_bytes: u64,
    /// Bytes of bodies after inflation.
    pub body_bytes: u64,
}

impl Stats {
    /// What was counted after `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            sent: self.sent.saturating_sub(earlier.sent),
            answered: self.answered.saturating_sub(earlier.answered),
            failed: self.failed.saturating_sub(earlier.failed),
            waited_for_connection: self.waited_for_connection.saturating_sub(earlier.waited_for_connection),
            wire_bytes: self.wire_bytes.saturating_sub(earlier.wire_bytes),
            body_bytes: self.body_bytes.saturating_sub(earlier.body_bytes),
        }
    }
}
