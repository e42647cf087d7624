//! The rules that look at a whole series (V7-V11): they flag, they hold nothing back.

use crate::bars::Bars;
use crate::checks::Checks;
use crate::date::Date;
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
/// V9: ratios of splits that happen.
const SPLITS: [(u8, u8); 22] = [
    (2, 1), (3, 1), (4, 1), (5, 1), (6, 1), (7, 1), (8, 1), (10, 1), (12, 1), (15, 1), (20, 1), (25, 1), (30, 1),
    (40, 1), (50, 1), (3, 2), (4, 3), (5, 2), (5, 3), (5, 4), (6, 5), (7, 2),
];
/// V10: so many flat bars without volume in a row are stale.
const STALE_RUN: usize = 3;

pub(crate) fn flag(bars: &Bars, interval: Interval, checks: &Checks, flags: &mut Flags) {
    flag_gaps(bars, interval, checks, flags);
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

/// V8 and V9.
fn flag_jumps(bars: &Bars, flags: &mut Flags) {
    if bars.len() < 2 || bars.close.iter().any(|close| *close <= 0.0) {
        return;
    }
    let returns: Vec<f64> = bars.close.windows(2).map(|pair| (pair[1] / pair[0]).ln()).collect();
    let (middle, spread) = if returns.len() >= LEAST_COUNT { middle_and_spread(&returns) } else { (0.0, 0.0) };
    let limit = (SPREADS * spread).max(LEAST_RETURN);
    for (index, change) in returns.iter().enumerate() {
        if (change - middle).abs() <= limit {
            continue;
        }
        let (before, after) = (bars.close[index], bars.close[index + 1]);
        let ts = Some(bars.ts_ns[index + 1]);
        if (change.abs() - 100f64.ln()).abs() < UNIT_SLACK {
            flags.add(Rule::V9, ts, || format!("close {before} to {after}: the unit seems to change"));
        } else if let Some((p, q)) = split_near(*change, 4.0 * spread) {
            let volumes = (bars.volume.get(index).unwrap_or(0.0), bars.volume.get(index + 1).unwrap_or(0.0));
            let turnover = (volumes.1 * after) / (volumes.0 * before);
            let evidence = if (0.25..4.0).contains(&turnover) { ", and the turnover fits" } else { "" };
            flags.add(Rule::V9, ts, || format!("close {before} to {after}: near a split of {p}:{q}{evidence}"));
        } else if returns.len() >= LEAST_COUNT {
            flags.add(Rule::V8, ts, || format!("close {before} to {after} is beyond {SPREADS} spreads of {spread:.4}"));
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

/// The split whose ratio, either way, this log return comes closest to, if within `slack` (2 to 15 %).
fn split_near(change: f64, slack: f64) -> Option<(u8, u8)> {
    let off = |(p, q): &(u8, u8)| (change.abs() - (f64::from(*p) / f64::from(*q)).ln()).abs();
    let nearest = SPLITS.iter().min_by(|a, b| off(a).total_cmp(&off(b)))?;
    (off(nearest) <= slack.clamp(0.02, 0.15)).then_some(*nearest)
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
