//! What a pass will ask for, and until when: decided from the ledger, the calendar and the quotas before any call.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tidemill_market::{Calendar, Date};

use crate::ledger::Ledger;

/// When an answer is fresh enough not to be asked for again.
#[derive(Clone, Debug)]
pub enum Freshness {
    /// Until the next session has closed and `settle` has passed.
    Sessions {
        /// Whose sessions.
        calendar: &'static Calendar,
        /// Time after the close until the provider's bar is final.
        settle: Duration,
    },
    /// For this long.
    Age(Duration),
}

impl Freshness {
    /// True when an answer that arrived at `at` may be kept at `now`.
    pub fn is_fresh(&self, at: SystemTime, now: SystemTime) -> bool {
        match self {
            Self::Age(age) => now.duration_since(at).is_ok_and(|passed| passed < *age),
            Self::Sessions { .. } => self.last_turn(now).is_some_and(|turn| at >= turn),
        }
    }

    /// The next time after `now` at which something fresh turns stale; `oldest` is when the oldest answer arrived.
    pub fn next_turn(&self, oldest: SystemTime, now: SystemTime) -> SystemTime {
        match self {
            Self::Age(age) => (oldest + *age).max(now),
            Self::Sessions { settle, .. } => {
                let mut day = Date::from_unix_days(days(now) - 1);
                for _ in 0..15 {
                    if let Some(turn) = self.turn_of(day, *settle).filter(|turn| *turn > now) {
                        return turn;
                    }
                    day = day.next();
                }
                now + Duration::from_secs(86_400)
            }
        }
    }

    /// The latest turn that is not after `now`.
    fn last_turn(&self, now: SystemTime) -> Option<SystemTime> {
        let Self::Sessions { settle, .. } = self else { return None };
        let mut day = Date::from_unix_days(days(now) + 1);
        for _ in 0..15 {
            if let Some(turn) = self.turn_of(day, *settle).filter(|turn| *turn <= now) {
                return Some(turn);
            }
            day = day.previous();
        }
        None
    }

    fn turn_of(&self, day: Date, settle: Duration) -> Option<SystemTime> {
        let Self::Sessions { calendar, .. } = self else { return None };
        let close = calendar.close_utc(day)?;
        Some(UNIX_EPOCH + Duration::from_secs(u64::try_from(close).ok()?) + settle)
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
    pub symbols: &'a [String],
    /// When its answers are fresh.
    pub freshness: &'a Freshness,
}

/// What is due now, dataset by dataset in the order of the configuration, and how many answers are still fresh.
pub fn due(wanted: &[Wanted<'_>], ledger: &Ledger, now: SystemTime) -> (Vec<Item>, u64) {
    let mut items = Vec::new();
    let mut fresh = 0;
    for (dataset, want) in wanted.iter().enumerate() {
        for (symbol, name) in want.symbols.iter().enumerate() {
            match ledger.get(want.name, name) {
                Some(entry) if want.freshness.is_fresh(entry.at, now) => fresh += 1,
                _ => items.push(Item { dataset, symbol }),
            }
        }
    }
    (items, fresh)
}

fn days(at: SystemTime) -> i32 {
    at.duration_since(UNIX_EPOCH).map_or(0, |d| (d.as_secs() / 86_400) as i32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Answered, Entry};

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
        for (days, hours, fresh) in [(0, 23, true), (1, 12, true), (2, 12, true), (3, 21, true), (3, 22, false)] {
            assert_eq!(xnys().is_fresh(asked, at(FRIDAY + days, hours)), fresh, "{days} days {hours} h");
        }
        assert!(!xnys().is_fresh(at(FRIDAY, 21), at(FRIDAY, 22)), "asked before the bar was final");
    }

    #[test]
    fn the_next_turn_skips_the_weekend() {
        assert_eq!(xnys().next_turn(at(FRIDAY, 22), at(FRIDAY, 22)), at(FRIDAY + 3, 21) + Duration::from_secs(1_800));
        assert_eq!(xnys().next_turn(at(FRIDAY, 9), at(FRIDAY, 9)), at(FRIDAY, 21) + Duration::from_secs(1_800));
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
        let entry = |at| Entry { answered: Answered::Rows, at, received: 1, accepted: 1, quarantined: 0, duplicate: 0, last_ts_ns: None };
        ledger.put("d", "FRESH", entry(at(10, 0)));
        ledger.put("d", "STALE", entry(at(8, 0)));
        let symbols = ["FRESH", "STALE", "NEW"].map(String::from);
        let freshness = Freshness::Age(Duration::from_secs(86_400));
        let (items, fresh) = due(&[Wanted { name: "d", symbols: &symbols, freshness: &freshness }], &ledger, at(10, 12));
        assert_eq!(items, [Item { dataset: 0, symbol: 1 }, Item { dataset: 0, symbol: 2 }]);
        assert_eq!(fresh, 1);
    }
}
