//! One series over time: its last values as told, and what each minute and hour came to. Pure: time is an argument.

use super::ring::Ring;
use crate::series::Kind;

/// A minute in milliseconds.
pub const MINUTE: i64 = 60_000;
/// An hour in milliseconds.
pub const HOUR: i64 = 60 * MINUTE;

/// What a stretch of time came to. Of a counter these are rates per second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Span {
    /// Its beginning, in milliseconds since 1970.
    pub start_ms: i64,
    /// The least.
    pub min: f64,
    /// The most.
    pub max: f64,
    /// The mean.
    pub mean: f64,
}

/// What a value closed: the minute and the hour before it, when they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Closed {
    /// The minute.
    pub minute: Option<Span>,
    /// The hour.
    pub hour: Option<Span>,
}

/// A series in memory: 16 bytes a value, 24 a minute.
#[derive(Clone, Debug)]
pub struct Track {
    counts: bool,
    raw: Ring<(i64, f64)>,
    minutes: Ring<Packed>,
    minute: Open,
    hour: Open,
    since: (i64, i64),
}

/// A stretch that is not over.
#[derive(Clone, Copy, Debug, Default)]
struct Open {
    start_ms: i64,
    min: f64,
    max: f64,
    sum: f64,
    count: u32,
}

/// A minute in 24 bytes: the mean whole, its distance to least and most in half the bits.
#[derive(Clone, Copy, Debug)]
struct Packed {
    minute: u32,
    below: f32,
    above: f32,
    mean: f64,
}

impl Track {
    /// Nothing yet. From `since` on, values and minutes, everything that there ever was is put in.
    #[must_use]
    pub fn new(kind: Kind, values: usize, minutes: usize, since: (i64, i64)) -> Self {
        Self {
            counts: kind == Kind::Counter,
            raw: Ring::new(values),
            minutes: Ring::new(minutes),
            minute: Open::default(),
            hour: Open::default(),
            since,
        }
    }

    /// Takes a value. One that is not later than the last is left out: `None`.
    pub fn push(&mut self, at_ms: i64, value: f64) -> Option<Closed> {
        let last = self.raw.last();
        if last.is_some_and(|(last, _)| at_ms <= last) {
            return None;
        }
        self.raw.push((at_ms, value));
        let value = match (self.counts, last) {
            (false, _) => value,
            (true, Some(last)) => rate(last, (at_ms, value)),
            // One total is no rate yet.
            (true, None) => return Some(Closed::default()),
        };
        Some(self.sum_up(at_ms, value))
    }

    /// Takes back a value that was kept, and sums it up only where it lies at or behind `minutes_from`: the minutes
    /// before were kept too.
    pub fn restore(&mut self, at_ms: i64, value: f64, minutes_from: i64) -> Closed {
        let last = self.raw.last();
        if last.is_some_and(|(last, _)| at_ms <= last) {
            return Closed::default();
        }
        self.raw.push((at_ms, value));
        let value = match (self.counts, last) {
            (false, _) => value,
            (true, Some(last)) => rate(last, (at_ms, value)),
            (true, None) => return Closed::default(),
        };
        if at_ms < minutes_from { Closed::default() } else { self.sum_up(at_ms, value) }
    }

    /// Hours are made of minutes, so that a restart, which knows the minutes, comes to the same.
    fn sum_up(&mut self, at_ms: i64, value: f64) -> Closed {
        let minute = self.minute.take(at_ms, MINUTE, value);
        let hour = minute.and_then(|minute| {
            self.minutes.push(Packed::new(minute));
            self.hour.take_span(minute)
        });
        Closed { minute, hour }
    }

    /// Takes back a minute that was kept; also into the hour, when that lies at or behind `hours_from`.
    pub fn restore_minute(&mut self, minute: Span, hours_from: i64) -> Option<Span> {
        self.minutes.push(Packed::new(minute));
        if minute.start_ms < hours_from {
            return None;
        }
        self.hour.take_span(minute)
    }

    /// The last value as told, and when.
    #[must_use]
    pub fn last(&self) -> Option<(i64, f64)> {
        self.raw.last()
    }

    /// Whether every value from then on is here.
    #[must_use]
    pub fn holds_values(&self, from_ms: i64) -> bool {
        let oldest = self.raw.get(0).map(|(at, _)| at);
        holds(self.since.0, self.raw.is_full(), oldest, from_ms)
    }

    /// Whether every minute from then on is here.
    #[must_use]
    pub fn holds_minutes(&self, from_ms: i64) -> bool {
        let oldest = self.minutes.get(0).map(|minute| minute.span().start_ms);
        holds(self.since.1, self.minutes.is_full(), oldest, from_ms)
    }

    /// The values within, of a counter their rates.
    #[must_use]
    pub fn values(&self, from_ms: i64, to_ms: i64) -> Vec<Span> {
        let mut before = None;
        let mut found = Vec::new();
        // One earlier, for the first rate.
        let start = self.raw.from(|(at, _)| *at < from_ms).count();
        let skip = (self.raw.len() - start).saturating_sub(usize::from(self.counts));
        for at in skip..self.raw.len() {
            let Some((at_ms, value)) = self.raw.get(at) else { break };
            if at_ms > to_ms {
                break;
            }
            let shown = if self.counts { before.map(|then| rate(then, (at_ms, value))) } else { Some(value) };
            before = Some((at_ms, value));
            if let Some(value) = shown.filter(|_| at_ms >= from_ms) {
                found.push(Span { start_ms: at_ms, min: value, max: value, mean: value });
            }
        }
        found
    }

    /// The minutes within, the one that is not over included.
    #[must_use]
    pub fn minutes(&self, from_ms: i64, to_ms: i64) -> Vec<Span> {
        let closed = self.minutes.from(|minute| minute.span().start_ms < from_ms).map(Packed::span);
        let open = self.minute.span().filter(|open| open.start_ms >= from_ms);
        closed.chain(open).take_while(|minute| minute.start_ms <= to_ms).collect()
    }

    /// The hour that is not over.
    #[must_use]
    pub fn hour(&self) -> Option<Span> {
        self.hour.span()
    }

    /// The minute that is not over.
    #[must_use]
    pub fn minute(&self) -> Option<Span> {
        self.minute.span()
    }
}

fn holds(since: i64, full: bool, oldest: Option<i64>, from_ms: i64) -> bool {
    (!full && since <= from_ms) || oldest.is_some_and(|oldest| oldest <= from_ms)
}

/// Growth per second between two totals; all of the later one when the process behind it began anew.
#[must_use]
pub fn rate(then: (i64, f64), now: (i64, f64)) -> f64 {
    let grown = if now.1 < then.1 { now.1 } else { now.1 - then.1 };
    grown * 1000.0 / (now.0 - then.0).max(1) as f64
}

impl Open {
    /// Takes a value; gives the stretch before it when that ended.
    fn take(&mut self, at_ms: i64, length: i64, value: f64) -> Option<Span> {
        let start_ms = at_ms - at_ms.rem_euclid(length);
        let closed = if start_ms == self.start_ms { None } else { self.span() };
        if start_ms != self.start_ms || self.count == 0 {
            *self = Self { start_ms, min: value, max: value, sum: value, count: 1 };
        } else {
            self.min = self.min.min(value);
            self.max = self.max.max(value);
            self.sum += value;
            self.count += 1;
        }
        closed
    }

    fn take_span(&mut self, minute: Span) -> Option<Span> {
        let closed = self.take(minute.start_ms, HOUR, minute.mean);
        self.min = self.min.min(minute.min);
        self.max = self.max.max(minute.max);
        closed
    }

    fn span(&self) -> Option<Span> {
        let mean = self.sum / f64::from(self.count.max(1));
        (self.count > 0).then_some(Span { start_ms: self.start_ms, min: self.min, max: self.max, mean })
    }
}

impl Packed {
    fn new(span: Span) -> Self {
        Self {
            minute: u32::try_from(span.start_ms / MINUTE).unwrap_or(0),
            below: (span.mean - span.min) as f32,
            above: (span.max - span.mean) as f32,
            mean: span.mean,
        }
    }

    fn span(self) -> Span {
        Span {
            start_ms: i64::from(self.minute) * MINUTE,
            min: self.mean - f64::from(self.below),
            max: self.mean + f64::from(self.above),
            mean: self.mean,
        }
    }
}

/// At most `points` stretches of equal length, each with the least and the most of what it covers: spikes stay.
#[must_use]
pub fn thinned(spans: &[Span], from_ms: i64, step_ms: i64) -> Vec<Span> {
    let mut all: Vec<(Span, f64)> = Vec::new();
    for span in spans {
        let start_ms = from_ms + (span.start_ms - from_ms).div_euclid(step_ms.max(1)) * step_ms.max(1);
        match all.last_mut() {
            Some((last, count)) if last.start_ms == start_ms => {
                last.min = last.min.min(span.min);
                last.max = last.max.max(span.max);
                last.mean += span.mean;
                *count += 1.0;
            }
            _ => all.push((Span { start_ms, ..*span }, 1.0)),
        }
    }
    all.into_iter().map(|(span, count)| Span { mean: span.mean / count, ..span }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_minute_takes_24_bytes() {
        assert_eq!(size_of::<Packed>(), 24);
    }

    #[test]
    fn a_counter_is_kept_as_told_and_shown_as_its_rate() {
        let mut track = Track::new(Kind::Counter, 10, 10, (0, 0));
        for (at, total) in [(0, 100.0), (10_000, 150.0), (20_000, 30.0), (70_000, 80.0)] {
            track.push(at, total);
        }
        let rates: Vec<f64> = track.values(0, 100_000).iter().map(|span| span.mean).collect();
        assert_eq!(rates, [5.0, 3.0, 1.0], "the process began anew at 20 s");
        assert_eq!(track.values(20_000, 20_000)[0].mean, 3.0, "the one before is known");
        let minute = track.minutes(0, 59_999)[0];
        assert_eq!((minute.min, minute.max, minute.mean), (3.0, 5.0, 4.0));
        assert_eq!(track.push(70_000, 90.0), None, "time does not stand still");
    }

    proptest! {
        /// Minutes and hours are what a naive sum over all values says.
        #[test]
        fn minutes_and_hours_are_sums_of_their_values(steps in prop::collection::vec((1i64..90_000, -1e6f64..1e6), 1..300)) {
            let mut track = Track::new(Kind::Gauge, 1000, 1000, (0, 0));
            let (mut at, mut minutes, mut hours, mut all) = (1_700_000_000_000, vec![], vec![], vec![]);
            for (step, value) in steps {
                at += step;
                all.push((at, value));
                let closed = track.push(at, value).unwrap();
                minutes.extend(closed.minute);
                hours.extend(closed.hour);
            }
            for (closed, open, length) in [(minutes.clone(), track.minute(), MINUTE), (hours, track.hour(), HOUR)] {
                for span in closed.into_iter().chain(open) {
                    let within = |at: i64| at - at.rem_euclid(length) == span.start_ms;
                    // An hour is made of the minutes that are over.
                    let over: Vec<&Span> = minutes.iter().filter(|minute| within(minute.start_ms)).collect();
                    let of: Vec<(f64, f64, f64)> = match length {
                        MINUTE => all.iter().filter(|(at, _)| within(*at)).map(|(_, v)| (*v, *v, *v)).collect(),
                        _ => over.iter().map(|minute| (minute.min, minute.max, minute.mean)).collect(),
                    };
                    let mean = of.iter().map(|(.., mean)| mean).sum::<f64>() / of.len() as f64;
                    prop_assert!((span.mean - mean).abs() < 1e-6);
                    prop_assert_eq!(span.min, of.iter().map(|(min, ..)| *min).fold(f64::INFINITY, f64::min));
                    prop_assert_eq!(span.max, of.iter().map(|(_, max, _)| *max).fold(f64::NEG_INFINITY, f64::max));
                }
            }
            // What is kept packed is as good as it was.
            let (low, high) = all.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), (_, v)| (l.min(*v), h.max(*v)));
            let kept = track.minutes(0, i64::MAX);
            let spikes = kept.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), s| (l.min(s.min), h.max(s.max)));
            prop_assert!((spikes.0 - low).abs() < 1.0 && (spikes.1 - high).abs() < 1.0);
            // Thinning keeps the spikes.
            let thin = thinned(&track.values(0, i64::MAX), 1_700_000_000_000, 600_000);
            let spikes = thin.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), s| (l.min(s.min), h.max(s.max)));
            prop_assert_eq!(spikes, (low, high));
        }
    }
}
