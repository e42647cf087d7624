//! Bounds and times of the HTTP client; the defaults are those of the specification's row C4.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::error::BuildError;
use super::redact::SECRET_PARAMS;

/// How one provider is spoken to. Durations are written `"30s"`, sizes `"32MB"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// Requests in flight to all hosts together. Default 100.
    pub max_connections: usize,
    /// Requests in flight to one host, and idle connections kept to it. Default 20.
    pub max_connections_per_host: usize,
    /// How long an idle connection is kept. Default `"30s"`.
    #[serde(with = "duration")]
    pub keep_alive: Duration,
    /// The whole attempt, from the call to the last byte of the body. Default `"30s"`.
    #[serde(with = "duration")]
    pub total_timeout: Duration,
    /// Name, TCP and TLS of a new connection. Default `"10s"`.
    #[serde(with = "duration")]
    pub connect_timeout: Duration,
    /// Silence of the server: before the head, and between two pieces of the body. Default `"20s"`.
    #[serde(with = "duration")]
    pub read_timeout: Duration,
    /// How long the addresses of a name are kept. Default `"300s"`; `"0s"` asks each time.
    #[serde(with = "duration")]
    pub dns_ttl: Duration,
    /// Names kept at most. Default 1024.
    pub dns_max_names: usize,
    /// Bytes of a body as sent, at most. Default `"32MB"`.
    #[serde(with = "size")]
    pub body_max: usize,
    /// Bytes of a body after inflation, at most. Default `"32MB"`.
    #[serde(with = "size")]
    pub inflated_max: usize,
    /// Redirects followed in a row, at most. Default 5; 0 returns the redirect as the answer.
    pub max_redirects: usize,
    /// Hosts that a redirect may lead to besides the one that was asked. Default none.
    pub redirect_hosts: Vec<String>,
    /// The `User-Agent`. Default `tidemill/VERSION`.
    pub user_agent: String,
    /// Speak HTTP/2 without asking (h2c on `http://`). Default false: HTTP/1.1, or h2 where ALPN agrees on it.
    pub http2_only: bool,
    /// Which certificate authorities are trusted. Default `"webpki"`.
    pub roots: Roots,
    /// A PEM file of further authorities. Default none.
    pub ca_file: Option<PathBuf>,
    /// Query parameters whose values are never shown. Default: `apikey`, `token`, `key`, `access_key` and their like.
    pub secret_params: Vec<String>,
}

/// Where trusted certificate authorities come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Roots {
    /// Mozilla's list, compiled in.
    #[default]
    Webpki,
    /// The list of this machine.
    Native,
    /// None but `ca_file`.
    None,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_connections: 100,
            max_connections_per_host: 20,
            keep_alive: Duration::from_secs(30),
            total_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(20),
            dns_ttl: Duration::from_secs(300),
            dns_max_names: 1024,
            body_max: 32 << 20,
            inflated_max: 32 << 20,
            max_redirects: 5,
            redirect_hosts: Vec::new(),
            user_agent: concat!("tidemill/", env!("CARGO_PKG_VERSION")).to_owned(),
            http2_only: false,
            roots: Roots::Webpki,
            ca_file: None,
            secret_params: SECRET_PARAMS.map(str::to_owned).to_vec(),
        }
    }
}

impl Config {
    /// Refuses bounds with which nothing could ever be fetched.
    pub(super) fn check(&self) -> Result<(), BuildError> {
        let counts = [
            ("max_connections", self.max_connections),
            ("max_connections_per_host", self.max_connections_per_host),
            ("dns_max_names", self.dns_max_names),
            ("body_max", self.body_max),
            ("inflated_max", self.inflated_max),
        ];
        for (field, value) in counts {
            if value == 0 {
                return Err(BuildError::new(field, "must be at least 1"));
            }
        }
        for (field, value) in [("max_connections", counts[0].1), ("max_connections_per_host", counts[1].1)] {
            if value > 65_536 {
                return Err(BuildError::new(field, "must be at most 65536"));
            }
        }
        let times = [
            ("keep_alive", self.keep_alive),
            ("total_timeout", self.total_timeout),
            ("connect_timeout", self.connect_timeout),
            ("read_timeout", self.read_timeout),
        ];
        for (field, value) in times {
            if value.is_zero() {
                return Err(BuildError::new(field, "must be longer than zero; write for example \"30s\""));
            }
        }
        Ok(())
    }
}

/// Durations as `"1500ms"`, `"30s"`, `"5m"`, `"2h"`.
mod duration {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
        let ms = value.as_millis();
        if ms.is_multiple_of(1000) {
            to.collect_str(&format_args!("{}s", ms / 1000))
        } else {
            to.collect_str(&format_args!("{ms}ms"))
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(from)?;
        parse(&text)
            .ok_or_else(|| D::Error::custom(format!("\"{text}\" is no duration; write for example \"30s\"")))
    }

    pub(super) fn parse(text: &str) -> Option<Duration> {
        let (number, unit_ms) = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)]
            .iter()
            .find_map(|(unit, ms)| Some((text.strip_suffix(unit)?, *ms)))?;
        number.trim().parse::<u64>().ok()?.checked_mul(unit_ms).map(Duration::from_millis)
    }
}

/// Sizes as `"512B"`, `"64KB"`, `"32MB"`, `"1GB"`; powers of 1024.
mod size {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    const UNITS: [(&str, usize); 4] = [("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10), ("B", 1)];

    pub(super) fn serialize<S: Serializer>(value: &usize, to: S) -> Result<S::Ok, S::Error> {
        let (unit, bytes) =
            UNITS.iter().find(|(_, bytes)| *value != 0 && value.is_multiple_of(*bytes)).unwrap_or(&UNITS[3]);
        to.collect_str(&format_args!("{}{unit}", value / bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<usize, D::Error> {
        let text = String::deserialize(from)?;
        parse(&text)
            .ok_or_else(|| D::Error::custom(format!("\"{text}\" is no size; write for example \"32MB\"")))
    }

    pub(super) fn parse(text: &str) -> Option<usize> {
        let (number, bytes) =
            UNITS.iter().find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?, *bytes)))?;
        number.trim().parse::<usize>().ok()?.checked_mul(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_survive_a_trip_through_toml() {
        let text = toml::to_string(&Config::default()).unwrap();
        assert!(
            text.contains("total_timeout = \"30s\"") && text.contains("inflated_max = \"32MB\""),
            "{text}"
        );
        assert_eq!(toml::from_str::<Config>(&text).unwrap(), Config::default());
        assert_eq!(toml::from_str::<Config>("").unwrap(), Config::default());
    }

    #[test]
    fn wrong_values_are_refused() {
        for text in ["total_timeout = \"30\"", "total_timeout = 30", "body_max = \"x MB\"", "nonsense = 1"] {
            assert!(toml::from_str::<Config>(text).is_err(), "{text}");
        }
        assert_eq!(duration::parse("18446744073709551615d"), None);
        assert_eq!(size::parse("99999999999999999999GB"), None);
        assert_eq!(duration::parse("1500ms"), Some(Duration::from_millis(1500)));
    }

    #[test]
    fn a_bound_of_zero_is_named() {
        let config = Config { read_timeout: Duration::ZERO, ..Config::default() };
        assert_eq!(config.check().unwrap_err().field(), "read_timeout");
        let config = Config { max_connections: 0, ..Config::default() };
        assert_eq!(config.check().unwrap_err().field(), "max_connections");
    }
}
