//! How a request ended, told to the pool as plain numbers.

use std::time::Duration;

/// How a request ended, as far as quotas are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The server that counts gave its final answer, whatever it was: its slot cools from now.
    Counted {
        /// The HTTP status; 500 and above counts as an error in the key's score.
        status: u16,
    },
    /// The server refused for lack of quota (429, or a body that says so).
    Refused {
        /// What `Retry-After` said.
        retry_after: Option<Duration>,
        /// The limit that the server named, if it did.
        limit: Option<u32>,
    },
    /// The server locked the key or the address out (418).
    Banned {
        /// For how long from now.
        until: Duration,
    },
    /// The key is not valid, or no longer: it is quarantined.
    Revoked,
    /// No answer: a timeout, a reset, a broken connection. The server may have counted the request, or may yet.
    Unanswered,
    /// The request certainly never left this machine: no address, no connection, no TLS session. Its slot is given
    /// back at once, as if the permit had been dropped. Say it only where not one byte of the request can have been
    /// written; a reset connection is [`Unanswered`](Self::Unanswered).
    Unsent,
    /// A gateway answered in the place of the server that counts (502, 503, 504): as good as no answer.
    Gateway,
}

impl Outcome {
    /// A final answer of status 200.
    pub const OK: Self = Self::Counted { status: 200 };

    /// The usual reading of an HTTP status; `retry_after` as `headers::RetryAfter::parse` gives it. 401 is read as revoked, 403 is not: too many servers use it for other things.
    pub fn from_status(status: u16, retry_after: Option<Duration>) -> Self {
        match status {
            429 => Self::Refused { retry_after, limit: None },
            418 => Self::Banned { until: retry_after.unwrap_or(Duration::from_secs(60)) },
            401 => Self::Revoked,
            502..=504 => Self::Gateway,
            _ => Self::Counted { status },
        }
    }
}

/// What an answer says about the quota, as numbers; the feature `headers` reads them from the usual headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hints {
    /// The size of the quota.
    pub limit: Option<u64>,
    /// What is left of it.
    pub remaining: Option<u64>,
    /// From now until it is restored.
    pub reset: Option<Duration>,
    /// Length of its window.
    pub per: Option<Duration>,
    /// What the server has counted in its windows, this request included. Where it is more than we know of, others
    /// spend the same quota, and our count is raised.
    pub used: [Option<Used>; 4],
}

/// How much of a window a server has counted, by all who use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Used {
    /// Units.
    pub count: u64,
    /// Length of the window: that of a limit of the configuration. Not known: that of the only one.
    pub per: Option<Duration>,
}
