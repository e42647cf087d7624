//! Daily bars of one symbol, newest first: a real series as bundled, or one resampled from it.

use serde::Serialize;

use crate::bundle::RealSeries;
use crate::resample::Resampled;

/// One session of one symbol, as the sandbox serves it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Bar {
    /// Days since 1970-01-01.
    pub day: i32,
    /// First price.
    pub open: f64,
    /// Highest price.
    pub high: f64,
    /// Lowest price.
    pub low: f64,
    /// Last price.
    pub close: f64,
    /// Shares traded.
    pub volume: u64,
}

/// A bar in whole ticks of `10^-decimals` of its series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) day: i32,
    pub(crate) open: u32,
    pub(crate) high: u32,
    pub(crate) low: u32,
    pub(crate) close: u32,
    pub(crate) volume: u64,
}

impl Row {
    pub(crate) fn bar(&self, decimals: u8) -> Bar {
        // Both numbers are exact, so the quotient is the double nearest to the decimal: what a parser gets.
        let scale = f64::from(10u32.pow(u32::from(decimals)));
        let price = |ticks: u32| f64::from(ticks) / scale;
        Bar {
            day: self.day,
            open: price(self.open),
            high: price(self.high),
            low: price(self.low),
            close: price(self.close),
            volume: self.volume,
        }
    }
}

/// The series of one symbol.
#[derive(Clone, Debug)]
pub(crate) enum Series<'a> {
    Real(&'a RealSeries),
    Resampled(Resampled<'a>),
}

impl<'a> Series<'a> {
    pub(crate) fn decimals(&self) -> u8 {
        match self {
            Self::Real(series) => series.decimals,
            Self::Resampled(_) => Resampled::DECIMALS,
        }
    }

    /// How many bars there are in all.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Real(series) => series.rows.len(),
            Self::Resampled(series) => series.len(),
        }
    }

    pub(crate) fn newest_first(self) -> impl Iterator<Item = Row> + use<'a> {
        match self {
            Self::Real(series) => Rows::Real(series.rows.iter().rev()),
            Self::Resampled(series) => Rows::Resampled(series),
        }
    }
}

enum Rows<'a> {
    Real(std::iter::Rev<std::slice::Iter<'a, Row>>),
    Resampled(Resampled<'a>),
}

impl Iterator for Rows<'_> {
    type Item = Row;

    fn next(&mut self) -> Option<Row> {
        match self {
            Self::Real(rows) => rows.next().copied(),
            Self::Resampled(rows) => rows.next(),
        }
    }
}

/// The civil date of a day since 1970-01-01 as `YYYY-MM-DD`; years 0 to 9999.
///
/// Howard Hinnant's `civil_from_days` ("chrono-compatible low-level date algorithms").
pub(crate) fn date_text(day: i32) -> [u8; 10] {
    let shifted = i64::from(day) + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let digit = |value: i64| b'0' + (value % 10) as u8;
    [
        digit(year / 1000),
        digit(year / 100),
        digit(year / 10),
        digit(year),
        b'-',
        digit(month / 10),
        digit(month),
        b'-',
        digit(day / 10),
        digit(day),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_become_dates() {
        for (day, date) in [
            (0, "1970-01-01"),
            (-1, "1969-12-31"),
            (11_016, "2000-02-29"),
            (11_017, "2000-03-01"),
            (15_765, "2013-03-01"),
            (17_896, "2018-12-31"),
        ] {
            assert_eq!(std::str::from_utf8(&date_text(day)).unwrap(), date);
        }
    }
}
