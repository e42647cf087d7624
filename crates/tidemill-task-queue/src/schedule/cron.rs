//! Cron patterns: five fields, and the next time that matches in a zone, also over a change of its clocks.

use jiff::civil::{Date, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};

use crate::timestamp::Timestamp;

/// Minute, hour, day of the month, month, day of the week, as sets of bits.
///
/// Lists, ranges and steps; names of months and days; 7 is Sunday, too. If both days are given, either is enough, as in
/// Vixie's cron. A pattern of certain hours fires once a day that has them: at the first of two equal times, and after
/// a gap in which its time was left out. One of every hour fires every hour that there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cron {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Whether the day fields were `*`.
    any_day: bool,
    any_weekday: bool,
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
/// The 29th of February comes again within eight years, its weekday within forty.
const DAYS: i32 = 41 * 366;

impl Cron {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields[..] else {
            return Err(format!("has {} fields instead of 5: minute hour day month weekday", fields.len()));
        };
        let mut weekdays = set(weekday, 0, 7, &WEEKDAYS, 0)?;
        if weekdays & 1 << 7 != 0 {
            weekdays = (weekdays | 1) & 0x7f;
        }
        Ok(Self {
            minutes: set(minute, 0, 59, &[], 0)?,
            hours: set(hour, 0, 23, &[], 0)?,
            days: set(day, 1, 31, &[], 0)?,
            months: set(month, 1, 12, &MONTHS, 1)?,
            weekdays,
            any_day: day.starts_with('*'),
            any_weekday: weekday.starts_with('*'),
        })
    }

    fn has(&self, date: Date) -> bool {
        let day = self.days >> date.day() & 1 == 1;
        let weekday = self.weekdays >> date.weekday().to_sunday_zero_offset() & 1 == 1;
        let either = if self.any_day || self.any_weekday { day && weekday } else { day || weekday };
        self.months >> date.month() & 1 == 1 && either
    }

    /// The first time after `after`; `None` if there is none for decades.
    pub(super) fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let after = after.civil();
        // A gap may move a time of the day before past midnight.
        let mut date = after.to_zoned(zone.clone()).date().yesterday().ok()?;
        for _ in 0..DAYS {
            if self.has(date)
                && let Some(found) = self.of_day(date, zone).filter(|at| *at > after).min()
            {
                return Some(found.into());
            }
            date = date.tomorrow().ok()?;
        }
        None
    }

    /// Every time of a day that matches.
    fn of_day<'a>(&'a self, date: Date, zone: &'a TimeZone) -> impl Iterator<Item = jiff::Timestamp> + 'a {
        let every_hour = self.hours.count_ones() == 24;
        let bits = |set: u64, most: i8| (0..most).filter(move |bit| set >> bit & 1 == 1);
        let times = bits(self.hours, 24)
            .flat_map(move |hour| bits(self.minutes, 60).map(move |minute| (hour, minute)));
        times.flat_map(move |(hour, minute)| {
            let local = Time::new(hour, minute, 0, 0).map(|time| date.to_datetime(time));
            let found = local.ok().map(|local| zone.to_ambiguous_timestamp(local));
            let (first, second) = match found {
                None => (None, None),
                Some(at) => match at.offset() {
                    AmbiguousOffset::Gap { .. } if every_hour => (None, None),
                    AmbiguousOffset::Fold { .. } if every_hour => (at.earlier().ok(), at.later().ok()),
                    _ => (at.compatible().ok(), None),
                },
            };
            first.into_iter().chain(second)
        })
    }
}

/// One field: `*`, `*/n`, `a`, `a-b`, `a-b/n`, `a/n`, and lists of these.
fn set(text: &str, low: u32, high: u32, names: &[&str], first: u32) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not within {low} to {high}");
    let number = |word: &str| -> Result<u32, String> {
        let named = names.iter().position(|name| word.eq_ignore_ascii_case(name));
        let value = match named {
            Some(at) => at as u32 + first,
            None => word.parse().map_err(|_| wrong())?,
        };
        if (low..=high).contains(&value) { Ok(value) } else { Err(wrong()) }
    };
    let mut bits = 0;
    for part in text.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => {
                (range, step.parse::<u32>().ok().filter(|step| (1..=high).contains(step)).ok_or_else(wrong)?)
            }
            None => (part, 1),
        };
        // Sunday has two numbers; `*` needs one of them.
        let whole = if high == 7 { 6 } else { high };
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (low, whole),
            Some((from, to)) => (number(from)?, number(to)?),
            None if part.contains('/') => (number(range)?, whole),
            None => (number(range)?, number(range)?),
        };
        if from > to {
            return Err(format!("`{part}` goes backwards"));
        }
        (from..=to).step_by(step as usize).for_each(|value| bits |= 1 << value);
    }
    Ok(bits)
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use proptest::prelude::*;

    use super::*;

    fn next(pattern: &str, zone: &str, after: &str) -> String {
        let zone = TimeZone::get(zone).unwrap();
        let after: jiff::Timestamp = after.parse().unwrap();
        let found = Cron::parse(pattern).unwrap().next(after.into(), &zone).unwrap();
        found.civil().to_zoned(zone).datetime().to_string() + " " + &found.to_string()
    }

    #[test]
    fn a_time_that_the_clocks_leave_out_comes_after_the_gap_and_a_double_one_once() {
        let zone = "America/New_York";
        let found = next("30 2 * * *", zone, "2026-03-08T05:00:00Z");
        assert_eq!(found, "2026-03-08T03:30:00 2026-03-08T07:30:00Z");
        assert_eq!(
            next("30 1 * * *", zone, "2026-11-01T05:00:00Z"),
            "2026-11-01T01:30:00 2026-11-01T05:30:00Z"
        );
        assert_eq!(
            next("30 1 * * *", zone, "2026-11-01T05:30:00Z"),
            "2026-11-02T01:30:00 2026-11-02T06:30:00Z"
        );
        // Every hour goes through both.
        assert_eq!(
            next("30 * * * *", zone, "2026-11-01T05:30:00Z"),
            "2026-11-01T01:30:00 2026-11-01T06:30:00Z"
        );
        assert_eq!(
            next("30 * * * *", zone, "2026-03-08T06:30:00Z"),
            "2026-03-08T03:30:00 2026-03-08T07:30:00Z"
        );
    }

    #[test]
    fn rare_days_are_found_and_impossible_ones_are_not() {
        assert_eq!(
            next("0 0 29 feb *", "UTC", "2096-03-01T00:00:00Z"),
            "2104-02-29T00:00:00 2104-02-29T00:00:00Z"
        );
        let never = Cron::parse("0 0 30 2 *").unwrap();
        assert_eq!(never.next(Timestamp(0), &TimeZone::UTC), None);
        assert_eq!(
            next("0 9 1 * mon-fri", "UTC", "2026-11-21T00:00:00Z"),
            "2026-11-23T09:00:00 2026-11-23T09:00:00Z"
        );
        assert_eq!(
            next("0 9 * * 7", "UTC", "2026-11-21T00:00:00Z"),
            "2026-11-22T09:00:00 2026-11-22T09:00:00Z"
        );
    }

    #[test]
    fn what_is_no_pattern_is_told() {
        for wrong in [
            "",
            "* * * *",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * * 13 *",
            "* * * * 8",
            "a * * * *",
            "5-1 * * * *",
            "*/0 * * * *",
            "1,,2 * * * *",
            "-1 * * * *",
            "* * * * * *",
            "*/99 * * * *",
        ] {
            assert!(Cron::parse(wrong).is_err(), "{wrong}");
        }
    }

    /// Steps of days apart: cron and croner differ on whether `*/1` is a `*`.
    fn field(low: u32, high: u32) -> impl Strategy<Value = String> {
        prop_oneof![
            3 => Just("*".to_owned()),
            2 => (low..=high).prop_map(|a| a.to_string()),
            1 => (1..=high / 2).prop_map(move |n| if high > 31 || high == 23 { format!("*/{n}") } else { "*".to_owned() }),
            1 => (low..=high, low..=high).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
            1 => (low..=high, low..=high).prop_map(|(a, b)| format!("{a},{b}")),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..Default::default() })]
        /// An independent implementation agrees where no clock changes.
        #[test]
        fn croner_says_the_same(
            fields in (field(0, 59), field(0, 23), field(1, 28), field(1, 12), field(0, 6)),
            seconds in 0..2_000_000_000_i64,
        ) {
            let pattern = format!("{} {} {} {} {}", fields.0, fields.1, fields.2, fields.3, fields.4);
            let after = jiff::Timestamp::from_second(seconds).unwrap();
            let ours = Cron::parse(&pattern).unwrap().next(after.into(), &TimeZone::UTC);
            let theirs = croner::Cron::from_str(&pattern).unwrap();
            let theirs = theirs.find_next_occurrence(&after.to_zoned(TimeZone::UTC), false).unwrap();
            prop_assert_eq!(ours.unwrap().civil(), theirs.timestamp(), "{}", pattern);
        }
    }
}
