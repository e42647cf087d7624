//! Notations of time to UTC nanoseconds (V1): fixed widths, no guesses.

use crate::date::{Date, SECOND_NS};
use crate::interval::Interval;
use crate::mapping::{Time, TimeFormat};
use crate::zone::{Local, Zone};

/// Reads the time of a row: for daily bars the midnight UTC of the session date, else the instant.
pub(crate) fn read(text: &str, time: Time, interval: Interval) -> Result<i64, String> {
    match time.format {
        TimeFormat::Naive => naive(text, time.zone, interval),
        TimeFormat::Rfc3339 => rfc3339(text)
            .map(|ts| daily_date(ts, time.zone, interval))
            .ok_or_else(|| wrong(text, "no RFC 3339 time")),
        TimeFormat::UnixS => unix(text, SECOND_NS, time.zone, interval),
        TimeFormat::UnixMs => unix(text, 1_000_000, time.zone, interval),
        TimeFormat::UnixNs => unix(text, 1, time.zone, interval),
    }
}

fn naive(text: &str, zone: Zone, interval: Interval) -> Result<i64, String> {
    let bytes = text.as_bytes();
    if bytes.len() == 10 {
        let date = Date::from_ascii(bytes).ok_or_else(|| wrong(text, "no date"))?;
        return if interval.is_daily() { Ok(date.midnight_ns()) } else { Err(wrong(text, "no time of day")) };
    }
    let (date, of_day) = date_and_time(bytes, b' ').ok_or_else(|| wrong(text, "no time"))?;
    if interval.is_daily() {
        return Ok(date.midnight_ns());
    }
    match zone.to_utc(date, of_day) {
        Local::One(ts) => Ok(ts),
        Local::Twice => Err(wrong(text, "happened twice when the clocks were set back")),
        Local::Never => Err(wrong(text, "never happened: the clocks were set forward")),
    }
}

fn rfc3339(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let (date, of_day) = date_and_time(bytes.get(..19)?, b'T')?;
    let mut rest = &bytes[19..];
    let mut fraction = 0i64;
    if let [b'.', tail @ ..] = rest {
        let digits = tail.iter().take_while(|b| b.is_ascii_digit()).count();
        if !(1..=9).contains(&digits) {
            return None;
        }
        let value = tail[..digits].iter().fold(0i64, |n, b| n * 10 + i64::from(b - b'0'));
        fraction = value * 10i64.pow(9 - digits as u32);
        rest = &tail[digits..];
    }
    let offset_minutes = match *rest {
        [b'Z' | b'z'] => 0,
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (two(h1, h2)?, two(m1, m2)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            (hours * 60 + minutes) * if sign == b'-' { -1 } else { 1 }
        }
        _ => return None,
    };
    Some(date.midnight_ns() + of_day + fraction - offset_minutes * 60 * SECOND_NS)
}

fn unix(text: &str, unit_ns: i64, zone: Zone, interval: Interval) -> Result<i64, String> {
    // Some providers write 1112331600000.0 or quote the number.
    let whole = text.strip_suffix(".0").unwrap_or(text);
    let count: i64 = whole.parse().map_err(|_| wrong(text, "no whole number of time units"))?;
    let ts = count.checked_mul(unit_ns).ok_or_else(|| wrong(text, "beyond the year 2262"))?;
    let known = Date::MIN.midnight_ns()..Date::MAX.midnight_ns();
    if !known.contains(&ts) {
        return Err(wrong(text, "beyond the year 2262"));
    }
    Ok(daily_date(ts, zone, interval))
}

/// A daily bar stands at midnight UTC of the date on which its instant falls in the zone of the exchange.
fn daily_date(ts_ns: i64, zone: Zone, interval: Interval) -> i64 {
    if interval.is_daily() { zone.to_local(ts_ns).0.midnight_ns() } else { ts_ns }
}

/// `YYYY-MM-DD`, the separator, `HH:MM` and perhaps `:SS`.
fn date_and_time(bytes: &[u8], separator: u8) -> Option<(Date, i64)> {
    let date = Date::from_ascii(bytes.get(..10)?)?;
    let (h, m, s) = match *bytes.get(10..)? {
        [sep, h1, h2, b':', m1, m2] if sep == separator => (two(h1, h2)?, two(m1, m2)?, 0),
        [sep, h1, h2, b':', m1, m2, b':', s1, s2] if sep == separator => {
            (two(h1, h2)?, two(m1, m2)?, two(s1, s2)?)
        }
        _ => return None,
    };
    (h < 24 && m < 60 && s < 60).then_some((date, (h * 3600 + m * 60 + s) * SECOND_NS))
}

fn two(tens: u8, ones: u8) -> Option<i64> {
    let digits = tens.is_ascii_digit() && ones.is_ascii_digit();
    digits.then(|| i64::from(tens - b'0') * 10 + i64::from(ones - b'0'))
}

fn wrong(text: &str, why: &str) -> String {
    format!("time {:?}: {why}", text.chars().take(40).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Interval = Interval::Minute(1);

    fn day(text: &str) -> i64 {
        text.parse::<Date>().unwrap().midnight_ns()
    }

    #[test]
    fn instants_of_daily_bars_become_the_date_of_the_exchange() {
        let time = Time { format: TimeFormat::UnixMs, zone: Zone::NewYork };
        assert_eq!(read("1112331600000", time, Interval::Day), Ok(day("2005-04-01")));
        assert_eq!(read("1112587200000", time, Interval::Day), Ok(day("2005-04-04")));
        let time = Time { format: TimeFormat::Rfc3339, zone: Zone::Utc };
        assert_eq!(read("2018-04-12T00:00:00+00:00", time, Interval::Day), Ok(day("2018-04-12")));
        assert_eq!(
            read("2018-04-12T00:30:00.25-01:00", time, MINUTE),
            Ok(day("2018-04-12") + 5_400_250_000_000)
        );
    }

    #[test]
    fn half_a_time_is_no_time() {
        let naive = Time { format: TimeFormat::Naive, zone: Zone::NewYork };
        assert_eq!(read("2024-07-01 16:00:00", naive, MINUTE), Ok(day("2024-07-01") + 20 * 3600 * SECOND_NS));
        for text in [
            "",
            "2024-07-01",
            "2024-07-01T16:00:00",
            "2024-07-01 24:00",
            "2024-03-10 02:30:00",
            "2024-11-03 01:30",
        ] {
            assert!(read(text, naive, MINUTE).is_err(), "{text}");
        }
        let zoned = Time { format: TimeFormat::Rfc3339, zone: Zone::Utc };
        for text in
            ["2024-07-01T16:00:00", "2024-07-01T16:00:00+25:00", "2024-07-01T16:00:00.Z", "2024-07-01Z", "é"]
        {
            assert!(read(text, zoned, MINUTE).is_err(), "{text}");
        }
        let unix = Time { format: TimeFormat::UnixS, zone: Zone::Utc };
        for text in ["", "1e9", "9223372036854775807", "-9223372036854775808", "1.5"] {
            assert!(read(text, unix, MINUTE).is_err(), "{text}");
        }
    }
}
