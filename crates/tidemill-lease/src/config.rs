//! How long a lease lasts and how much of it is kept as a margin, as plain data.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Cause, Error};

/// Everything [`Leases`](crate::Leases) needs to know beside the store and the owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How long a lease lasts unless it is renewed, by the store's clock. A dead owner is followed after so long.
    /// Default 30 s; 10 ms to 30 days.
    #[serde(with = "span")]
    pub term: Duration,
    /// How long before the end of its term an owner stops acting: the largest step of the store's clock. Default 1 s.
    #[serde(with = "span")]
    pub margin: Duration,
    /// How far the owner's and the store's clocks may run apart, in parts per million of the term. Default 200.
    pub drift_ppm: u32,
    /// How long one operation may take before it is given up. Default 5 s; at most a third of the term.
    #[serde(with = "span")]
    pub timeout: Duration,
    /// What an owner may have in the air at once, in units of its choice (requests in flight). It stays on record
    /// when the lease is lost, until it is confirmed. Default 0: a late effect does no harm.
    pub reserve: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            term: Duration::from_secs(30),
            margin: Duration::from_secs(1),
            drift_ppm: 200,
            timeout: Duration::from_secs(5),
            reserve: 0,
        }
    }
}

impl Config {
    /// A term, with a margin and a timeout in proportion: a thirtieth and a sixth of it.
    pub fn with_term(term: Duration) -> Self {
        Self { term, margin: term / 30, timeout: term / 6, ..Self::default() }
    }

    /// How long before the end of a term, counted from when it was asked for, its owner stops: the margin, and what the
    /// clocks may run apart.
    pub fn slack(&self) -> Duration {
        let drift = self.term.as_nanos().saturating_mul(u128::from(self.drift_ppm)).div_ceil(1_000_000);
        self.margin.saturating_add(Duration::from_nanos(u64::try_from(drift).unwrap_or(u64::MAX)))
    }

    /// Checks every bound; the error names the field.
    ///
    /// # Errors
    /// `Config`.
    pub fn validate(&self) -> Result<(), Error> {
        let bad = |field, why| Err(Cause::Config { field, why }.into());
        if self.term < Duration::from_millis(10) || self.term > Duration::from_secs(30 * 86_400) {
            return bad("term", "must lie between 10 ms and 30 days");
        }
        if self.drift_ppm > 100_000 {
            return bad("drift_ppm", "must be at most 100000, a tenth of the term");
        }
        if self.slack() > self.term / 3 {
            return bad(
                "margin",
                "must be, with the drift, at most a third of the term, or a renewal comes too late",
            );
        }
        if self.timeout.is_zero() || self.timeout > self.term / 3 {
            return bad("timeout", "must be above zero and at most a third of the term");
        }
        Ok(())
    }
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
        let text = "term = \"1m30s\"\nmargin = \"250ms\"\nreserve = 8";
        let config: Config = toml::from_str(text).unwrap();
        assert_eq!(config.term, Duration::from_secs(90));
        assert_eq!((config.reserve, config.timeout), (8, Duration::from_secs(5)));
        let again: Config = toml::from_str(&toml::to_string(&config).unwrap()).unwrap();
        assert_eq!(again, config);
        config.validate().unwrap();
        Config::default().validate().unwrap();
        for ms in [10, 333, 1_000, 86_400_000] {
            Config::with_term(Duration::from_millis(ms)).validate().unwrap();
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert!(toml::from_str::<Config>("tern = \"1s\"").unwrap_err().to_string().contains("tern"));
        let second = Duration::from_secs(1);
        for (config, field) in [
            (Config { term: Duration::from_millis(9), ..Config::default() }, "term"),
            (Config { term: Duration::MAX, ..Config::default() }, "term"),
            (Config { drift_ppm: 100_001, ..Config::default() }, "drift_ppm"),
            (Config { margin: 11 * second, ..Config::default() }, "margin"),
            (Config { margin: Duration::MAX, ..Config::default() }, "margin"),
            (Config { timeout: 11 * second, ..Config::default() }, "timeout"),
            (Config { timeout: Duration::ZERO, ..Config::default() }, "timeout"),
        ] {
            let error = config.validate().unwrap_err();
            assert!(error.to_string().starts_with(&format!("`{field}`")), "{error}");
        }
    }

    #[test]
    fn the_slack_grows_with_the_term() {
        let config = Config { term: Duration::from_secs(100), ..Config::default() };
        assert_eq!(config.slack(), Duration::from_millis(1020));
    }
}
