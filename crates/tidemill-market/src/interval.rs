//! How long one bar lasts, and how that is written.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::error::Error;

/// The length of a bar. Parsed from `"1d"`, `"1min"` (or `"1m"`), `"4h"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Interval {
    /// One exchange session (or one UTC day where there is no calendar).
    Day,
    /// So many minutes, 1 to 1440.
    Minute(u16),
    /// So many hours, 1 to 24.
    Hour(u16),
}

impl Interval {
    /// The nominal length of a bar; 24 hours for [`Interval::Day`].
    pub fn duration(self) -> Duration {
        let minutes = match self {
            Interval::Day => 1440,
            Interval::Minute(n) => u64::from(n),
            Interval::Hour(n) => u64::from(n) * 60,
        };
        Duration::from_secs(minutes * 60)
    }

    /// True for bars that carry a date and no time of day.
    pub fn is_daily(self) -> bool {
        self == Interval::Day
    }

    pub(crate) fn nanos(self) -> i64 {
        self.duration().as_secs() as i64 * 1_000_000_000
    }
}

impl FromStr for Interval {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let bad = || Error::interval(text);
        let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
        let count: u16 = text[..digits].parse().map_err(|_| bad())?;
        match (&text[digits..], count) {
            ("d" | "day", 1) => Ok(Interval::Day),
            ("min" | "m", 1..=1440) => Ok(Interval::Minute(count)),
            ("h", 1..=24) => Ok(Interval::Hour(count)),
            _ => Err(bad()),
        }
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Interval::Day => f.write_str("1d"),
            Interval::Minute(n) => write!(f, "{n}min"),
            Interval::Hour(n) => write!(f, "{n}h"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_what_it_prints_and_the_short_forms() {
        for text in ["1d", "1min", "5min", "60min", "1h", "24h"] {
            assert_eq!(text.parse::<Interval>().unwrap().to_string(), text);
        }
        assert_eq!("1m".parse::<Interval>().unwrap(), Interval::Minute(1));
        for text in ["", "d", "0min", "2d", "1w", "99999h", "-1h", "1441min", "1 d"] {
            assert!(text.parse::<Interval>().is_err(), "{text}");
        }
    }
}
