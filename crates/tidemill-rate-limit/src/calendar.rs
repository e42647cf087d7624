//! Windows that start anew at a time of day in a zone: when the present one ends, on days of 23, 24 and 25 hours.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::span;

const DAY_S: i64 = 86_400;
const NS: i128 = 1_000_000_000;

/// A quota that is counted by the wall clock: by the day, the hour or the minute of a zone.
///
/// A slot is free when every window that its request can have been counted in has ended. With the reset known, the
/// whole quota of each window can be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Calendar {
    /// How long after midnight in the zone windows start; for windows shorter than a day, how far they are shifted.
    /// Default 0.
    #[serde(with = "span")]
    pub reset: Duration,
    /// The zone. Default UTC.
    pub zone: Zone,
    /// How far the wall clocks of client and server may stand apart. Default 2 s.
    #[serde(with = "span")]
    pub margin: Duration,
}

impl Default for Calendar {
    fn default() -> Self {
        Self { reset: Duration::ZERO, zone: Zone::default(), margin: Duration::from_secs(2) }
    }
}

/// How far local time is ahead of UTC. This crate knows no zone database: give the few changes that matter.
///
/// ```
/// use tidemill_rate_limit::Zone;
///
/// // New York: EST, with the summer of 2026 between its two changes.
/// let zone = Zone { offset_s: -18_000, changes: vec![(1_772_953_200, -14_400), (1_793_512_800, -18_000)] };
/// assert_eq!(zone.offset_s(1_780_000_000), -14_400);
/// assert_eq!(zone.offset_s(1_800_000_000), -18_000);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Zone {
    /// Seconds ahead of UTC before the first change. Default 0.
    pub offset_s: i32,
    /// From this time (seconds since 1970) so many seconds ahead of UTC; earliest first. Default: none.
    pub changes: Vec<(i64, i32)>,
}

impl Zone {
    /// Seconds ahead of UTC at `unix_s`.
    pub fn offset_s(&self, unix_s: i64) -> i32 {
        let past = self.changes.partition_point(|(from, _)| *from <= unix_s);
        past.checked_sub(1).map_or(self.offset_s, |last| self.changes[last].1)
    }
}

impl Calendar {
    /// When the last of the windows of `per_s` seconds ends that a request counted by `at` can belong to. Both times
    /// are ns since 1970.
    pub(crate) fn free_at(&self, at: i128, per_s: i64) -> i128 {
        let margin = self.margin.as_nanos() as i128;
        let latest_s = (at + margin).div_euclid(NS) as i64;
        i128::from(self.next(latest_s, per_s)) * NS + margin
    }

    /// The first start of a window after `unix_s`; where local time repeats or skips it, the latest that it can mean.
    fn next(&self, unix_s: i64, per_s: i64) -> i64 {
        let reset_s = self.reset.as_secs() as i64;
        let here = i64::from(self.zone.offset_s(unix_s));
        let local = (unix_s + here - reset_s).div_euclid(per_s) * per_s + per_s + reset_s;
        let there = i64::from(self.zone.offset_s(local - here));
        let beyond = i64::from(self.zone.offset_s(local - there));
        let meanings = [here, there, beyond].map(|offset| (local - offset, offset));
        let real = meanings.iter().filter(|(at, offset)| i64::from(self.zone.offset_s(*at)) == *offset);
        let latest = real.map(|(at, _)| *at).max();
        latest.or_else(|| meanings.iter().map(|(at, _)| *at).max()).unwrap_or(unix_s + DAY_S)
    }

    /// What is wrong with it for windows of `per`, and in which field.
    pub(crate) fn wrong(&self, per: Duration) -> Option<(&'static str, &'static str)> {
        let per_s = per.as_secs() as i64;
        if per.subsec_nanos() != 0 || per_s == 0 || DAY_S % per_s != 0 {
            return Some(("per", "must be whole seconds that divide a day when a calendar is given"));
        }
        if self.reset.as_secs() as i64 >= DAY_S || self.reset.subsec_nanos() != 0 {
            return Some(("calendar.reset", "must be whole seconds, less than a day"));
        }
        if self.margin > Duration::from_secs(3600) {
            return Some(("calendar.margin", "must be at most an hour"));
        }
        let offsets = self.zone.changes.iter().map(|(_, offset)| *offset).chain([self.zone.offset_s]);
        if offsets.into_iter().any(|offset| offset.abs() >= DAY_S as i32) {
            return Some(("calendar.zone", "must be less than a day from UTC"));
        }
        let ordered = self.zone.changes.is_sorted_by(|a, b| a.0 < b.0);
        (!ordered).then_some(("calendar.zone.changes", "must be in the order of time"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 2026 in New York: 8 March has 23 hours, 1 November 25.
    fn new_york() -> Zone {
        Zone { offset_s: -18_000, changes: vec![(1_772_953_200, -14_400), (1_793_512_800, -18_000)] }
    }

    fn daily(zone: Zone, reset_h: u64) -> Calendar {
        Calendar { reset: Duration::from_secs(reset_h * 3600), zone, margin: Duration::ZERO }
    }

    #[test]
    fn days_have_23_24_and_25_hours() {
        let calendar = daily(new_york(), 0);
        let midnights = [(1_772_946_000, 23), (1_793_505_600, 25), (1_780_027_200, 24)];
        for (midnight, hours) in midnights {
            assert_eq!(calendar.next(midnight - 1, DAY_S), midnight);
            assert_eq!(calendar.next(midnight, DAY_S), midnight + hours * 3600, "{hours} hours");
        }
    }

    #[test]
    fn minutes_and_hours_start_where_the_clock_says() {
        let calendar = daily(Zone { offset_s: 19_800, changes: vec![] }, 0);
        assert_eq!(calendar.next(1_780_000_000, 60), 1_780_000_020);
        assert_eq!(calendar.next(1_780_000_000, 3600) % 3600, 1800, "India is half an hour off");
        let margin = Calendar { margin: Duration::from_secs(2), ..Calendar::default() };
        let minute = |s: i128| margin.free_at(s * NS, 60) / NS;
        assert_eq!(
            (minute(57), minute(58), minute(60)),
            (62, 122, 122),
            "the server may be in the next window"
        );
    }

    proptest! {
        /// No window that may hold a request is left out: the server's day never changes between two ends.
        #[test]
        fn between_a_request_and_its_end_the_day_changes_at_most_once(
            at in 1_770_000_000i64..1_796_000_000, reset_h in 0u64..24,
        ) {
            let zone = new_york();
            let end = daily(zone.clone(), reset_h).next(at, DAY_S);
            prop_assert!(end > at && end - at <= 26 * 3600, "{}", end - at);
            // The label of the server's day, where the hour that is told twice belongs to the later.
            let label = |s: i64| (s + i64::from(zone.offset_s(s)) - reset_h as i64 * 3600).div_euclid(DAY_S);
            prop_assert!(label(end) > label(at));
            let after = (at..end).step_by(600).filter(|s| label(*s) > label(at)).count();
            // At most the hour that is told twice.
            prop_assert!(after <= 6, "{} of its steps are in the next day", after);
        }
    }
}
