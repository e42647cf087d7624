//! What a cache may be told: how much it holds and for how long, checked when it is built.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// Settings of a [`Memory`](crate::Memory) and of the [`Cache`](crate::Cache) over it. Durations are written `"250ms"`,
/// `"30s"`, `"5m"`, `"1h"` or `"7d"`, sizes `"64MB"` or `"64MiB"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How much it holds: a number of entries, or a size as text. Default 1000 entries.
    pub capacity: Capacity,
    /// How many entries a capacity in bytes is likely to hold; it sizes the memory of keys seen lately. Within a factor
    /// of ten is good enough. 0 means one for each KiB. Ignored with a capacity in entries. Default 0.
    pub expected_entries: usize,
    /// How long a value is fresh; 0 means for ever. Default `"5m"`.
    #[serde(with = "duration")]
    pub ttl: Duration,
    /// The share (0-0.5) by which a lifetime may come out shorter, so that what was written together does not end
    /// together. Default 0.
    pub ttl_jitter: f64,
    /// How long past its life a value is served while one caller loads it anew. Default `"0s"`.
    #[serde(with = "duration")]
    pub stale: Duration,
    /// How long past its life a value is served when loading it fails. Default `"0s"`.
    #[serde(with = "duration")]
    pub stale_if_error: Duration,
    /// How long a negative value is fresh, that is one the builder's `negative` recognises; 0 means not at all.
    /// Default `"5s"`.
    #[serde(with = "duration")]
    pub negative_ttl: Duration,
    /// After this long a load counts as failed; 0 means never. Default `"30s"`.
    #[serde(with = "duration")]
    pub load_timeout: Duration,
    /// Loads that run beside stale answers; further stale answers start none. Default 64.
    pub max_refreshes: usize,
    /// After this long an answer of a tier below counts as failed. Default `"250ms"`.
    #[serde(with = "duration")]
    pub tier_timeout: Duration,
    /// How long a tier that failed five times in a row is not asked. Default `"1s"`.
    #[serde(with = "duration")]
    pub tier_rest: Duration,
    /// Generations that tags share, a power of two up to 4096; two tags that meet in one are invalidated together. Default 4096.
    pub tag_slots: usize,
    /// Seed of the jitter. Default 0.
    pub seed: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            capacity: Capacity::Entries(1000),
            expected_entries: 0,
            ttl: Duration::from_secs(300),
            ttl_jitter: 0.0,
            stale: Duration::ZERO,
            stale_if_error: Duration::ZERO,
            negative_ttl: Duration::from_secs(5),
            load_timeout: Duration::from_secs(30),
            max_refreshes: 64,
            tier_timeout: Duration::from_millis(250),
            tier_rest: Duration::from_secs(1),
            tag_slots: 4096,
            seed: 0,
        }
    }
}

impl Config {
    /// The most entries or bytes a config can ask for.
    const LIMIT: u64 = 1 << 48;
    /// The longest time: 30 years.
    const LONGEST: Duration = Duration::from_secs(30 * 366 * 86_400);

    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.capacity.limit() == 0 || self.capacity.limit() > Self::LIMIT {
            return Err(Error::config(
                "capacity",
                format!("{} is not within 1 to 2^48", self.capacity.limit()),
            ));
        }
        if self.expected_entries > 1 << 40 {
            return Err(Error::config("expected_entries", "is above 2^40".to_owned()));
        }
        if !(0.0..=0.5).contains(&self.ttl_jitter) {
            return Err(Error::config("ttl_jitter", format!("{} is not within 0 to 0.5", self.ttl_jitter)));
        }
        let times = [
            ("ttl", self.ttl),
            ("stale", self.stale),
            ("stale_if_error", self.stale_if_error),
            ("negative_ttl", self.negative_ttl),
            ("load_timeout", self.load_timeout),
            ("tier_timeout", self.tier_timeout),
            ("tier_rest", self.tier_rest),
        ];
        for (field, time) in times {
            if time > Self::LONGEST {
                return Err(Error::config(field, "is longer than 30 years".to_owned()));
            }
        }
        if self.tier_timeout.is_zero() {
            return Err(Error::config("tier_timeout", "must be longer than nothing".to_owned()));
        }
        if self.max_refreshes > 1 << 16 {
            return Err(Error::config("max_refreshes", format!("{} is above 65536", self.max_refreshes)));
        }
        if !self.tag_slots.is_power_of_two() || self.tag_slots > 4096 {
            return Err(Error::config(
                "tag_slots",
                format!("{} is no power of two up to 4096", self.tag_slots),
            ));
        }
        Ok(())
    }

    /// How long past its life a value is kept at all: no caller is ever given an older one.
    #[must_use]
    pub fn stale_cap(&self) -> Duration {
        self.stale.max(self.stale_if_error)
    }

    pub(crate) fn life(&self) -> Option<Duration> {
        (!self.ttl.is_zero()).then_some(self.ttl)
    }

    /// An estimate for the store: it need not be good.
    pub(crate) fn estimated_entries(&self) -> usize {
        let entries = match self.capacity {
            Capacity::Entries(entries) => entries,
            Capacity::Bytes(_) if self.expected_entries > 0 => self.expected_entries as u64,
            Capacity::Bytes(bytes) => bytes / 1024,
        };
        usize::try_from(entries.clamp(1, 1 << 40)).unwrap_or(usize::MAX)
    }
}

/// How much a cache holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capacity {
    /// So many entries, whatever they weigh.
    Entries(u64),
    /// So many bytes, by the builder's `weigher` plus [`ENTRY_BYTES`](crate::ENTRY_BYTES) an entry.
    Bytes(u64),
}

impl Capacity {
    pub(crate) fn limit(self) -> u64 {
        match self {
            Self::Entries(limit) | Self::Bytes(limit) => limit,
        }
    }
}

impl Serialize for Capacity {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Entries(entries) => to.serialize_u64(*entries),
            Self::Bytes(bytes) => to.serialize_str(&size::print(*bytes)),
        }
    }
}

impl<'de> Deserialize<'de> for Capacity {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;
        impl serde::de::Visitor<'_> for Either {
            type Value = Capacity;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a number of entries or a size as \"64MB\"")
            }
            fn visit_u64<E>(self, entries: u64) -> Result<Capacity, E> {
                Ok(Capacity::Entries(entries))
            }
            fn visit_i64<E: serde::de::Error>(self, entries: i64) -> Result<Capacity, E> {
                u64::try_from(entries)
                    .map(Capacity::Entries)
                    .map_err(|_| E::custom("a capacity is not negative"))
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Capacity, E> {
                size::parse(text).map(Capacity::Bytes).ok_or_else(|| E::custom(size::wrong(text)))
            }
        }
        from.deserialize_any(Either)
    }
}

/// Sizes as text.
pub(crate) mod size {
    #[cfg(feature = "disk")]
    pub(crate) fn serialize<S: serde::Serializer>(bytes: &u64, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&print(*bytes))
    }

    #[cfg(feature = "disk")]
    pub(crate) fn deserialize<'de, D: serde::Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
        let text = <String as serde::Deserialize>::deserialize(from)?;
        parse(&text).ok_or_else(|| serde::de::Error::custom(wrong(&text)))
    }

    pub(crate) fn wrong(text: &str) -> String {
        format!("`{text}` is no size: write a whole number and B, KB, MB, GB, KiB, MiB or GiB")
    }

    const UNITS: [(&str, u64); 7] = [
        ("GiB", 1 << 30),
        ("GB", 1_000_000_000),
        ("MiB", 1 << 20),
        ("MB", 1_000_000),
        ("KiB", 1 << 10),
        ("KB", 1000),
        ("B", 1),
    ];

    pub(crate) fn parse(text: &str) -> Option<u64> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let (_, scale) = UNITS.into_iter().find(|(name, _)| *name == unit.trim_start())?;
        number.parse::<u64>().ok()?.checked_mul(scale)
    }

    pub(crate) fn print(bytes: u64) -> String {
        let whole = UNITS.into_iter().find(|(_, unit)| bytes >= *unit && bytes.is_multiple_of(*unit));
        let (name, unit) = whole.unwrap_or(("B", 1));
        format!("{}{name}", bytes / unit)
    }
}

/// Durations as text: a whole number and one of `ms`, `s`, `m`, `h`, `d`.
pub(crate) mod duration {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    const UNITS: [(&str, u64); 5] =
        [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

    pub(crate) fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
        let ms = crate::lifetime::millis(*value);
        let whole = UNITS.into_iter().find(|(_, unit)| ms >= *unit && ms.is_multiple_of(*unit));
        let (name, unit) = whole.unwrap_or(("s", 1000));
        to.serialize_str(&format!("{}{name}", ms / unit))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(from)?;
        parse(&text).ok_or_else(|| {
            D::Error::custom(format!(
                "`{text}` is no duration: write a whole number and ms, s, m, h or d, as \"30s\""
            ))
        })
    }

    pub(crate) fn parse(text: &str) -> Option<Duration> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let (_, scale) = UNITS.into_iter().find(|(name, _)| *name == unit)?;
        Some(Duration::from_millis(number.parse::<u64>().ok()?.checked_mul(scale)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let config = Config { capacity: Capacity::Bytes(64_000_000), ..Config::default() };
        let text = serde_json::to_string(&config).unwrap();
        assert!(text.contains(r#""capacity":"64MB""#) && text.contains(r#""ttl":"5m""#), "{text}");
        assert_eq!(serde_json::from_str::<Config>(&text).unwrap(), config);
        let config: Config = serde_json::from_str(r#"{"capacity": 500, "ttl": "7d"}"#).unwrap();
        assert_eq!((config.capacity, config.ttl.as_secs()), (Capacity::Entries(500), 604_800));
    }

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in [("64MB", 64_000_000), ("1GiB", 1 << 30), ("5 KB", 5000), ("7B", 7)] {
            assert_eq!(size::parse(text), Some(bytes), "{text}");
        }
        for bad in ["", "5", "MB", "-1MB", "1.5MB", "99999999999999999999B", "18446744073709551615KB"] {
            assert_eq!(size::parse(bad), None, "{bad}");
            assert!(serde_json::from_str::<Capacity>(&format!("\"{bad}\"")).is_err());
        }
        assert!(serde_json::from_str::<Capacity>("-5").is_err());
    }

    #[test]
    fn a_bound_that_is_broken_is_named() {
        let bad = |config: Config, field: &str| {
            let says = config.check().unwrap_err().to_string();
            assert!(says.contains(field), "{says}");
        };
        bad(Config { capacity: Capacity::Entries(0), ..Config::default() }, "capacity");
        bad(Config { ttl_jitter: f64::NAN, ..Config::default() }, "ttl_jitter");
        bad(Config { stale: Duration::MAX, ..Config::default() }, "stale");
        bad(Config { tag_slots: 1000, ..Config::default() }, "tag_slots");
        assert!(serde_json::from_str::<Config>(r#"{"tll": "5s"}"#).unwrap_err().to_string().contains("tll"));
    }
}
