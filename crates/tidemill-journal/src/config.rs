//! What an operator may set: when to sync, how large segments grow, what to do about corruption.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Error;

/// Settings of a journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// When frames are made durable: `"commit"` (before `append` returns), an interval (`"30s"`) or a size (`"16MB"`).
    /// Default `"commit"`. With the other two, a power failure loses what was appended since the last sync.
    pub sync: Sync,
    /// A segment is closed once it is longer than this many bytes. Default 64 MiB; at least 4 KiB.
    pub segment_bytes: u64,
    /// The longest payload accepted, bytes. Default 64 MiB; at most 1 GiB.
    pub max_frame_bytes: u32,
    /// What `open` does when a frame that was durable can no longer be read. Default `"refuse"`.
    pub on_corruption: OnCorruption,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            sync: Sync::Commit,
            segment_bytes: 64 << 20,
            max_frame_bytes: 64 << 20,
            on_corruption: OnCorruption::Refuse,
        }
    }
}

impl Config {
    /// Checks every bound and names the field that is out of it.
    pub fn check(&self) -> Result<(), Error> {
        if self.segment_bytes < 4096 {
            return Err(Error::config("segment_bytes must be at least 4096"));
        }
        if self.max_frame_bytes == 0 || self.max_frame_bytes > 1 << 30 {
            return Err(Error::config("max_frame_bytes must be between 1 and 1 GiB"));
        }
        match self.sync {
            Sync::Interval(every) if every.is_zero() => {
                Err(Error::config("sync interval must be above zero"))
            }
            Sync::Size(0) => Err(Error::config("sync size must be above zero")),
            Sync::Size(bytes) if bytes > 1 << 30 => Err(Error::config("sync size must be at most 1 GiB")),
            _ => Ok(()),
        }
    }
}

/// What `open` does about a frame that was durable and is damaged now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnCorruption {
    /// Fail with [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) and touch nothing.
    Refuse,
    /// Rename the damaged segments to `*.corrupt`, keep every sound frame, list what is lost in the recovery.
    SetAside,
}

/// When appended frames are made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// Before `append` returns.
    Commit,
    /// When this long has passed since the oldest un-synced frame, seen at the next `append` or `tick`.
    Interval(Duration),
    /// When this many bytes are un-synced.
    Size(u64),
}

impl FromStr for Sync {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let bad = || {
            Error::config("sync must be \"commit\", an interval such as \"30s\" or a size such as \"16MB\"")
        };
        let text = text.trim();
        if text == "commit" {
            return Ok(Self::Commit);
        }
        let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| bad())?;
        let scaled = |by: u64| number.checked_mul(by).ok_or_else(bad);
        Ok(match unit {
            "ms" => Self::Interval(Duration::from_millis(number)),
            "s" => Self::Interval(Duration::from_secs(number)),
            "m" => Self::Interval(Duration::from_secs(scaled(60)?)),
            "B" => Self::Size(number),
            "KB" => Self::Size(scaled(1000)?),
            "MB" => Self::Size(scaled(1_000_000)?),
            "KiB" => Self::Size(scaled(1 << 10)?),
            "MiB" => Self::Size(scaled(1 << 20)?),
            _ => return Err(bad()),
        })
    }
}

impl fmt::Display for Sync {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Commit => f.write_str("commit"),
            Self::Interval(every) => write!(f, "{}ms", every.as_millis()),
            Self::Size(bytes) => write!(f, "{bytes}B"),
        }
    }
}

impl Serialize for Sync {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Sync {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sync_reads_commit_intervals_and_sizes_and_nothing_else() {
        assert_eq!("commit".parse::<Sync>().unwrap(), Sync::Commit);
        assert_eq!("30s".parse::<Sync>().unwrap(), Sync::Interval(Duration::from_secs(30)));
        assert_eq!("16MB".parse::<Sync>().unwrap(), Sync::Size(16_000_000));
        for text in ["30s", "commit", "16MB", "250ms", "2m"] {
            let sync: Sync = text.parse().unwrap();
            assert_eq!(sync.to_string().parse::<Sync>().unwrap(), sync);
        }
        for bad in ["", "never", "30", "s", "1.5s", "99999999999999999999s", "18446744073709551615MB"] {
            assert!(bad.parse::<Sync>().is_err(), "{bad}");
        }
    }

    #[test]
    fn bounds_are_checked_by_name() {
        let tiny = Config { segment_bytes: 1, ..Config::default() };
        assert!(tiny.check().unwrap_err().to_string().contains("segment_bytes"));
        assert!(Config::default().check().is_ok());
    }
}
