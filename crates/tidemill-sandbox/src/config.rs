//! What a sandbox can be told, with units, defaults and bounds.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::faults::Faults;
use crate::latency::{Latency, Spell};
use crate::quota::{
    Daily, FixedWindow, Leaky, PenalisingLog, Quota, SlidingCounter, SlidingLog, TokenBucket,
};

/// The most symbols a sandbox lists.
pub const MAX_SYMBOLS: usize = 20_000;
/// The most requests a quota holds; bounds what a log remembers for a key to 8 MB.
pub const MAX_QUOTA_REQUESTS: u32 = 1_000_000;

/// A sandbox as plain data; every field has a default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How many symbols are listed: the five real ones first, then `SYM0005` and so on; 1 to 20 000, default 1000.
    pub symbols: usize,
    /// The valid keys, at most 1024; default `k1` to `k4`. Empty: any key is valid and has quotas of its own.
    pub keys: Vec<String>,
    /// With any key valid, how many different ones are known before further ones are invalid; default 64.
    pub max_keys: usize,
    /// What is counted, at most 8; a request must pass all of them. Default: 75 per 10 s and key, penalising log.
    pub quota: Vec<QuotaConfig>,
    /// How long answers take; default uniform, 20 to 80 ms.
    pub latency: Latency,
    /// When answers take longer than that, at most 64 times; default never.
    pub spells: Vec<Spell>,
    /// What goes wrong; default nothing.
    pub faults: Faults,
    /// How a refusal looks; default `information`.
    pub refusal: RefusalStyle,
    /// How an unknown or revoked key is answered; default `error-message`.
    pub invalid_key: InvalidKeyStyle,
    /// Fixes resampled series, latencies and faults; default 1.
    pub seed: u64,
    /// Connections held at once, further ones wait to be accepted; 1 to 65 536, default 1024.
    pub max_connections: usize,
    /// Whether a client that accepts gzip or deflate gets it; default true.
    pub compression: bool,
}

/// One quota.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QuotaConfig {
    /// How it counts; default `penalising-log`.
    pub model: Model,
    /// Requests per `per`, 1 to 1 000 000; default 75.
    pub requests: u32,
    /// The span; default 10 s. For `daily` it is the length of a day, which a test may shorten.
    #[serde(with = "duration_text")]
    pub per: Duration,
    /// `token-bucket`: what the bucket holds, default `requests`. `leaky`: what may stand above the request being
    /// served, default 0. Others take none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
    /// `fixed-window` and `daily`: when a window starts, since the start of serving; default 0.
    #[serde(with = "duration_text")]
    pub phase: Duration,
    /// Who shares it; default `key`.
    pub scope: Scope,
}

/// The ways of counting, each a type in [`quota`](crate::quota).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Model {
    /// [`SlidingLog`].
    SlidingLog,
    /// [`PenalisingLog`].
    #[default]
    PenalisingLog,
    /// [`FixedWindow`].
    FixedWindow,
    /// [`TokenBucket`].
    TokenBucket,
    /// [`Leaky`].
    Leaky,
    /// [`SlidingCounter`].
    SlidingCounter,
    /// [`Daily`].
    Daily,
}

/// Who shares a quota.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// Each key has its own.
    #[default]
    Key,
    /// All keys share it.
    Account,
}

/// How a refusal looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefusalStyle {
    /// Status 200 and a body that says so: `{"Information": ...}` at `/query`, `{"code": 429, ...}` at `/time_series`.
    #[default]
    Information,
    /// Status 429 with `Retry-After` in whole seconds, rounded up.
    TooManyRequests,
}

/// How an unknown or revoked key is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InvalidKeyStyle {
    /// Status 200 and a body that says so: `{"Error Message": ...}` at `/query`, `{"code": 401, ...}` at `/time_series`.
    #[default]
    ErrorMessage,
    /// The same body with status 401.
    Unauthorized,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            symbols: 1000,
            keys: ["k1", "k2", "k3", "k4"].map(String::from).to_vec(),
            max_keys: 64,
            quota: vec![QuotaConfig::default()],
            latency: Latency::default(),
            spells: Vec::new(),
            faults: Faults::default(),
            refusal: RefusalStyle::default(),
            invalid_key: InvalidKeyStyle::default(),
            seed: 1,
            max_connections: 1024,
            compression: true,
        }
    }
}

impl Default for QuotaConfig {
    fn default() -> Self {
        Self::new(Model::default(), 75, Duration::from_secs(10))
    }
}

impl QuotaConfig {
    /// A quota for each key, with nothing else set.
    pub fn new(model: Model, requests: u32, per: Duration) -> Self {
        Self { model, requests, per, burst: None, phase: Duration::ZERO, scope: Scope::Key }
    }

    /// The model itself, as a server or a simulator drives it.
    pub fn build(&self) -> Box<dyn Quota> {
        let &Self { requests, per, phase, burst, .. } = self;
        match self.model {
            Model::SlidingLog => Box::new(SlidingLog::new(requests, per)),
            Model::PenalisingLog => Box::new(PenalisingLog::new(requests, per)),
            Model::FixedWindow => Box::new(FixedWindow::new(requests, per, phase)),
            Model::TokenBucket => Box::new(TokenBucket::new(requests, per, burst.unwrap_or(requests))),
            Model::Leaky => Box::new(Leaky::new(requests, per, burst.unwrap_or(0))),
            Model::SlidingCounter => Box::new(SlidingCounter::new(requests, per)),
            Model::Daily => Box::new(Daily::with_length(requests, per, phase)),
        }
    }
}

impl Config {
    /// Says which field is out of its bounds, if one is.
    pub(crate) fn validate(&self) -> Result<(), Error> {
        within("symbols", self.symbols, 1, MAX_SYMBOLS)?;
        within("keys", self.keys.len(), 0, 1024)?;
        within("max_keys", self.max_keys, 1, 1024)?;
        within("quota", self.quota.len(), 0, 8)?;
        within("max_connections", self.max_connections, 1, 65_536)?;
        for (index, key) in self.keys.iter().enumerate() {
            within(&format!("keys[{index}] (length)"), key.len(), 1, MAX_KEY_BYTES)?;
            if self.keys[..index].contains(key) {
                return Err(Error::config(format!("keys[{index}]"), format!("`{key}` is given twice")));
            }
        }
        for (index, quota) in self.quota.iter().enumerate() {
            quota.validate(&format!("quota[{index}]"))?;
        }
        match self.latency {
            Latency::Uniform { min, max } if min > max => {
                return Err(Error::config("latency", "`min` is above `max`"));
            }
            Latency::Lognormal { sigma, .. } if !(0.0..=100.0).contains(&sigma) => {
                return Err(Error::config("latency.sigma", format!("{sigma} is not between 0 and 100")));
            }
            _ => {}
        }
        within("spells", self.spells.len(), 0, 64)?;
        for (index, spell) in self.spells.iter().enumerate() {
            if !(0.0..=1000.0).contains(&spell.times) {
                let problem = format!("{} is not between 0 and 1000", spell.times);
                return Err(Error::config(format!("spells[{index}].times"), problem));
            }
        }
        within("faults.rules", self.faults.rules.len(), 0, 64)?;
        within("faults.revoked", self.faults.revoked.len(), 0, 1024)?;
        for (index, rule) in self.faults.rules.iter().enumerate() {
            within(&format!("faults.rules[{index}].requests"), rule.requests.len(), 0, 10_000)?;
            if !(0.0..=1.0).contains(&rule.probability) {
                let problem = format!("{} is not between 0 and 1", rule.probability);
                return Err(Error::config(format!("faults.rules[{index}].probability"), problem));
            }
        }
        Ok(())
    }
}

/// Longer keys are invalid without being looked up.
pub(crate) const MAX_KEY_BYTES: usize = 128;

impl QuotaConfig {
    fn validate(&self, at: &str) -> Result<(), Error> {
        within(&format!("{at}.requests"), self.requests as usize, 1, MAX_QUOTA_REQUESTS as usize)?;
        if self.per.is_zero() {
            return Err(Error::config(format!("{at}.per"), "a span of zero counts nothing"));
        }
        match (self.model, self.burst) {
            (Model::TokenBucket, Some(burst)) => {
                within(&format!("{at}.burst"), burst as usize, 1, MAX_QUOTA_REQUESTS as usize)
            }
            (Model::Leaky, Some(burst)) => {
                within(&format!("{at}.burst"), burst as usize, 0, MAX_QUOTA_REQUESTS as usize)
            }
            (_, Some(_)) => {
                Err(Error::config(format!("{at}.burst"), "only `token-bucket` and `leaky` have a burst"))
            }
            (_, None) => Ok(()),
        }
    }
}

fn within(field: &str, value: usize, min: usize, max: usize) -> Result<(), Error> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(Error::config(field, format!("{value} is not between {min} and {max}")))
}

/// Durations as people write them: `"250ms"`, `"10s"`, `"1.5m"`, `"1d"`.
pub(crate) mod duration_text {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    const UNITS: [(&str, u64); 7] = [
        ("d", 86_400_000_000_000),
        ("h", 3_600_000_000_000),
        ("m", 60_000_000_000),
        ("s", 1_000_000_000),
        ("ms", 1_000_000),
        ("us", 1_000),
        ("ns", 1),
    ];

    pub(crate) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format(*duration))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse(&text).ok_or_else(|| {
            D::Error::custom(format!("`{text}` is not a duration such as \"250ms\", \"10s\" or \"1d\""))
        })
    }

    pub(crate) fn parse(text: &str) -> Option<Duration> {
        let text = text.trim();
        let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = (&text[..split], text[split..].trim());
        let (_, nanos) = *UNITS.iter().find(|(name, _)| *name == unit)?;
        if let Ok(whole) = number.parse::<u64>() {
            return whole.checked_mul(nanos).map(Duration::from_nanos);
        }
        Duration::try_from_secs_f64(number.parse::<f64>().ok()? * nanos as f64 / 1e9).ok()
    }

    pub(crate) fn format(duration: Duration) -> String {
        let nanos = duration.as_nanos();
        let exact = |(_, unit): &&(&str, u64)| nanos.is_multiple_of(u128::from(*unit));
        match UNITS.iter().find(exact) {
            Some((name, unit)) if nanos > 0 => format!("{}{name}", nanos / u128::from(*unit)),
            _ => "0s".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_survive_their_text() {
        for text in ["250ms", "10s", "1d", "90s", "7ns", "3us", "0s"] {
            let parsed = duration_text::parse(text).unwrap();
            assert_eq!(duration_text::parse(&duration_text::format(parsed)), Some(parsed), "{text}");
        }
        assert_eq!(duration_text::parse("1.5m"), Some(Duration::from_secs(90)));
        assert_eq!(duration_text::format(Duration::from_secs(90)), "90s");
        assert_eq!(duration_text::format(Duration::from_secs(60)), "1m");
        for wrong in ["", "10", "s", "-1s", "1 fortnight", "1e3s", "99999999999d", "..s"] {
            assert_eq!(duration_text::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn toml_round_trips_and_unknown_fields_are_named() {
        let config = Config {
            latency: Latency::Lognormal {
                median: Duration::from_millis(90),
                sigma: 0.4,
                cap: Duration::from_secs(3),
            },
            quota: vec![QuotaConfig {
                burst: Some(5),
                ..QuotaConfig::new(Model::Leaky, 75, Duration::from_secs(60))
            }],
            faults: Faults::none().with_probability(crate::FaultKind::Reset, 0.25).revoke("k1", 9),
            spells: vec![Spell { after: Duration::ZERO, lasts: Duration::from_secs(300), times: 3.0 }],
            ..Config::default()
        };
        let text = toml::to_string(&config).unwrap();
        assert_eq!(toml::from_str::<Config>(&text).unwrap(), config, "{text}");
        assert_eq!(toml::from_str::<Config>("").unwrap(), Config::default());
        let error = toml::from_str::<Config>("symbol = 3").unwrap_err().to_string();
        assert!(error.contains("symbol") && error.contains("line 1"), "{error}");
    }

    #[test]
    fn bounds_name_the_field() {
        let quota = |quota| Config { quota: vec![quota], ..Config::default() };
        let ten = Duration::from_secs(10);
        let wrong = [
            (Config { symbols: 0, ..Config::default() }, "symbols"),
            (Config { symbols: MAX_SYMBOLS + 1, ..Config::default() }, "symbols"),
            (Config { keys: vec!["a".into(), "a".into()], ..Config::default() }, "keys[1]"),
            (quota(QuotaConfig::new(Model::SlidingLog, 0, ten)), "quota[0].requests"),
            (quota(QuotaConfig::new(Model::SlidingLog, 1, Duration::ZERO)), "quota[0].per"),
            (quota(QuotaConfig { burst: Some(1), ..QuotaConfig::default() }), "quota[0].burst"),
            (
                Config { latency: Latency::Uniform { min: ten, max: Duration::ZERO }, ..Config::default() },
                "latency",
            ),
            (
                Config {
                    faults: Faults::none().with_probability(crate::FaultKind::Slow, 1.5),
                    ..Config::default()
                },
                "faults.rules[0].probability",
            ),
        ];
        let spell = Spell { after: ten, lasts: ten, times: f64::NAN };
        let endless = (Config { spells: vec![spell], ..Config::default() }, "spells[0].times");
        for (config, field) in wrong.into_iter().chain([endless]) {
            let error = config.validate().unwrap_err();
            assert_eq!(error.kind(), crate::ErrorKind::Config);
            assert!(error.to_string().contains(&format!("`{field}")), "{error}");
        }
        assert!(Config::default().validate().is_ok());
    }
}
