//! What was counted of a provider, and what its answers mean for the quota.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Result;
use tidemill_market::{Class, Refused};
use tidemill_metrics::{Counter, Histogram, Registry};
use tidemill_rate_limit::{Hints, KeyIndex, Outcome, headers};

use super::{Asked, Read};
use crate::http::{Answer, Call};
use crate::permit::Judge;
use crate::report::{KeySummary, ProviderSummary};

/// How long a wall is respected when it does not say for how long it stands.
const BAN: Duration = Duration::from_secs(60);

/// What was counted of a provider; also the judge of its answers.
#[derive(Debug)]
pub struct Counts {
    keys: Vec<KeyCounts>,
    /// Whether the limits are counted in the weights that answers tell.
    pub(super) weighs: bool,
    /// From request to answer, seconds; answers only.
    pub response: Histogram,
    /// Attempts without an answer.
    pub unanswered: Counter,
}

#[derive(Debug)]
struct KeyCounts {
    requests: Counter,
    refused: Counter,
}

impl Counts {
    pub(super) fn new(registry: &Registry, provider: &str, keys: usize) -> Result<Self> {
        let key = |index: usize| -> Result<KeyCounts> {
            let index = index.to_string();
            let labels = [("provider", provider), ("key", index.as_str())];
            Ok(KeyCounts {
                requests: registry
                    .counter("requests_total", "Attempts sent, by key in the order configured.")
                    .with(&labels)?,
                refused: registry
                    .counter("requests_refused_total", "Attempts the provider refused.")
                    .with(&labels)?,
            })
        };
        let of = [("provider", provider)];
        Ok(Self {
            keys: (0..keys).map(key).collect::<Result<_>>()?,
            weighs: false,
            response: registry
                .histogram("request_duration_seconds", "From the request to the last byte of its answer.")
                .with(&of)?,
            unanswered: registry
                .counter("requests_unanswered_total", "Attempts that brought no answer.")
                .with(&of)?,
        })
    }

    /// Requests and refusals by key.
    pub fn summary(&self, name: &str) -> ProviderSummary {
        let of = |key: &KeyCounts| KeySummary { requests: key.requests.get(), refused: key.refused.get() };
        let keys: Vec<KeySummary> = self.keys.iter().map(of).collect();
        ProviderSummary {
            name: name.to_owned(),
            requests: keys.iter().map(|key| key.requests).sum(),
            refused: keys.iter().map(|key| key.refused).sum(),
            keys,
        }
    }

    /// What the headers say, as far as it is in the unit of the limits.
    fn hints(&self, reader: &headers::Reader) -> Hints {
        let hints = reader.hints();
        if self.weighs { hints } else { Hints { used: [None; 4], ..hints } }
    }
}

impl Judge for Counts {
    fn sending(&self, key: KeyIndex) {
        if let Some(key) = self.keys.get(key.get()) {
            key.requests.inc();
        }
    }

    fn judge(&self, call: &Call, key: KeyIndex, answer: &mut Answer) -> (Outcome, Hints) {
        let mut reader = headers::Reader::new(SystemTime::now());
        for (name, value) in &answer.headers {
            if let Ok(value) = value.to_str() {
                reader.header(name.as_str(), value);
            }
        }
        let status = answer.status.as_u16();
        let elsewhere = answer.status.is_redirection();
        let Some(asked) = call.extensions.get::<Asked>().filter(|_| !elsewhere) else {
            return (Outcome::Counted { status }, self.hints(&reader));
        };
        self.response.observe(answer.received_at.saturating_duration_since(answer.sent_at).as_secs_f64());
        let read = asked.read(answer);
        let outcome = outcome(&read, &reader);
        if matches!(outcome, Outcome::Refused { .. } | Outcome::Banned { .. })
            && let Some(key) = self.keys.get(key.get())
        {
            key.refused.inc();
        }
        answer.extensions.insert(Arc::new(read));
        (outcome, self.hints(&reader))
    }
}

/// What an answer means for the quota.
fn outcome(read: &Read, headers: &headers::Reader) -> Outcome {
    let retry_after = headers.retry_after().or(read.reading.retry_after);
    let status = read.status;
    match read.reading.class {
        Class::Throttled if status == 418 => Outcome::Banned { until: retry_after.unwrap_or(BAN) },
        Class::Throttled => {
            Outcome::Refused { retry_after, limit: headers.hints().limit.and_then(|n| u32::try_from(n).ok()) }
        }
        Class::Blocked => Outcome::Banned { until: retry_after.unwrap_or(BAN) },
        Class::Refused(Refused::KeyRevoked) => Outcome::Revoked,
        Class::ServerError if matches!(status, 502..=504) => Outcome::Gateway,
        _ => Outcome::Counted { status },
    }
}
