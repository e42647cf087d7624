//! Local time of an exchange to UTC: fixed zones and New York, whose rules stand here as a table.

use crate::date::{Date, SECOND_NS};

const HOUR_NS: i64 = 3600 * SECOND_NS;

/// A zone in which a provider writes its times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
pub enum Zone {
    /// Universal time.
    #[default]
    #[serde(rename = "UTC")]
    Utc,
    /// New York: UTC-5, in summer UTC-4, by the rules of 1967, 1987 and 2007.
    #[serde(rename = "America/New_York")]
    NewYork,
    /// So many seconds east of UTC, as the header of an answer says.
    #[serde(skip)]
    East(i32),
}

/// What a local time means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Local {
    /// One instant, UTC nanoseconds.
    One(i64),
    /// The clock was set back over it: two instants.
    Twice,
    /// The clock was set forward over it: none.
    Never,
}

impl Zone {
    /// The instant at which clocks show `date` and so many nanoseconds since midnight.
    pub(crate) fn to_utc(self, date: Date, of_day_ns: i64) -> Local {
        let local = date.midnight_ns().saturating_add(of_day_ns);
        match self {
            Zone::Utc => return Local::One(local),
            Zone::East(seconds) => return Local::One(local.saturating_sub(i64::from(seconds) * SECOND_NS)),
            Zone::NewYork => {}
        }
        let (summer, winter) = (local + 4 * HOUR_NS, local + 5 * HOUR_NS);
        match (is_summer(summer), !is_summer(winter)) {
            (true, true) => Local::Twice,
            (true, false) => Local::One(summer),
            (false, true) => Local::One(winter),
            (false, false) => Local::Never,
        }
    }

    /// Date and nanoseconds since midnight that clocks show at this instant.
    pub(crate) fn to_local(self, ts_ns: i64) -> (Date, i64) {
        let offset = match self {
            Zone::Utc => 0,
            Zone::East(seconds) => i64::from(seconds) * SECOND_NS,
            Zone::NewYork if is_summer(ts_ns) => -4 * HOUR_NS,
            Zone::NewYork => -5 * HOUR_NS,
        };
        let local = ts_ns.saturating_add(offset);
        let date = Date::from_ts_ns(local);
        (date, local.saturating_sub(date.midnight_ns()))
    }
}

/// True while New York keeps summer time: from 02:00 EST to 02:00 EDT of the two Sundays.
fn is_summer(ts_ns: i64) -> bool {
    let (year, _, _) = Date::from_ts_ns(ts_ns).ymd();
    let (begin, end) = match year {
        ..=1966 => return false,
        1967..=1986 => (last_sunday(year, 4), last_sunday(year, 10)),
        1987..=2006 => (first_sunday_from(year, 4, 1), last_sunday(year, 10)),
        _ => (first_sunday_from(year, 3, 8), first_sunday_from(year, 11, 1)),
    };
    let (Some(begin), Some(end)) = (begin, end) else { return false };
    (begin.midnight_ns() + 7 * HOUR_NS..end.midnight_ns() + 6 * HOUR_NS).contains(&ts_ns)
}

fn first_sunday_from(year: i32, month: u8, day: u8) -> Option<Date> {
    let date = Date::new(year, month, day)?;
    Some(date.plus_days(i32::from(6 - date.weekday())))
}

fn last_sunday(year: i32, month: u8) -> Option<Date> {
    let last = Date::new(year, month, 30)?;
    let last = Date::new(year, month, 31).unwrap_or(last);
    Some(last.plus_days(-i32::from((last.weekday() + 1) % 7)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc(date: &str, hour: i64, minute: i64) -> Local {
        Zone::NewYork.to_utc(date.parse().unwrap(), hour * HOUR_NS + minute * 60 * SECOND_NS)
    }

    #[test]
    fn the_two_odd_nights_are_told_apart() {
        assert_eq!(utc("2024-03-10", 2, 30), Local::Never);
        assert_eq!(utc("2024-11-03", 1, 30), Local::Twice);
        let at =
            |date: &str, hour: i64| Local::One(date.parse::<Date>().unwrap().midnight_ns() + hour * HOUR_NS);
        assert_eq!(utc("2024-03-10", 1, 0), at("2024-03-10", 6));
        assert_eq!(utc("2024-03-10", 3, 0), at("2024-03-10", 7));
        assert_eq!(utc("2024-07-01", 16, 0), at("2024-07-01", 20));
        assert_eq!(utc("2006-03-20", 16, 0), at("2006-03-20", 21));
        assert_eq!(utc("1986-04-28", 16, 0), at("1986-04-28", 20));
    }

    #[test]
    fn local_time_goes_there_and_back_hour_by_hour() {
        let start = "1986-01-01".parse::<Date>().unwrap().midnight_ns();
        for hour in 0..24 * 366 * 41 {
            let ts = start + hour * HOUR_NS;
            let (date, of_day) = Zone::NewYork.to_local(ts);
            match Zone::NewYork.to_utc(date, of_day) {
                Local::One(back) => assert_eq!(back, ts),
                Local::Twice => assert_eq!(of_day / HOUR_NS, 1),
                Local::Never => panic!("{date} {of_day} was shown by a clock"),
            }
        }
    }
}
