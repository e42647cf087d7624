//! A calendar day, and the instant at which it begins in UTC.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;

pub(crate) const SECOND_NS: i64 = 1_000_000_000;
pub(crate) const DAY_NS: i64 = 86_400 * SECOND_NS;

/// A day of the proleptic Gregorian calendar, 1677-09-22 to 2262-04-10 (the days whose nanoseconds fit an `i64`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(i32);

impl Date {
    /// The first day that can be told.
    pub const MIN: Date = Date(-106_751);
    /// The last day that can be told.
    pub const MAX: Date = Date(106_750);

    /// The day `year-month-day`, or `None` if there is no such day in range.
    pub fn new(year: i32, month: u8, day: u8) -> Option<Self> {
        if !(1600..=2300).contains(&year) || !(1..=12).contains(&month) {
            return None;
        }
        if day == 0 || day > days_in_month(year, month) {
            return None;
        }
        Self::from_days(days_from_civil(year, month, day))
    }

    /// So many days after 1970-01-01.
    pub fn from_days(days: i32) -> Option<Self> {
        (Self::MIN.0..=Self::MAX.0).contains(&days).then_some(Date(days))
    }

    /// The UTC day that holds this instant (nanoseconds since 1970-01-01T00:00Z).
    pub fn from_ts_ns(ts_ns: i64) -> Self {
        Date((ts_ns.div_euclid(DAY_NS) as i32).clamp(Self::MIN.0, Self::MAX.0))
    }

    /// Days since 1970-01-01.
    pub fn days(self) -> i32 {
        self.0
    }

    /// 00:00 UTC of this day in nanoseconds since 1970-01-01T00:00Z.
    pub fn midnight_ns(self) -> i64 {
        i64::from(self.0) * DAY_NS
    }

    /// Year, month, day.
    pub fn ymd(self) -> (i32, u8, u8) {
        civil_from_days(self.0)
    }

    /// Monday is 0, Sunday 6.
    pub fn weekday(self) -> u8 {
        (self.0 + 3).rem_euclid(7) as u8
    }

    /// This day shifted by so many days, held within [`Date::MIN`] and [`Date::MAX`].
    #[must_use]
    pub fn plus_days(self, days: i32) -> Self {
        Date(self.0.saturating_add(days).clamp(Self::MIN.0, Self::MAX.0))
    }

    /// Reads `YYYY-MM-DD` of fixed width, or nothing.
    pub(crate) fn from_ascii(text: &[u8]) -> Option<Self> {
        let &[a, b, c, d, b'-', m, n, b'-', x, y] = text else { return None };
        let digit = |byte: u8| byte.is_ascii_digit().then(|| i32::from(byte - b'0'));
        let year = digit(a)? * 1000 + digit(b)? * 100 + digit(c)? * 10 + digit(d)?;
        let month = digit(m)? * 10 + digit(n)?;
        let day = digit(x)? * 10 + digit(y)?;
        Self::new(year, month as u8, day as u8)
    }
}

impl FromStr for Date {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::from_ascii(text.as_bytes()).ok_or_else(|| Error::date(text))
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.ymd();
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

fn days_in_month(year: i32, month: u8) -> u8 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01; the era arithmetic of Howard Hinnant's `days_from_civil`, years counted from March.
fn days_from_civil(year: i32, month: u8, day: u8) -> i32 {
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let year_of_era = y.rem_euclid(400);
    let month_from_march = (i32::from(month) + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + i32::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn civil_from_days(days: i32) -> (i32, u8, u8) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * month_from_march + 2) / 5 + 1) as u8;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 } as u8;
    (year_of_era + era * 400 + i32::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_in_range_goes_there_and_back() {
        for days in Date::MIN.0..=Date::MAX.0 {
            let date = Date(days);
            let (y, m, d) = date.ymd();
            assert_eq!(Date::new(y, m, d), Some(date));
            assert_eq!(Date::from_ts_ns(date.midnight_ns()), date);
        }
    }

    #[test]
    fn knows_its_weekday_and_refuses_days_that_never_were() {
        assert_eq!("1970-01-01".parse::<Date>().unwrap().weekday(), 3);
        assert_eq!("2026-11-20".parse::<Date>().unwrap().weekday(), 4);
        assert_eq!("2024-02-29".parse::<Date>().unwrap().to_string(), "2024-02-29");
        for text in
            ["2023-02-29", "2024-13-01", "2024-00-10", "2024-1-01", "2024-01-32", "20240101", "2024-01-0x"]
        {
            assert!(text.parse::<Date>().is_err(), "{text}");
        }
    }
}
