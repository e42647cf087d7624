//! The rules that look at a whole series (V7-V11): they flag, they hold nothing back.

use crate::bars::Bars;
use crate::checks::Checks;
use crate::date::{Date, SECOND_NS};
use crate::flags::Flags;
use crate::interval::Interval;
use crate::rule::Rule;

/// V8: how many standard deviations (estimated as 1.4826 MAD) a return may lie from the median.
const SPREADS: f64 = 12.0;
/// V8: log returns smaller than this are never flagged; a calm series has tiny spreads.
const LEAST_RETURN: f64 = 0.15;
/// V8: fewer returns than this have no spread worth the name; only [`LEAST_RETURN`] and unit switches count then.
const LEAST_COUNT: usize = 10;
/// V9: a hundredfold move, give or take a day's return.
const UNIT_SLACK: f64 = 0.25;
/// V9: splits into so many shares, or of so many into one.
const WHOLE_SPLITS: [f64; 14] = [2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0, 12.0, 15.0, 20.0, 25.0, 30.0, 50.0];
/// V9: splits of two shares into three and the like; a price that rises so much is news, not a reverse split.
const BROKEN_SPLITS: [(f64, f64); 5] = [(3.0, 2.0), (4.0, 3.0), (5.0, 2.0), (5.0, 3.0), (5.0, 4.0)];
/// V10: so many flat bars without volume in a row are stale.
const STALE_RUN: usize = 3;

pub(crate) fn flag(bars: &Bars, interval: Interval, checks: &Checks, flags: &mut Flags) {
    flag_gaps(bars, interval, checks, flags);
    flag_labels(bars, interval, checks, flags);
    flag_jumps(bars, flags);
    flag_repeats(bars, flags);
}

/// V7: sessions without a bar between the first and the last one.
fn flag_gaps(bars: &Bars, interval: Interval, checks: &Checks, flags: &mut Flags) {
    let (Some(calendar), true) = (checks.calendar, interval.is_daily()) else { return };
    let (Some(first), Some(last)) = (bars.ts_ns.first(), bars.ts_ns.last()) else { return };
    let (first, last) = (Date::from_ts_ns(*first), Date::from_ts_ns(*last));
    let expected = calendar.sessions_between(first, last);
    if expected <= bars.len() {
        return;
    }
    let mut dates = bars.ts_ns.iter().map(|ts| Date::from_ts_ns(*ts)).peekable();
    let gap = calendar.sessions(first, last).find(|session| {
        while dates.next_if(|date| date < session).is_some() {}
        dates.next_if_eq(session).is_none()
    });
    flags.add(Rule::V7, gap.map(Date::midnight_ns), || {
        format!("{} of {expected} sessions from {first} to {last} have no bar", expected - bars.len())
    });
}

/// V6: bars at the close and none at the open are named after their end; ours are named after their start.
fn flag_labels(bars: &Bars, interval: Interval, checks: &Checks, flags: &mut Flags) {
    let (Some(calendar), false) = (checks.calendar, interval.is_daily()) else { return };
    let (mut opens, mut closes) = (0, None);
    for ts in &bars.ts_ns {
        let (date, of_day) = calendar.zone().to_local(*ts);
        let minute = of_day / (60 * SECOND_NS);
        opens += u32::from(minute == i64::from(calendar.open_minute()));
        if calendar.close_minute(date).is_some_and(|close| minute == i64::from(close)) {
            closes = closes.or(Some(*ts));
        }
    }
    if opens == 0 && closes.is_some() {
        flags.add(Rule::V6, closes, || {
            "a bar at the close and none at the open: times seem to name the end".into()
        });
    }
}

/// V8 and V9.
fn flag_jumps(bars: &Bars, flags: &mut Flags) {
    if bars.len() < 2 || bars.close.iter().any(|close| *close <= 0.0) {
        return;
    }
    let returns: Vec<f64> = bars.close.windows(2).map(|pair| (pair[1] / pair[0]).ln()).collect();
    let (middle, spread) =
        if returns.len() >= LEAST_COUNT { middle_and_spread(&returns) } else { (0.0, 0.0) };
    let limit = (SPREADS * spread).max(LEAST_RETURN);
    for (index, change) in returns.iter().enumerate() {
        if (change - middle).abs() <= limit {
            continue;
        }
        let (before, after) = (bars.close[index], bars.close[index + 1]);
        let ts = Some(bars.ts_ns[index + 1]);
        if (change.abs() - 100f64.ln()).abs() < UNIT_SLACK {
            flags.add(Rule::V9, ts, || format!("close {before} to {after}: the unit seems to change"));
        } else if let Some((p, q)) = split_near(*change, 5.0 * spread) {
            let volumes = (bars.volume.get(index).unwrap_or(0.0), bars.volume.get(index + 1).unwrap_or(0.0));
            let turnover = (volumes.1 * after) / (volumes.0 * before);
            let evidence = if (0.25..4.0).contains(&turnover) { ", and the turnover fits" } else { "" };
            flags.add(Rule::V9, ts, || {
                format!("close {before} to {after}: near a split of {p}:{q}{evidence}")
            });
        } else if returns.len() >= LEAST_COUNT {
            flags.add(Rule::V8, ts, || {
                format!("close {before} to {after} is beyond {SPREADS} spreads of {spread:.4}")
            });
        }
    }
}

/// Median, and 1.4826 times the median absolute deviation: the standard deviation if returns were normal.
fn middle_and_spread(returns: &[f64]) -> (f64, f64) {
    let mut scratch = returns.to_vec();
    let middle = median(&mut scratch);
    for value in &mut scratch {
        *value = (*value - middle).abs();
    }
    (middle, 1.4826 * median(&mut scratch))
}

fn median(values: &mut [f64]) -> f64 {
    let half = values.len() / 2;
    *values.select_nth_unstable_by(half, f64::total_cmp).1
}

/// The split that this log return comes close to: whole ones within `slack` (2 to 15 %, since the market moves on that
/// day too), broken ones within 2 %.
fn split_near(change: f64, slack: f64) -> Option<(f64, f64)> {
    let off = |(p, q): (f64, f64)| (change.abs() - (p / q).ln()).abs();
    let whole = WHOLE_SPLITS.iter().map(|p| (*p, 1.0)).min_by(|a, b| off(*a).total_cmp(&off(*b)));
    let broken =
        BROKEN_SPLITS.iter().copied().find(|split| change < 0.0 && slack > 0.0 && off(*split) <= 0.02);
    broken.or(whole.filter(|split| off(*split) <= slack.clamp(0.02, 0.15)))
}

/// V10 and V11.
fn flag_repeats(bars: &Bars, flags: &mut Flags) {
    let mut run = 0;
    for index in 0..bars.len() {
        let still = bars.volume.get(index) == Some(0.0);
        let flat = still && bars.high[index] == bars.low[index];
        run = if flat { run + 1 } else { 0 };
        if run == STALE_RUN {
            let ts = Some(bars.ts_ns[index + 1 - STALE_RUN]);
            flags.add(Rule::V10, ts, || format!("flat bars without volume, {STALE_RUN} or more in a row"));
        }
        if index > 0 && !still && bars.same(index, index - 1) {
            flags.add(Rule::V11, Some(bars.ts_ns[index]), || "equals the bar before in every field".into());
        }
    }
}
