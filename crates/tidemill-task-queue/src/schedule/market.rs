//! Hours of a market as plain data: weekdays, opening and closing, closed days and short ones.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::timestamp::Timestamp;

/// When a market is open. Days beyond the tables follow the weekdays alone, so keep the tables ahead of time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MarketHours {
    /// Its zone, such as `America/New_York`.
    pub zone: String,
    /// Days of the week with a session, 1 (Monday) to 7. Default Monday to Friday.
    #[serde(default = "working_days")]
    pub weekdays: BTreeSet<i8>,
    /// When it opens, local time: `09:30`.
    pub open: String,
    /// When it closes: `16:00`.
    pub close: String,
    /// Days without a session: `2026-11-26`.
    #[serde(default)]
    pub closed: BTreeSet<String>,
    /// Days that close at another time: `2026-11-27` at `13:00`.
    #[serde(default)]
    pub early: BTreeMap<String, String>,
}

/// The same, read and checked.
pub(super) struct Market {
    zone: TimeZone,
    weekdays: BTreeSet<i8>,
    open: Time,
    close: Time,
    closed: BTreeSet<Date>,
    early: BTreeMap<Date, Time>,
}

/// When within a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// So many minutes after the opening; before it if negative.
    AfterOpen(i32),
    /// So many minutes after the close; before it if negative.
    AfterClose(i32),
    /// Every so many minutes, from the opening to the close.
    EveryMinutes(u16),
}

/// After so many days without a session there is none any more.
const DAYS: i32 = 3 * 366;

impl MarketHours {
    pub(super) fn read(&self, moment: Moment) -> Result<Market, String> {
        match moment {
            Moment::EveryMinutes(0) => return Err("would come every 0 minutes".to_owned()),
            Moment::AfterOpen(minutes) | Moment::AfterClose(minutes) if minutes.unsigned_abs() > 1440 => {
                return Err("is more than a day away from its session".to_owned());
            }
            _ => {}
        }
        if self.weekdays.is_empty() || self.weekdays.iter().any(|day| !(1..=7).contains(day)) {
            return Err("`weekdays` are numbers from 1 to 7, at least one".to_owned());
        }
        if self.closed.len() + self.early.len() > 10_000 {
            return Err("has more than 10000 special days".to_owned());
        }
        let time =
            |text: &String| text.parse::<Time>().map_err(|_| format!("`{text}` is no time such as 09:30"));
        let date = |text: &String| {
            text.parse::<Date>().map_err(|_| format!("`{text}` is no day such as 2026-11-26"))
        };
        let market = Market {
            zone: TimeZone::get(&self.zone).map_err(|error| format!("its zone is not known: {error}"))?,
            weekdays: self.weekdays.clone(),
            open: time(&self.open)?,
            close: time(&self.close)?,
            closed: self.closed.iter().map(date).collect::<Result<_, _>>()?,
            early: self
                .early
                .iter()
                .map(|(day, close)| Ok((date(day)?, time(close)?)))
                .collect::<Result<_, String>>()?,
        };
        if market.open >= market.close || market.early.values().any(|close| *close <= market.open) {
            return Err("the market closes before it opens".to_owned());
        }
        Ok(market)
    }
}

impl Market {
    fn has(&self, date: Date) -> bool {
        self.weekdays.contains(&date.weekday().to_monday_one_offset()) && !self.closed.contains(&date)
    }

    /// The first time after `after`; `None` if there is no session for years.
    pub(super) fn next(&self, after: Timestamp, moment: Moment) -> Option<Timestamp> {
        let zone = &self.zone;
        let after = after.civil();
        // An offset may reach into the days beside the session's.
        let mut date = after.to_zoned(zone.clone()).date().checked_sub(jiff::Span::new().days(2)).ok()?;
        for _ in 0..DAYS {
            if self.has(date)
                && let Some(found) = self.of_day(date, moment, zone, after)
            {
                return Some(found.into());
            }
            date = date.tomorrow().ok()?;
        }
        None
    }

    fn of_day(
        &self,
        date: Date,
        moment: Moment,
        zone: &TimeZone,
        after: jiff::Timestamp,
    ) -> Option<jiff::Timestamp> {
        let at = |time: Time| zone.to_timestamp(date.to_datetime(time)).ok();
        let close = self.early.get(&date).copied().unwrap_or(self.close);
        let minutes = |count: i64| jiff::SignedDuration::from_mins(count);
        let single = match moment {
            Moment::AfterOpen(offset) => at(self.open)?.checked_add(minutes(offset.into())).ok()?,
            Moment::AfterClose(offset) => at(close)?.checked_add(minutes(offset.into())).ok()?,
            Moment::EveryMinutes(every) => {
                let (open, close) = (at(self.open)?, at(close)?);
                let step = i64::from(every) * 60;
                let gone = after.as_second() - open.as_second();
                let steps = if after < open { 0 } else { gone / step + 1 };
                let next = open.checked_add(jiff::SignedDuration::from_secs(steps * step)).ok()?;
                return (next <= close && next > after).then_some(next);
            }
        };
        (single > after).then_some(single)
    }
}

fn working_days() -> BTreeSet<i8> {
    (1..=5).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new_york() -> MarketHours {
        serde_json::from_str(
            r#"{"zone":"America/New_York","open":"09:30","close":"16:00","closed":["2026-11-26"],
                "early":{"2026-11-27":"13:00"}}"#,
        )
        .unwrap()
    }

    fn next(moment: Moment, after: &str) -> String {
        let after: jiff::Timestamp = after.parse().unwrap();
        new_york().read(moment).unwrap().next(after.into(), moment).unwrap().to_string()
    }

    #[test]
    fn closed_and_short_days_are_kept() {
        assert_eq!(next(Moment::AfterOpen(0), "2026-11-25T14:30:00Z"), "2026-11-27T14:30:00Z");
        assert_eq!(next(Moment::AfterClose(15), "2026-11-27T14:30:00Z"), "2026-11-27T18:15:00Z");
        assert_eq!(next(Moment::AfterClose(15), "2026-11-27T18:15:00Z"), "2026-11-30T21:15:00Z");
        assert_eq!(next(Moment::EveryMinutes(30), "2026-11-27T17:50:00Z"), "2026-11-27T18:00:00Z");
        assert_eq!(next(Moment::EveryMinutes(30), "2026-11-27T18:00:00Z"), "2026-11-30T14:30:00Z");
        assert_eq!(next(Moment::AfterOpen(-60), "2026-07-04T00:00:00Z"), "2026-07-06T12:30:00Z", "in summer");
    }

    #[test]
    fn what_cannot_be_is_told() {
        let hours = new_york;
        let at = Moment::AfterOpen(0);
        let set = |text: &str| BTreeSet::from([text.to_owned()]);
        for wrong in [
            MarketHours { zone: "Nowhere/Land".into(), ..hours() },
            MarketHours { weekdays: BTreeSet::from([8]), ..hours() },
            MarketHours { close: "09:30".into(), ..hours() },
            MarketHours { open: "noon".into(), ..hours() },
            MarketHours { closed: set("26.11."), ..hours() },
        ] {
            assert!(wrong.read(at).is_err(), "{wrong:?}");
        }
        assert!(hours().read(Moment::EveryMinutes(0)).is_err());
        assert!(hours().read(Moment::AfterOpen(9999)).is_err());
        let sundays = (0..200)
            .filter_map(|week| Date::new(2026, 11, 22).ok()?.checked_add(jiff::Span::new().weeks(week)).ok());
        let closed = sundays.map(|day| day.to_string()).collect();
        let never = MarketHours { weekdays: BTreeSet::from([7]), closed, ..hours() };
        let after: jiff::Timestamp = "2026-11-21T00:00:00Z".parse().unwrap();
        assert_eq!(never.read(at).unwrap().next(after.into(), at), None);
    }
}
