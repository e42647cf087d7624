//! What goes wrong, and for which requests.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::duration_text;
use crate::random::{Purpose, bits, unit};

/// The faults a sandbox commits; none by default.
///
/// In TOML: `faults = { rules = [{ kind = "truncated", probability = 0.01 }, { kind = "reset", requests = [7] }] }`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// The first rule that applies to a request decides; at most 64.
    pub rules: Vec<FaultRule>,
    /// Keys that stop being valid.
    pub revoked: Vec<Revocation>,
    /// How long a stalled body stands still before its connection is cut; 30 s.
    #[serde(with = "duration_text")]
    pub stall: Duration,
    /// What a slow answer takes on top of its latency; 5 s.
    #[serde(with = "duration_text")]
    pub slow: Duration,
}

/// One kind of fault and the requests it hits.
///
/// Requests are numbered from 1 in order of arrival over all keys. Whether a rule applies is a function of seed, rule
/// and number alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultRule {
    /// What happens.
    pub kind: FaultKind,
    /// The share of requests it happens to, 0 to 1; 0 by default.
    #[serde(default)]
    pub probability: f64,
    /// Numbers of requests it happens to besides; at most 10 000.
    #[serde(default)]
    pub requests: Vec<u64>,
    /// Besides, every request whose number is a multiple of this; 0, the default, for none.
    #[serde(default)]
    pub every: u64,
}

/// What can go wrong with an answer. A request that meets a fault has been counted like any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FaultKind {
    /// Status 500 with a body that is no data.
    InternalError,
    /// Status 503 with `Retry-After: 1`.
    Unavailable,
    /// A refusal although the quota has room.
    Refusal,
    /// Half of the announced body, then the connection is closed.
    Truncated,
    /// A whole answer, half of which is a web page.
    Malformed,
    /// Half of the body, then silence for [`Faults::stall`], then the connection is cut.
    Stalled,
    /// The connection is reset in place of an answer.
    Reset,
    /// A good answer, [`Faults::slow`] late.
    Slow,
}

impl FaultKind {
    /// Every kind, in the order of their declaration.
    pub const ALL: [Self; 8] = [
        Self::InternalError,
        Self::Unavailable,
        Self::Refusal,
        Self::Truncated,
        Self::Malformed,
        Self::Stalled,
        Self::Reset,
        Self::Slow,
    ];
}

/// A key that is valid for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revocation {
    /// The key.
    pub key: String,
    /// After so many requests that the server counted for it, it is unknown; 0 for never valid.
    pub after: u64,
}

impl Faults {
    /// No fault at all.
    pub fn none() -> Self {
        Self::default()
    }

    /// Adds a fault for a share of all requests.
    #[must_use]
    pub fn with_probability(mut self, kind: FaultKind, probability: f64) -> Self {
        self.rules.push(FaultRule { kind, probability, requests: Vec::new(), every: 0 });
        self
    }

    /// Adds a fault for these requests, numbered from 1.
    #[must_use]
    pub fn at(mut self, kind: FaultKind, requests: impl IntoIterator<Item = u64>) -> Self {
        let requests = requests.into_iter().collect();
        self.rules.push(FaultRule { kind, probability: 0.0, requests, every: 0 });
        self
    }

    /// Adds a key that is valid for its first `after` requests.
    #[must_use]
    pub fn revoke(mut self, key: impl Into<String>, after: u64) -> Self {
        self.revoked.push(Revocation { key: key.into(), after });
        self
    }

    /// The fault of the `request`-th request, if it has one.
    pub fn draw(&self, seed: u64, request: u64) -> Option<FaultKind> {
        let hit = |(lane, rule): &(usize, &FaultRule)| {
            rule.requests.contains(&request)
                || (rule.every > 0 && request.is_multiple_of(rule.every))
                || unit(bits(seed, Purpose::Fault, request, *lane as u64)) < rule.probability
        };
        self.rules.iter().enumerate().find(hit).map(|(_, rule)| rule.kind)
    }

    pub(crate) fn is_revoked(&self, key: &str, counted: u64) -> bool {
        self.revoked.iter().any(|revocation| revocation.key == key && counted >= revocation.after)
    }
}

impl Default for Faults {
    fn default() -> Self {
        let (stall, slow) = (Duration::from_secs(30), Duration::from_secs(5));
        Self { rules: Vec::new(), revoked: Vec::new(), stall, slow }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_hit_exactly_and_shares_nearly() {
        let mut faults = Faults::none().at(FaultKind::Reset, [3, 5]).with_probability(FaultKind::Slow, 0.1);
        faults.rules.push(FaultRule {
            kind: FaultKind::Refusal,
            probability: 0.0,
            requests: vec![],
            every: 100,
        });
        assert_eq!(faults.draw(1, 3), Some(FaultKind::Reset));
        assert_eq!(faults.draw(9, 5), Some(FaultKind::Reset));
        let drawn: Vec<_> = (1..=10_000).filter_map(|request| faults.draw(1, request)).collect();
        let count = |kind| drawn.iter().filter(|drawn| **drawn == kind).count();
        assert_eq!(count(FaultKind::Reset), 2);
        assert!((900..1100).contains(&count(FaultKind::Slow)), "{}", count(FaultKind::Slow));
        assert!((80..=100).contains(&count(FaultKind::Refusal)), "the first rule that applies wins");
        let again: Vec<_> = (1..=10_000).filter_map(|request| faults.draw(1, request)).collect();
        assert_eq!(drawn, again);
        let other: Vec<_> = (1..=10_000).filter_map(|request| faults.draw(2, request)).collect();
        assert_ne!(drawn, other);
    }
}
