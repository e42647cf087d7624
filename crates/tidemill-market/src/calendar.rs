//! Trading days and closing times, from tables of rules and exceptions, never from the data.

mod xnys;

use std::fmt;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::date::{Date, SECOND_NS};
use crate::error::Error;
use crate::zone::{Local, Zone};

/// The sessions of one exchange. Copies are free; the table is built once, on first use.
///
/// The New York table agrees with a reference calendar on every day of 1986 to 2026. Days up to 2035 follow the rules
/// alone: a closure decreed later is not known. Beyond that ([`Calendar::covers`]) every weekday is called a session.
#[derive(Clone, Copy)]
pub struct Calendar(&'static Table);

static XNYS: LazyLock<Table> = LazyLock::new(xnys::table);

impl Calendar {
    /// New York Stock Exchange (and Nasdaq).
    pub fn xnys() -> Self {
        Calendar(&XNYS)
    }

    /// `"XNYS"`, or `"none"` for no calendar.
    pub fn by_name(name: &str) -> Result<Option<Self>, Error> {
        match name {
            "XNYS" => Ok(Some(Self::xnys())),
            "none" => Ok(None),
            _ => Err(Error::calendar(name)),
        }
    }

    /// Market identifier code (ISO 10383).
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// The zone of the exchange.
    pub fn zone(self) -> Zone {
        Zone::NewYork
    }

    /// True if the table has this day.
    pub fn covers(self, date: Date) -> bool {
        self.0.index(date).is_some()
    }

    /// True if the table has this day and was compared with the reference calendar there.
    pub fn is_verified(self, date: Date) -> bool {
        (self.0.first..=self.0.verified_to).contains(&date)
    }

    /// True if the exchange trades on this day.
    pub fn is_session(self, date: Date) -> bool {
        match self.0.index(date) {
            Some(i) => self.0.bits[i / 64] >> (i % 64) & 1 == 1,
            None => date.weekday() < 5,
        }
    }

    /// Number of sessions from `first` to `last`, both included; 0 if `last` comes first.
    pub fn sessions_between(self, first: Date, last: Date) -> usize {
        if last < first {
            return 0;
        }
        match (self.0.index(first), self.0.index(last)) {
            (Some(a), Some(b)) => self.0.rank(b + 1) - self.0.rank(a),
            _ => (first.days()..=last.days())
                .filter_map(Date::from_days)
                .filter(|d| self.is_session(*d))
                .count(),
        }
    }

    /// The sessions from `first` to `last`, both included, in order.
    pub fn sessions(self, first: Date, last: Date) -> impl Iterator<Item = Date> {
        (first.days()..=last.days()).filter_map(Date::from_days).filter(move |date| self.is_session(*date))
    }

    /// The last session that is not after `date`.
    pub fn previous_session_on_or_before(self, date: Date) -> Option<Date> {
        // No closure of the exchange since 1933 lasted a week.
        (0..30).map(|back| date.plus_days(-back)).find(|day| self.is_session(*day))
    }

    /// The first session that is not before `date`.
    pub fn next_session_on_or_after(self, date: Date) -> Option<Date> {
        (0..30).map(|ahead| date.plus_days(ahead)).find(|day| self.is_session(*day))
    }

    /// The last session whose regular close is not after `now`: fresh daily data reach up to it.
    pub fn last_completed_session(self, now: SystemTime) -> Option<Date> {
        let now_ns = i64::try_from(now.duration_since(UNIX_EPOCH).ok()?.as_nanos()).ok()?;
        let (today, _) = self.zone().to_local(now_ns);
        let session = self.previous_session_on_or_before(today)?;
        if self.close_ns(session)? <= now_ns {
            return Some(session);
        }
        self.previous_session_on_or_before(session.plus_days(-1))
    }

    /// Regular close of a session, early closes included; `None` on other days.
    pub fn close_time_utc(self, date: Date) -> Option<SystemTime> {
        let ns = u64::try_from(self.close_ns(date)?).ok()?;
        Some(UNIX_EPOCH + Duration::from_nanos(ns))
    }

    /// [`Calendar::close_time_utc`] in nanoseconds since 1970-01-01T00:00Z.
    pub fn close_ns(self, date: Date) -> Option<i64> {
        self.at(date, self.close_minute(date)?)
    }

    /// Regular open of a session in UTC nanoseconds; `None` on other days.
    pub fn open_ns(self, date: Date) -> Option<i64> {
        self.is_session(date).then(|| self.at(date, self.0.open_minute)).flatten()
    }

    /// Minutes after local midnight at which the session closes.
    pub(crate) fn close_minute(self, date: Date) -> Option<u16> {
        if !self.is_session(date) {
            return None;
        }
        let early = self.0.early.binary_search_by_key(&date, |(day, _)| *day);
        Some(early.map_or(self.0.close_minute, |i| self.0.early[i].1))
    }

    pub(crate) fn open_minute(self) -> u16 {
        self.0.open_minute
    }

    fn at(self, date: Date, minute: u16) -> Option<i64> {
        match self.zone().to_utc(date, i64::from(minute) * 60 * SECOND_NS) {
            Local::One(ts) => Some(ts),
            Local::Twice | Local::Never => None,
        }
    }
}

impl fmt::Debug for Calendar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Calendar({})", self.0.name)
    }
}

impl PartialEq for Calendar {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

impl Eq for Calendar {}

/// One bit a day, and the sessions before each word of 64 days.
struct Table {
    name: &'static str,
    first: Date,
    last: Date,
    verified_to: Date,
    bits: Vec<u64>,
    ranks: Vec<u32>,
    /// Sessions that close early, with the minute of the local day, by date.
    early: Vec<(Date, u16)>,
    open_minute: u16,
    close_minute: u16,
}

impl Table {
    fn index(&self, date: Date) -> Option<usize> {
        (self.first..=self.last).contains(&date).then(|| (date.days() - self.first.days()) as usize)
    }

    /// Sessions before the day with this index.
    fn rank(&self, index: usize) -> usize {
        let word = index / 64;
        let before = self.ranks[word] as usize;
        match self.bits.get(word) {
            Some(bits) => before + (bits & ((1 << (index % 64)) - 1)).count_ones() as usize,
            None => before,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Date {
        text.parse().unwrap()
    }

    #[test]
    fn known_days_of_new_york() {
        let xnys = Calendar::xnys();
        for closed in
            ["2001-09-12", "2012-10-29", "2021-12-24", "2022-06-20", "2025-01-09", "2026-11-26", "2026-11-21"]
        {
            assert!(!xnys.is_session(day(closed)), "{closed}");
        }
        for open in ["2021-12-31", "2001-09-10", "2021-06-18", "2026-11-27", "2010-12-31"] {
            assert!(xnys.is_session(day(open)), "{open}");
        }
        assert_eq!(xnys.previous_session_on_or_before(day("2001-09-16")), Some(day("2001-09-10")));
        assert_eq!(xnys.next_session_on_or_after(day("2001-09-11")), Some(day("2001-09-17")));
        assert_eq!(xnys.sessions_between(day("2024-01-01"), day("2024-12-31")), 252);
        assert_eq!(xnys.sessions_between(day("2024-12-31"), day("2024-01-01")), 0);
    }

    #[test]
    fn a_session_is_complete_at_its_close_and_not_before() {
        let xnys = Calendar::xnys();
        let close = xnys.close_time_utc(day("2026-11-27")).unwrap();
        assert_eq!(
            xnys.close_ns(day("2026-11-27")),
            Some(day("2026-11-27").midnight_ns() + 18 * 3600 * SECOND_NS)
        );
        assert_eq!(xnys.last_completed_session(close), Some(day("2026-11-27")));
        assert_eq!(xnys.last_completed_session(close - Duration::from_secs(1)), Some(day("2026-11-25")));
        assert_eq!(xnys.close_time_utc(day("2026-11-26")), None);
    }

    #[test]
    fn counting_by_table_and_by_day_agree() {
        let xnys = Calendar::xnys();
        for start in (0..400).map(|n| day("1999-11-01").plus_days(n)) {
            for length in [0, 1, 63, 64, 65, 200] {
                let end = start.plus_days(length);
                assert_eq!(xnys.sessions_between(start, end), xnys.sessions(start, end).count());
            }
        }
        let (first, last) = (day("2035-12-01"), day("2036-01-31"));
        assert_eq!(xnys.sessions_between(first, last), xnys.sessions(first, last).count());
        assert!(!xnys.covers(last) && xnys.covers(first) && !xnys.is_verified(first));
    }
}
