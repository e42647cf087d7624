//! What the server counted.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::faults::FaultKind;

/// The server's own count since it began; all monotone but the ones marked as gauges.
///
/// `requests = admitted + refused + invalid_key + bad_request`. Requests for `/stats` and `/symbols` are not counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Requests for data that were counted.
    pub requests: u64,
    /// Those that passed every quota; whether they then met a fault or an unknown symbol stands apart.
    pub admitted: u64,
    /// Those that a quota refused.
    pub refused: u64,
    /// Those with a missing, unknown or revoked key.
    pub invalid_key: u64,
    /// Those that could not be understood; they cost nothing.
    pub bad_request: u64,
    /// Admitted requests for a symbol that does not exist.
    pub unknown_symbol: u64,
    /// Answers with all their data that were handed to the connection without a fault.
    pub served: u64,
    /// Admitted requests that met a fault, by kind. A refusal by fault is among `admitted`, as the quota passed it.
    pub faults: BTreeMap<FaultKind, u64>,
    /// Connections accepted.
    pub connections: u64,
    /// Connections open now (a gauge).
    pub open_connections: u64,
    /// Per key, in the order in which the keys are configured or were first seen.
    pub keys: Vec<KeyStats>,
}

/// One key's count.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyStats {
    /// The key; a sandbox's keys are no secrets.
    pub key: String,
    /// Requests that passed every quota.
    pub admitted: u64,
    /// Requests that a quota refused.
    pub refused: u64,
    /// Requests after the key was revoked.
    pub revoked: u64,
    /// The most requests, refused ones included, that arrived in any span as long as the first quota's window (a gauge;
    /// it stops at 16 384).
    pub peak_in_window: u64,
    /// The most requests that were admitted in any such span (a gauge with the same bound).
    pub peak_admitted_in_window: u64,
}

/// How often a symbol was asked for and served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SymbolStats {
    /// Requests that a quota admitted or refused.
    pub asked: u32,
    /// Those that were answered with data and without a fault.
    pub served: u32,
}

impl Stats {
    /// What was counted after `earlier`, an older reading of the same sandbox; gauges stay as they are.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let before =
            |key: &str| earlier.keys.iter().find(|stats| stats.key == key).cloned().unwrap_or_default();
        Self {
            requests: self.requests.saturating_sub(earlier.requests),
            admitted: self.admitted.saturating_sub(earlier.admitted),
            refused: self.refused.saturating_sub(earlier.refused),
            invalid_key: self.invalid_key.saturating_sub(earlier.invalid_key),
            bad_request: self.bad_request.saturating_sub(earlier.bad_request),
            unknown_symbol: self.unknown_symbol.saturating_sub(earlier.unknown_symbol),
            served: self.served.saturating_sub(earlier.served),
            faults: self
                .faults
                .iter()
                .map(|(kind, count)| (*kind, count.saturating_sub(*earlier.faults.get(kind).unwrap_or(&0))))
                .collect(),
            connections: self.connections.saturating_sub(earlier.connections),
            open_connections: self.open_connections,
            keys: self.keys.iter().map(|stats| stats.since(&before(&stats.key))).collect(),
        }
    }
}

impl KeyStats {
    fn since(&self, earlier: &Self) -> Self {
        Self {
            key: self.key.clone(),
            admitted: self.admitted.saturating_sub(earlier.admitted),
            refused: self.refused.saturating_sub(earlier.refused),
            revoked: self.revoked.saturating_sub(earlier.revoked),
            peak_in_window: self.peak_in_window,
            peak_admitted_in_window: self.peak_admitted_in_window,
        }
    }
}
