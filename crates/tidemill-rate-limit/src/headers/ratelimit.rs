//! `RateLimit` and `RateLimit-Policy` of draft-ietf-httpapi-ratelimit-headers, revision 10, and the form of revision 7.

use std::time::Duration;

use super::{number, seconds};

/// Most quotas that are read of one answer.
const MOST: usize = 4;

/// What both fields say, by the names of the quotas.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Quotas {
    states: [Option<State>; MOST],
    policies: [Option<Policy>; MOST],
}

/// What is left of a quota.
#[derive(Debug, Clone, Copy)]
struct State {
    name: Name,
    remaining: u64,
    reset: Option<Duration>,
}

/// How large a quota is.
#[derive(Debug, Clone, Copy)]
struct Policy {
    name: Name,
    quota: u64,
    per: Option<Duration>,
    /// False where it counts bytes or connections.
    requests: bool,
}

/// One quota, joined of both.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Told {
    pub(super) limit: Option<u64>,
    pub(super) remaining: Option<u64>,
    pub(super) reset: Option<Duration>,
    pub(super) per: Option<Duration>,
}

impl Quotas {
    /// `RateLimit: "burst";r=9;t=1, "day";r=2;t=3600`, or `limit=100, remaining=50, reset=5`.
    pub(super) fn state(&mut self, value: &str) {
        if self.state_of_revision_7(value) {
            return;
        }
        for item in Pieces::of(value, b',') {
            let mut pieces = Pieces::of(item, b';');
            let Some(name) = pieces.next().and_then(Name::of) else { continue };
            let (mut remaining, mut reset) = (None, None);
            for (key, value) in pieces.filter_map(|piece| piece.split_once('=')) {
                match key {
                    "r" => remaining = number(value),
                    "t" => reset = seconds(value),
                    _ => {}
                }
            }
            if let Some(remaining) = remaining {
                put(&mut self.states, State { name, remaining, reset });
            }
        }
    }

    /// `RateLimit-Policy: "burst";q=100;w=60, "day";q=1000;w=86400;qu="requests"`, or `100;w=60`.
    pub(super) fn policy(&mut self, value: &str) {
        for item in Pieces::of(value, b',') {
            let mut pieces = Pieces::of(item, b';');
            let Some(head) = pieces.next() else { continue };
            let Some(name) = Name::of(head) else { continue };
            let (mut quota, mut per, mut requests) = (number(head), None, true);
            for (key, value) in pieces.filter_map(|piece| piece.split_once('=')) {
                match key {
                    "q" => quota = number(value),
                    "w" => per = seconds(value).filter(|per| !per.is_zero()),
                    "qu" => requests = value.trim_matches('"') == "requests",
                    _ => {}
                }
            }
            if let Some(quota) = quota {
                put(&mut self.policies, Policy { name, quota, per, requests });
            }
        }
    }

    /// The quota of which the least is left; without any state, the only one there is.
    pub(super) fn scarcest(&self) -> Option<Told> {
        let policies = || self.policies.iter().flatten();
        let counted = |state: &&State| policies().all(|policy| policy.name != state.name || policy.requests);
        let told = |policy: &Policy| Told { limit: Some(policy.quota), per: policy.per, ..Told::default() };
        let states = self.states.iter().flatten();
        if let Some(state) = states.clone().filter(counted).min_by_key(|state| state.remaining) {
            let policy = policies().find(|policy| policy.name == state.name).map(told).unwrap_or_default();
            return Some(Told { remaining: Some(state.remaining), reset: state.reset, ..policy });
        }
        let mut usable = policies().filter(|policy| policy.requests);
        usable.next().filter(|_| usable.next().is_none() && states.count() == 0).map(told)
    }

    fn state_of_revision_7(&mut self, value: &str) -> bool {
        let (mut limit, mut remaining, mut reset) = (None, None, None);
        for (key, value) in Pieces::of(value, b',').filter_map(|piece| piece.split_once('=')) {
            match key {
                "limit" => limit = number(value),
                "remaining" => remaining = number(value),
                "reset" => reset = seconds(value),
                _ => {}
            }
        }
        let Some(remaining) = remaining else { return false };
        let name = Name(0);
        put(&mut self.states, State { name, remaining, reset });
        if let Some(quota) = limit {
            put(&mut self.policies, Policy { name, quota, per: None, requests: true });
        }
        true
    }
}

/// A quota's name, as a hash: that two are taken for one is less than a server can do to itself by lying.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Name(u64);

impl Name {
    /// FNV-1a, 64 bits; none of an empty text.
    fn of(text: &str) -> Option<Self> {
        let hash = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        (!text.is_empty()).then(|| Self(text.bytes().fold(0xcbf2_9ce4_8422_2325, hash)))
    }
}

fn put<T>(places: &mut [Option<T>; MOST], value: T) {
    if let Some(place) = places.iter_mut().find(|place| place.is_none()) {
        *place = Some(value);
    }
}

/// The parts of a structured field between separators outside of quoted strings (RFC 9651), trimmed.
struct Pieces<'a> {
    rest: Option<&'a str>,
    separator: u8,
}

impl<'a> Pieces<'a> {
    fn of(text: &'a str, separator: u8) -> Self {
        Self { rest: Some(text), separator }
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let rest = self.rest?;
        let (mut quoted, mut escaped) = (false, false);
        let end = rest.bytes().position(|byte| {
            let ends = !quoted && byte == self.separator;
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                _ => {}
            }
            ends
        });
        // A separator is one byte of ASCII, so it stands on a boundary.
        let (piece, rest) = match end.and_then(|end| Some((rest.get(..end)?, rest.get(end + 1..)?))) {
            Some((piece, rest)) => (piece, Some(rest)),
            None => (rest, None),
        };
        self.rest = rest;
        Some(piece.trim())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Limit, remaining, reset and window.
    type Numbers = (Option<u64>, Option<u64>, Option<u64>, Option<u64>);

    fn told(state: &str, policy: &str) -> Option<Numbers> {
        let mut quotas = Quotas::default();
        quotas.policy(policy);
        quotas.state(state);
        let s = |span: Option<Duration>| span.map(|span| span.as_secs());
        quotas.scarcest().map(|told| (told.limit, told.remaining, s(told.reset), s(told.per)))
    }

    #[test]
    fn the_scarcest_quota_of_the_draft_is_joined_with_its_policy() {
        let policy = r#""burst";q=100;w=60,"daily";q=1000;w=86400"#;
        assert_eq!(
            told(r#""burst";r=50;t=30, "daily";r=7;t=3600"#, policy),
            Some((Some(1000), Some(7), Some(3600), Some(86_400)))
        );
        assert_eq!(told(r#""burst";t=30;r=5"#, policy), Some((Some(100), Some(5), Some(30), Some(60))));
        assert_eq!(told(r#""other";r=5"#, policy), Some((None, Some(5), None, None)));
    }

    #[test]
    fn a_name_may_hold_every_sign() {
        let name = r#""a, \";r=1;t=1, \"""#;
        assert_eq!(
            told(&format!("{name};r=9;t=2"), &format!("{name};q=10;w=5")),
            Some((Some(10), Some(9), Some(2), Some(5)))
        );
        assert_eq!(told(r#""never closed;r=9;t=2"#, ""), None);
    }

    #[test]
    fn bytes_and_connections_are_no_requests() {
        let policy = r#""b";q=65535;qu="content-bytes";w=10, "r";q=20;w=10;pk=:cHJvZA==:"#;
        assert_eq!(
            told(r#""b";r=1;t=3, "r";r=12;t=3"#, policy),
            Some((Some(20), Some(12), Some(3), Some(10)))
        );
        assert_eq!(told(r#""b";r=1;t=3"#, policy), None);
        assert_eq!(told("", policy), Some((Some(20), None, None, Some(10))), "the only one that counts");
    }

    #[test]
    fn earlier_revisions_are_read() {
        assert_eq!(
            told("limit=100, remaining=50, reset=5", "100;w=60"),
            Some((Some(100), Some(50), Some(5), None))
        );
        assert_eq!(told("", "100;w=60"), Some((Some(100), None, None, Some(60))));
        assert_eq!(told("", "10;w=1, 100;w=60"), None, "which of the two is not said");
    }

    #[test]
    fn a_fifth_quota_is_not_read() {
        let many: Vec<String> = (0..9).map(|i| format!("\"{i}\";r={}", 9 - i)).collect();
        assert_eq!(told(&many.join(","), ""), Some((None, Some(6), None, None)));
    }
}
