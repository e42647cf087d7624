//! Durations, sizes, shares and rates as text: the one parser that plans and thresholds share.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer, de::Error};

const TIMES: &[(&str, f64)] =
    &[("ns", 1e-9), ("us", 1e-6), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];

const SIZES: &[(&str, f64)] = &[
    ("B", 1.0),
    ("KB", 1e3),
    ("MB", 1e6),
    ("GB", 1e9),
    ("KiB", 1024.0),
    ("MiB", 1_048_576.0),
    ("GiB", 1_073_741_824.0),
];

/// The longest duration that is read: 100 days, far below where a count of nanoseconds in an `f64` loses digits.
const LONGEST_S: f64 = 100.0 * 86_400.0;

/// A number and its unit, `1.5ms` or `10%`; the unit may be empty.
pub(crate) fn split(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let digits = text.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit.trim_start()))
}

/// Seconds of a text such as `"250ms"`; a bare `0` needs no unit.
pub(crate) fn seconds(text: &str) -> Option<f64> {
    let (number, unit) = split(text)?;
    if unit.is_empty() && number == 0.0 {
        return Some(0.0);
    }
    let scale = TIMES.iter().find(|(name, _)| *name == unit)?.1;
    Some(number * scale).filter(|seconds| *seconds <= LONGEST_S)
}

/// Bytes of a text such as `"64MB"` or `"16KiB"`.
pub(crate) fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let scale = SIZES.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?.1;
    Some(number * scale).filter(|bytes| *bytes <= 1e15).map(|bytes| bytes.round() as u64)
}

/// `Duration` as `"30s"`.
pub(crate) mod duration {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&text(*value))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(from)?;
        parse(&text).ok_or_else(|| {
            D::Error::custom(format!(
                "`{text}` is no duration: write a number and us, ms, s, m or h, as \"30s\""
            ))
        })
    }

    pub(crate) fn parse(text: &str) -> Option<Duration> {
        seconds(text).map(|seconds| Duration::from_nanos((seconds * 1e9).round() as u64))
    }

    pub(crate) fn text(value: Duration) -> String {
        let nanos = value.as_nanos();
        let units: [(u128, &str); 5] = [
            (3_600_000_000_000, "h"),
            (60_000_000_000, "m"),
            (1_000_000_000, "s"),
            (1_000_000, "ms"),
            (1000, "us"),
        ];
        match units.into_iter().find(|(unit, _)| nanos >= *unit && nanos.is_multiple_of(*unit)) {
            Some((unit, name)) => format!("{}{name}", nanos / unit),
            None if nanos == 0 => "0s".to_owned(),
            None => format!("{nanos}ns"),
        }
    }
}

/// A size in bytes as `"64KB"`; a bare number is bytes too.
pub(crate) mod size {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(value: &u64, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&text(*value))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(u64),
            Text(String),
        }
        match Written::deserialize(from)? {
            Written::Number(bytes) => Ok(bytes),
            Written::Text(text) => bytes(&text).ok_or_else(|| {
                D::Error::custom(format!(
                    "`{text}` is no size: write a number and B, KB, MB or GB, as \"64KB\""
                ))
            }),
        }
    }

    pub(crate) fn text(value: u64) -> String {
        let units = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1000, "KB")];
        match units.into_iter().find(|(unit, _)| value >= *unit && value.is_multiple_of(*unit)) {
            Some((unit, name)) => format!("{}{name}", value / unit),
            None => format!("{value}B"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written_as_text() {
        for (text, nanos) in [
            ("0s", 0),
            ("250us", 250_000),
            ("1.5ms", 1_500_000),
            ("30s", 30_000_000_000),
            ("2h", 7_200_000_000_000),
        ] {
            assert_eq!(duration::parse(text), Some(Duration::from_nanos(nanos)), "{text}");
            assert_eq!(duration::parse(&duration::text(Duration::from_nanos(nanos))), duration::parse(text));
        }
        for bad in ["", "5", "s", "-1s", "1..5s", "99999999999999999999s", "1e9s", "5 sec"] {
            assert_eq!(duration::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn sizes_are_read_and_written_as_text() {
        for (text, expected) in [("0B", 0), ("1KB", 1000), ("1.5MB", 1_500_000), ("16KiB", 16_384)] {
            assert_eq!(bytes(text), Some(expected), "{text}");
            assert_eq!(bytes(&size::text(expected)), Some(expected));
        }
        for bad in ["", "12", "-1KB", "5 lots", "99999999GB"] {
            assert_eq!(bytes(bad), None, "{bad}");
        }
    }
}
