//! The one date format that HTTP still writes.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::number;

/// `Sun, 06 Nov 1994 08:49:37 GMT`, RFC 9110 section 5.6.7.
pub(super) fn imf_fixdate(text: &str) -> Option<SystemTime> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let text = text.as_bytes();
    if text.len() != 29 || !text.is_ascii() || &text[3..5] != b", " || &text[25..] != b" GMT" {
        return None;
    }
    let part = |range: std::ops::Range<usize>| std::str::from_utf8(&text[range]).ok();
    let figure = |range| number(part(range)?);
    let day = figure(5..7)?;
    let month = MONTHS.iter().position(|name| part(8..11) == Some(name))? as u64 + 1;
    let year = figure(12..16)?;
    let (hour, minute, second) = (figure(17..19)?, figure(20..22)?, figure(23..25)?);
    if year < 1970 || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let days = days_from_civil(year, month, day)?;
    Some(UNIX_EPOCH + Duration::from_secs(days * 86_400 + hour * 3_600 + minute * 60 + second))
}

/// Days from 1970-01-01, by Howard Hinnant's algorithm with years that begin in March.
fn days_from_civil(year: u64, month: u64, day: u64) -> Option<u64> {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year / 400;
    let of_era = year % 400;
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let of_era = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    (era * 146_097 + of_era).checked_sub(719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_calendar_is_right() {
        assert_eq!(days_from_civil(1970, 1, 1), Some(0));
        assert_eq!(days_from_civil(2000, 3, 1), Some(11_017));
        assert_eq!(days_from_civil(2026, 11, 20), Some(20_777));
    }
}
