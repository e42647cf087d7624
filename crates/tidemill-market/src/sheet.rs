//! The rules one row must pass (V1-V6, V12, V15), and the columns of those that did.

use std::borrow::Cow;

use crate::bars::{Bars, Volume};
use crate::checks::{Checks, Provisional};
use crate::date::{DAY_NS, Date, SECOND_NS};
use crate::flags::Flags;
use crate::interval::Interval;
use crate::mapping::Time;
use crate::reading::Quarantined;
use crate::rule::Rule;
use crate::timestamp;
use crate::zone::Zone;

/// Time, open, high, low, close, volume as they stand in the answer, or why one of them does not.
pub(crate) type Cells<'a> = [Result<Cow<'a, str>, &'static str>; 6];

pub(crate) const MISSING: Result<Cow<'static, str>, &'static str> = Err("is missing");
const NAMES: [&str; 6] = ["time", "open", "high", "low", "close", "volume"];

/// Where a row stands; what it means is known to the one who can fetch its bytes.
pub(crate) type Place = (u32, u32);

type Fault = (Rule, String);

/// Collects the rows of one answer.
pub(crate) struct Sheet<'c> {
    checks: &'c Checks,
    interval: Interval,
    time: Time,
    /// Every row is turned away for this.
    reject: Option<Fault>,
    raw: Box<dyn Fn(Place) -> Vec<u8> + 'c>,
    places: Vec<Place>,
    bars: Bars,
    pub(crate) flags: Flags,
    quarantined: Vec<Quarantined>,
    received: u32,
}

/// What a sheet ends as.
pub(crate) struct Accounted {
    pub(crate) bars: Bars,
    pub(crate) quarantined: Vec<Quarantined>,
    pub(crate) duplicates: u32,
    pub(crate) received: u32,
    pub(crate) flags: Flags,
}

struct Row {
    ts: i64,
    prices: [f64; 4],
    volume: Quantity,
}

#[derive(Clone, Copy)]
enum Quantity {
    Whole(i64),
    Fraction(f64),
}

impl<'c> Sheet<'c> {
    pub(crate) fn new(
        symbol: &str,
        interval: Interval,
        time: Time,
        fractional: bool,
        checks: &'c Checks,
        raw: Box<dyn Fn(Place) -> Vec<u8> + 'c>,
    ) -> Self {
        let volume = if fractional { Volume::Fractional(Vec::new()) } else { Volume::Whole(Vec::new()) };
        Self {
            checks,
            interval,
            time,
            reject: None,
            raw,
            places: Vec::new(),
            bars: Bars { symbol: symbol.to_owned(), volume, ..Bars::default() },
            flags: Flags::default(),
            quarantined: Vec::new(),
            received: 0,
        }
    }

    /// Turns away every row that follows.
    pub(crate) fn reject_all(&mut self, rule: Rule, reason: String) {
        self.reject.get_or_insert((rule, reason));
    }

    /// Dates daily bars by another zone than the mapping's.
    pub(crate) fn set_zone(&mut self, zone: Zone) {
        self.time.zone = zone;
    }

    pub(crate) fn received(&self) -> usize {
        self.received as usize
    }

    pub(crate) fn reserve(&mut self, rows: usize) {
        self.places.reserve(rows);
        self.bars.ts_ns.reserve(rows);
        let Bars { open, high, low, close, volume, .. } = &mut self.bars;
        for column in [open, high, low, close] {
            column.reserve(rows);
        }
        match volume {
            Volume::Whole(column) => column.reserve(rows),
            Volume::Fractional(column) => column.reserve(rows),
        }
    }

    /// Takes a row: into the columns, or into quarantine under the first rule it breaks.
    pub(crate) fn push(&mut self, cells: &Cells<'_>, place: Place) {
        self.received += 1;
        let ts = self.read_time(&cells[0]);
        let known = ts.as_ref().ok().copied();
        let row = match &self.reject {
            Some(fault) => Err(fault.clone()),
            None => self.read_row(ts, cells),
        };
        match row {
            Ok(row) => self.keep(&row, place),
            Err((rule, reason)) => self.quarantine(rule, reason, place, known),
        }
    }

    /// Takes a row that has no cells at all.
    pub(crate) fn push_broken(&mut self, reason: &str, place: Place) {
        self.received += 1;
        let (rule, reason) = self.reject.clone().unwrap_or_else(|| (Rule::V15, reason.to_owned()));
        self.quarantine(rule, reason, place, None);
    }

    fn keep(&mut self, row: &Row, place: Place) {
        self.places.push(place);
        self.bars.ts_ns.push(row.ts);
        let Bars { open, high, low, close, volume, .. } = &mut self.bars;
        for (column, price) in [open, high, low, close].into_iter().zip(row.prices) {
            column.push(price);
        }
        match (volume, row.volume) {
            (Volume::Whole(column), Quantity::Whole(n)) => column.push(n),
            (Volume::Fractional(column), Quantity::Fraction(n)) => column.push(n),
            // `read_volume` gives the kind of the column.
            (Volume::Whole(column), Quantity::Fraction(n)) => column.push(n as i64),
            (Volume::Fractional(column), Quantity::Whole(n)) => column.push(n as f64),
        }
    }

    fn quarantine(&mut self, rule: Rule, reason: String, place: Place, ts: Option<i64>) {
        self.quarantined.push(Quarantined { rule, reason, raw: (self.raw)(place), ts });
    }

    fn read_row(&mut self, ts: Result<i64, Fault>, cells: &Cells<'_>) -> Result<Row, Fault> {
        for (cell, name) in cells.iter().zip(NAMES) {
            if let Err(why) = cell {
                return Err((Rule::V15, format!("{name} {why}")));
            }
        }
        let ts = ts?;
        let mut prices = [0.0; 4];
        for (index, price) in prices.iter_mut().enumerate() {
            *price = number(cell(cells, index + 1), NAMES[index + 1])?;
        }
        self.check_prices(prices)?;
        let volume = self.read_volume(cell(cells, 5))?;
        self.check_session(ts)?;
        self.check_finished(ts)?;
        Ok(Row { ts, prices, volume })
    }

    /// V1 and V15.
    fn read_time(&self, cell: &Result<Cow<'_, str>, &'static str>) -> Result<i64, Fault> {
        match cell {
            Ok(text) => timestamp::read(text, self.time, self.interval).map_err(|why| (Rule::V1, why)),
            Err(why) => Err((Rule::V15, format!("time {why}"))),
        }
    }

    /// V3 and V4.
    fn check_prices(&self, [open, high, low, close]: [f64; 4]) -> Result<(), Fault> {
        for (price, name) in [open, high, low, close].into_iter().zip(&NAMES[1..5]) {
            if !price.is_finite() {
                return Err((Rule::V3, format!("{name} {price} is not finite")));
            }
            if price <= 0.0 && !self.checks.negative_prices {
                return Err((Rule::V3, format!("{name} {price} is not positive")));
            }
        }
        // Prices that were stored as 32-bit floats or divided by a split differ in their last digits.
        let slack = self.checks.tick + 1e-9 * high.abs().max(low.abs());
        let (bottom, top) = (open.min(close), open.max(close));
        if low > bottom + slack || top > high + slack || low > high + slack {
            return Err((
                Rule::V4,
                format!("open {open} high {high} low {low} close {close} contradict one another"),
            ));
        }
        Ok(())
    }

    /// V5.
    fn read_volume(&self, text: &str) -> Result<Quantity, Fault> {
        let fractional = matches!(self.bars.volume, Volume::Fractional(_));
        if !fractional && let Ok(whole) = text.parse::<i64>() {
            return if whole >= 0 {
                Ok(Quantity::Whole(whole))
            } else {
                Err((Rule::V5, format!("volume {whole} is negative")))
            };
        }
        let value = number(text, "volume")?;
        if !value.is_finite() || value < 0.0 {
            return Err((Rule::V5, format!("volume {value} is negative or not finite")));
        }
        if fractional {
            return Ok(Quantity::Fraction(value));
        }
        // 642646396.0 is whole; beyond 2^53 a float no longer says.
        if value.fract() != 0.0 || value > 9_007_199_254_740_992.0 {
            return Err((Rule::V5, format!("volume {text} is not whole")));
        }
        Ok(Quantity::Whole(value as i64))
    }

    /// V6.
    fn check_session(&mut self, ts: i64) -> Result<(), Fault> {
        let Some(calendar) = self.checks.calendar else {
            return self.check_grid(ts.rem_euclid(DAY_NS), ts);
        };
        if self.interval.is_daily() {
            return self.check_day(calendar, Date::from_ts_ns(ts));
        }
        let (date, of_day) = calendar.zone().to_local(ts);
        self.check_day(calendar, date)?;
        self.check_grid(of_day, ts)?;
        let minute = of_day / (60 * SECOND_NS);
        let close = calendar.close_minute(date).map_or(0, i64::from);
        if minute < i64::from(calendar.open_minute()) || minute >= close {
            self.flags.add(Rule::V6, Some(ts), || {
                format!("{date} {:02}:{:02} is outside regular hours", minute / 60, minute % 60)
            });
        }
        Ok(())
    }

    fn check_day(&mut self, calendar: crate::calendar::Calendar, date: Date) -> Result<(), Fault> {
        if calendar.is_session(date) {
            return Ok(());
        }
        let reason = || format!("{date} is no session of {}", calendar.name());
        if calendar.is_verified(date) {
            return Err((Rule::V6, reason()));
        }
        self.flags.add(Rule::V6, Some(date.midnight_ns()), || {
            format!("{}, as far as its table is known", reason())
        });
        Ok(())
    }

    fn check_grid(&self, of_day: i64, ts: i64) -> Result<(), Fault> {
        if self.interval.is_daily() || of_day % self.interval.nanos() == 0 || self.is_session_hour(of_day) {
            return Ok(());
        }
        Err((Rule::V6, format!("{ts} ns is not on the grid of {}", self.interval)))
    }

    /// Hourly bars of a market that opens at half past begin at half past.
    fn is_session_hour(&self, of_day: i64) -> bool {
        let open = self.checks.calendar.map(|c| i64::from(c.open_minute()) * 60 * SECOND_NS);
        open.is_some_and(|open| (of_day - open) % self.interval.nanos() == 0)
    }

    /// V12.
    fn check_finished(&mut self, ts: i64) -> Result<(), Fault> {
        let now = self.checks.now_ns;
        if ts < now.saturating_sub(2 * DAY_NS) {
            return Ok(());
        }
        let close = self
            .checks
            .calendar
            .filter(|_| self.interval.is_daily())
            .and_then(|c| c.close_ns(Date::from_ts_ns(ts)));
        let end = close.unwrap_or_else(|| ts.saturating_add(self.interval.nanos()));
        if end <= now {
            return Ok(());
        }
        if ts > now {
            return Err((Rule::V12, "begins in the future".into()));
        }
        if self.checks.provisional == Provisional::Quarantine {
            return Err((Rule::V12, "is not finished".into()));
        }
        self.flags.add(Rule::V12, Some(ts), || "is not finished".into());
        Ok(())
    }

    /// Sorts, settles rows of equal time (V2), and closes the account.
    pub(crate) fn finish(mut self) -> Accounted {
        let mut duplicates = 0;
        let ts = &self.bars.ts_ns;
        if ts.is_sorted_by(|a, b| a < b) {
        } else if ts.is_sorted_by(|a, b| a > b) {
            self.bars.reverse();
        } else {
            duplicates = self.settle();
        }
        Accounted {
            bars: self.bars,
            quarantined: self.quarantined,
            duplicates,
            received: self.received,
            flags: self.flags,
        }
    }

    /// Rows in no strict order: equal rows count once, rows that contradict one another all go.
    fn settle(&mut self) -> u32 {
        let ts = &self.bars.ts_ns;
        if !ts.is_sorted() && !ts.is_sorted_by(|a, b| a >= b) {
            self.flags.add(Rule::V1, None, || "rows stand in no order of time".into());
        }
        let mut order: Vec<u32> = (0..ts.len() as u32).collect();
        order.sort_by_key(|i| ts[*i as usize]);
        let old = std::mem::take(&mut self.bars);
        self.bars = Bars { symbol: old.symbol.clone(), volume: old.volume.none_of_kind(), ..Bars::default() };
        let mut duplicates = 0;
        for group in order.chunk_by(|a, b| old.ts_ns[*a as usize] == old.ts_ns[*b as usize]) {
            let first = group[0] as usize;
            if group.iter().all(|i| old.same(*i as usize, first)) {
                self.bars.push_from(&old, first);
                duplicates += group.len() as u32 - 1;
                continue;
            }
            for index in group {
                let reason = format!("{} rows of this time contradict one another", group.len());
                let place = self.places[*index as usize];
                self.quarantine(Rule::V2, reason, place, Some(old.ts_ns[first]));
            }
        }
        duplicates
    }
}

fn cell<'x>(cells: &'x Cells<'_>, index: usize) -> &'x str {
    cells[index].as_deref().unwrap_or("")
}

/// Exactly what `str::parse::<f64>` reads.
fn number(text: &str, name: &str) -> Result<f64, Fault> {
    text.parse().map_err(|_| {
        let shown: String = text.chars().take(40).collect();
        (Rule::V15, format!("{name} {shown:?} is no number"))
    })
}
