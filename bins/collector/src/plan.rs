//! What a pass will ask for, and until when: decided from the ledger, the calendar and the quotas before any call.

use std::time::{Duration, SystemTime};

use tidemill_market::{Calendar, Date};

use crate::ledger::{Answered, Ledger, nanos};

/// When an answer is fresh enough not to be asked for again.
#[derive(Clone, Copy, Debug)]
pub enum Freshness {
    /// Until the next session has closed and `settle` has passed.
    Sessions {
        /// Whose sessions.
        calendar: Calendar,
        /// Time after the close until the provider's bar is final.
        settle: Duration,
    },
    /// For this long.
    Age(Duration),
}

impl Freshness {
    /// True when an answer that arrived at `at` may be kept at `now`.
    pub fn is_fresh(&self, at: SystemTime, now: SystemTime) -> bool {
        match *self {
            Self::Age(age) => now.duration_since(at).is_ok_and(|passed| passed < age),
            Self::Sessions { calendar, settle } => {
                let closed = calendar
                    .last_completed_session(now - settle)
                    .and_then(|day| calendar.close_time_utc(day));
                closed.is_some_and(|close| at >= close + settle)
            }
        }
    }

    /// The next time after `now` at which something fresh turns stale; `oldest` is when the oldest answer arrived.
    pub fn next_turn(&self, oldest: SystemTime, now: SystemTime) -> SystemTime {
        match *self {
            Self::Age(age) => (oldest + age).max(now),
            Self::Sessions { calendar, settle } => {
                let today = Date::from_ts_ns(nanos(now - settle));
                let days =
                    (0..=14).map(|ahead| today.plus_days(ahead)).filter(|day| calendar.is_session(*day));
                let mut turns =
                    days.filter_map(|day| calendar.close_time_utc(day)).map(|close| close + settle);
                turns.find(|turn| *turn > now).unwrap_or(now + Duration::from_secs(86_400))
            }
        }
    }
}

/// One request to come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Item {
    /// Index of the dataset in the configuration.
    pub dataset: usize,
    /// Index of the symbol in the dataset's universe.
    pub symbol: usize,
}

/// A dataset as the plan sees it.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// Name of the dataset.
    pub name: &'a str,
    /// Its universe.
    pub symbols: &'a [std::sync::Arc<str>],
    /// When its answers are fresh.
    pub freshness: Freshness,
}

/// What the ledger and the calendar say about a universe at one moment.
#[derive(Debug, Default, Eq, PartialEq)]
pub struct Due {
    /// To be asked for, dataset by dataset in the order of the configuration.
    pub items: Vec<Item>,
    /// Symbols whose answer is still fresh.
    pub fresh: u64,
    /// Symbols that the provider refused for good, not long enough ago to ask again.
    pub refused: Vec<Item>,
}

/// Decides what is due at `now`.
pub fn due(wanted: &[Wanted<'_>], ledger: &Ledger, now: SystemTime) -> Due {
    let mut due = Due::default();
    for (dataset, want) in wanted.iter().enumerate() {
        for (symbol, name) in want.symbols.iter().enumerate() {
            match ledger.get(want.name, name).filter(|entry| want.freshness.is_fresh(entry.at, now)) {
                Some(entry) if entry.answered == Answered::Refused => {
                    due.refused.push(Item { dataset, symbol })
                }
                Some(_) => due.fresh += 1,
                None => due.items.push(Item { dataset, symbol }),
            }
        }
    }
    due
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Entry;
    use std::time::UNIX_EPOCH;

    fn at(days: u64, hours: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(days * 86_400 + hours * 3_600)
    }

    fn xnys() -> Freshness {
        Freshness::Sessions { calendar: Calendar::xnys(), settle: Duration::from_secs(1_800) }
    }

    // 2024-01-05 is a Friday and day 19727; New York closes at 21:00 UTC in winter.
    const FRIDAY: u64 = 19_727;

    #[test]
    fn an_answer_lasts_until_the_next_session_has_settled() {
        let asked = at(FRIDAY, 22);
        for (days, hours, fresh) in
            [(0, 23, true), (1, 12, true), (2, 12, true), (3, 21, true), (3, 22, false)]
        {
            assert_eq!(xnys().is_fresh(asked, at(FRIDAY + days, hours)), fresh, "{days} days {hours} h");
        }
        assert!(!xnys().is_fresh(at(FRIDAY, 21), at(FRIDAY, 22)), "asked before the bar was final");
    }

    #[test]
    fn the_next_turn_skips_the_weekend() {
        assert_eq!(
            xnys().next_turn(at(FRIDAY, 22), at(FRIDAY, 22)),
            at(FRIDAY + 3, 21) + Duration::from_secs(1_800)
        );
        assert_eq!(
            xnys().next_turn(at(FRIDAY, 9), at(FRIDAY, 9)),
            at(FRIDAY, 21) + Duration::from_secs(1_800)
        );
    }

    #[test]
    fn without_a_calendar_age_decides() {
        let day = Freshness::Age(Duration::from_secs(86_400));
        assert!(day.is_fresh(at(10, 0), at(10, 23)));
        assert!(!day.is_fresh(at(10, 0), at(11, 0)));
        assert!(!day.is_fresh(at(11, 0), at(10, 0)), "an answer from the future is not trusted");
    }

    #[test]
    fn only_what_is_stale_or_unknown_is_due() {
        let mut ledger = Ledger::default();
        let entry = |at, answered| Entry {
            answered,
            at,
            received: 1,
            accepted: 1,
            quarantined: 0,
            duplicate: 0,
            last_ts_ns: None,
        };
        ledger.put("d", "FRESH", entry(at(10, 0), Answered::Rows));
        ledger.put("d", "STALE", entry(at(8, 0), Answered::Rows));
        ledger.put("d", "BAD", entry(at(10, 0), Answered::Refused));
        ledger.put("d", "OLDBAD", entry(at(8, 0), Answered::Refused));
        let symbols = ["FRESH", "STALE", "NEW", "BAD", "OLDBAD"].map(std::sync::Arc::from);
        let freshness = Freshness::Age(Duration::from_secs(86_400));
        let due = due(&[Wanted { name: "d", symbols: &symbols, freshness }], &ledger, at(10, 12));
        assert_eq!(due.items.iter().map(|i| i.symbol).collect::<Vec<_>>(), [1, 2, 4]);
        assert_eq!((due.fresh, due.refused.len()), (1, 1));
    }
}
