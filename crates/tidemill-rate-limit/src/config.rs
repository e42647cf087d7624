//! What a server allows, as plain data: limits, their scope and model, and the bounds of the pool.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::builder::fnv1a;
use crate::error::{Cause, Error};

/// Everything a [`KeyPool`](crate::KeyPool) needs to know before the first request.
///
/// With an empty list of `limits` nothing is held back and no refusal slows a key down: the control run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The quotas; all of them hold at once. Default: none.
    pub limits: Vec<Limit>,
    /// Most requests in flight at once, over all keys. Default: no cap.
    pub concurrency: Option<u32>,
    /// Most callers that may wait for a permit; the next one gets
    /// [`QueueFull`](crate::ErrorKind::QueueFull). Default 1024.
    pub max_waiters: usize,
    /// When the caller gives a request up, counted from its send. Default 30 s. A request without an answer keeps
    /// its slots until `deadline + straggler + per`.
    #[serde(with = "span")]
    pub deadline: Duration,
    /// How long after the caller gave up the server may still count the request. Default 5 s.
    #[serde(with = "span")]
    pub straggler: Duration,
    /// Coarsest clock between us and the server; added to every window. Default 5 ms.
    #[serde(with = "span")]
    pub resolution: Duration,
    /// How far the two clocks may run apart, in parts per million of a window. Default 200.
    pub drift_ppm: u32,
    /// Largest difference between two one-way delays that pacing alone may meet on a leaky server. Default 1 s.
    #[serde(with = "span")]
    pub jitter: Duration,
    /// How long a waiter waits before it stands level with a fresh one of the next higher priority. Default 30 s.
    #[serde(with = "span")]
    pub aging: Duration,
    /// Refusals that may be spent on learning, per limit and over all keys. Default 3.
    pub learning_refusals: u32,
    /// After how long without a refusal a lowered limit is raised by one again; doubles when that fails.
    /// Default 1 day.
    #[serde(with = "span")]
    pub reprobe: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            limits: Vec::new(),
            concurrency: None,
            max_waiters: 1024,
            deadline: Duration::from_secs(30),
            straggler: Duration::from_secs(5),
            resolution: Duration::from_millis(5),
            drift_ppm: 200,
            jitter: Duration::from_secs(1),
            aging: Duration::from_secs(30),
            learning_refusals: 3,
            reprobe: Duration::from_secs(86_400),
        }
    }
}

impl Config {
    /// One limit on each key and defaults for the rest.
    pub fn per_key(requests: u32, per: Duration, model: Model) -> Self {
        Self { limits: vec![Limit { model, ..Limit::new(requests, per) }], ..Self::default() }
    }

    /// Checks every bound; the error names the field.
    pub fn validate(&self) -> Result<(), Error> {
        const YEAR: Duration = Duration::from_secs(366 * 86_400);
        let bad = |field: String, why: &str| Err(Error::from(Cause::Config { field, why: why.to_owned() }));
        for (i, limit) in self.limits.iter().enumerate() {
            if limit.requests == 0 {
                return bad(format!("limits[{i}].requests"), "must be at least 1");
            }
            if limit.per < Duration::from_millis(1) || limit.per > YEAR {
                return bad(format!("limits[{i}].per"), "must lie between 1 ms and 366 days");
            }
            if limit.reserve >= limit.requests {
                return bad(format!("limits[{i}].reserve"), "must leave at least one request to the others");
            }
        }
        if self.concurrency == Some(0) {
            return bad("concurrency".into(), "must be at least 1; leave it out for no cap");
        }
        if self.limits.len() > 64 {
            return bad("limits".into(), "at most 64 are supported");
        }
        for (field, value) in [
            ("deadline", self.deadline),
            ("straggler", self.straggler),
            ("resolution", self.resolution),
            ("jitter", self.jitter),
            ("aging", self.aging),
            ("reprobe", self.reprobe),
        ] {
            if value > YEAR {
                return bad(field.into(), "must be at most 366 days");
            }
        }
        if self.drift_ppm > 100_000 {
            return bad("drift_ppm".into(), "must be at most 100000, a tenth of the window");
        }
        Ok(())
    }
}

/// One quota: so many requests in so much time, counted over one scope.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// What the server counts by. Default [`Scope::Key`].
    #[serde(default)]
    pub scope: Scope,
    /// Requests (or units of cost) in one window.
    pub requests: u32,
    /// Length of the window.
    #[serde(with = "span")]
    pub per: Duration,
    /// How the server counts. Default [`Model::Unknown`].
    #[serde(default)]
    pub model: Model,
    /// How many requests the server takes at once after a rest. Given for `leaky` or `bucket`: its depth (nginx
    /// `burst=n` takes n + 1). Given for any other model: send at most so many at once and pace the rest. 0: a bucket
    /// that is born empty; nothing is sent ahead of its refill. Default: 1 for `leaky`, paced for `unknown`, all of
    /// `requests` for the others.
    #[serde(default)]
    pub burst: Option<u32>,
    /// Units that only [`Priority::High`](crate::Priority::High) may use. Default 0.
    #[serde(default)]
    pub reserve: u32,
}

impl Limit {
    /// `requests` in any window of `per`, on each key, of an unknown model.
    pub fn new(requests: u32, per: Duration) -> Self {
        Self { scope: Scope::Key, requests, per, model: Model::Unknown, burst: None, reserve: 0 }
    }

    /// A name that does not depend on the order of the limits.
    pub(crate) fn id(&self) -> u32 {
        fnv1a(format!("{:?} {} {:?}", self.scope, self.requests, self.per).as_bytes())
    }
}

/// What a server counts by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Scope {
    /// Each API key has its own quota.
    #[default]
    Key,
    /// All keys of the pool belong to one account, which has one quota.
    Account,
    /// The address we call from has one quota.
    Ip,
}

/// How a server counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Model {
    /// A log of arrivals, whether refused ones count or not. No window of `per` may hold more than `requests`.
    SlidingLog,
    /// A counter that starts anew every `per`, of any phase.
    Fixed,
    /// A token bucket as deep as `requests`, born full.
    Bucket,
    /// A bucket shallower than `requests`, as nginx `limit_req`; see [`Limit::burst`].
    Leaky,
    /// Not known: start paced, learn the rest, spend few refusals on it.
    #[default]
    Unknown,
}

/// Durations as text: `"250ms"`, `"60s"`, `"5m"`, `"1h"`, `"1d"`, and sums such as `"1m30s"`.
mod span {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de};

    const UNITS: [(&str, u128); 7] = [
        ("d", 86_400_000_000_000),
        ("h", 3_600_000_000_000),
        ("m", 60_000_000_000),
        ("s", 1_000_000_000),
        ("ms", 1_000_000),
        ("us", 1_000),
        ("ns", 1),
    ];

    pub(super) fn serialize<S: Serializer>(value: &Duration, out: S) -> Result<S::Ok, S::Error> {
        let ns = value.as_nanos();
        let (name, unit) =
            match UNITS.iter().find(|(name, unit)| ns >= *unit && ns.is_multiple_of(*unit) && *name != "m") {
                Some(found) => *found,
                None => ("s", 1),
            };
        out.serialize_str(&format!("{}{name}", ns / unit))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(input)?;
        parse(&text).ok_or_else(|| {
            de::Error::custom(format!("`{text}` is not a duration such as \"60s\" or \"250ms\""))
        })
    }

    fn parse(text: &str) -> Option<Duration> {
        let mut rest = text.trim();
        let mut total: u128 = 0;
        if rest.is_empty() {
            return None;
        }
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit())?;
            let number: u64 = rest.get(..digits)?.parse().ok()?;
            rest = rest.get(digits..)?;
            let letters = rest.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(rest.len());
            let unit = UNITS.iter().find(|(name, _)| *name == &rest[..letters])?.1;
            total = total.checked_add(u128::from(number) * unit)?;
            rest = rest[letters..].trim_start();
        }
        Some(Duration::from_nanos(u64::try_from(total).ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_reads_and_writes_itself() {
        let text = r#"
            concurrency = 8
            deadline = "1m30s"
            [[limits]]
            requests = 75
            per = "60s"
            [[limits]]
            scope = "account"
            requests = 500
            per = "1d"
            model = "fixed"
        "#;
        let config: Config = toml::from_str(text).unwrap();
        assert_eq!(config.deadline, Duration::from_secs(90));
        assert_eq!(config.limits[0], Limit::new(75, Duration::from_secs(60)));
        assert_eq!(config.limits[1].scope, Scope::Account);
        let again: Config = toml::from_str(&toml::to_string(&config).unwrap()).unwrap();
        assert_eq!(again, config);
        config.validate().unwrap();
    }

    #[test]
    fn what_is_wrong_is_named() {
        let unknown = toml::from_str::<Config>("concurency = 8").unwrap_err();
        assert!(unknown.to_string().contains("concurency"));
        for per in ["60", "s", "", "1x", "-1s", "99999999999999999999d"] {
            let text = format!("[[limits]]\nrequests = 1\nper = \"{per}\"");
            assert!(toml::from_str::<Config>(&text).is_err(), "{per}");
        }
        let none = Config::per_key(0, Duration::from_secs(60), Model::Fixed).validate().unwrap_err();
        assert!(none.to_string().contains("limits[0].requests"), "{none}");
    }
}
