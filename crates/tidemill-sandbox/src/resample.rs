//! Any number of further symbols, resampled from the real ones.
//!
//! A moving-block bootstrap (Kuensch 1989) that runs backwards from the newest session, so that the last hundred bars
//! are the same whether a hundred are asked for or all. Each block is [`BLOCK`] consecutive real rows of one base series,
//! all scaled by one factor chosen so that the block's last close meets the close from which the next block started;
//! so shapes of days, runs of volatility and volumes within a block are real, and only the seams are not. Rounding to
//! cents is monotone, so low <= min(open, close) <= max(open, close) <= high holds as it does in the real rows. Blocks
//! that contain a split are not drawn. The dates are those of the real series.

use crate::bundle::RealSeries;
use crate::random::{Purpose, below, bits, unit};
use crate::series::Row;

/// Sessions in a block: about a month.
pub(crate) const BLOCK: usize = 20;
/// A day beyond this ratio, either way, is taken for a split.
const JUMP: f64 = 1.6;
/// Outside of these prices, in ticks, the block is chosen that leads back best.
const CALM: std::ops::Range<f64> = 60_000.0..4_000_000.0;
const CANDIDATES: u64 = 8;
/// Ticks of 10^-4 in a cent.
const CENT: f64 = 100.0;

/// A base series and where blocks of it may begin.
#[derive(Clone, Debug)]
pub(crate) struct Base {
    rows: Vec<Row>,
    starts: Vec<u16>,
}

impl Base {
    /// A base from a series with prices in ticks of 10^-4; `None` when it has no block.
    pub(crate) fn new(series: &RealSeries) -> Option<Self> {
        let rows = series.rows.clone();
        let jumps = |pair: &[Row]| {
            let ratio = f64::from(pair[1].close) / f64::from(pair[0].close);
            !(1.0 / JUMP..=JUMP).contains(&ratio)
        };
        // A block reads the close before its first row too.
        let starts = (1..=rows.len().checked_sub(BLOCK)?)
            .filter(|&start| !rows[start - 1..start + BLOCK].windows(2).any(jumps))
            .filter_map(|start| u16::try_from(start).ok())
            .collect::<Vec<_>>();
        (series.decimals == Resampled::DECIMALS && !starts.is_empty()).then_some(Self { rows, starts })
    }
}

/// An endless-looking series, newest row first.
#[derive(Clone, Debug)]
pub(crate) struct Resampled<'a> {
    base: &'a Base,
    /// The sessions not yet given out, oldest first.
    days: &'a [i32],
    seed: u64,
    symbol: u64,
    /// Blocks drawn so far.
    blocks: u64,
    /// The close that the next block has to end with, in ticks.
    close: f64,
    factor: f64,
    volume_factor: f64,
    /// Row of the base one past the next to give out, and the first row of its block.
    next: usize,
    start: usize,
}

impl<'a> Resampled<'a> {
    /// Prices are in ticks of 10^-4 and whole cents.
    pub(crate) const DECIMALS: u8 = 4;

    /// The series of the `symbol`-th symbol over the last of `days`.
    pub(crate) fn new(bases: &'a [Base], days: &'a [i32], seed: u64, symbol: u64) -> Option<Self> {
        let draw = |lane| bits(seed, Purpose::Series, symbol, lane);
        let base = bases.get(below(draw(0), bases.len()))?;
        // Listed for between two years and the whole span.
        let shortest = days.len().min(504);
        let length = shortest + below(draw(1), days.len() - shortest + 1);
        Some(Self {
            base,
            days: &days[days.len() - length..],
            seed,
            symbol,
            blocks: 0,
            close: (500.0 + unit(draw(2)) * 29_500.0).round() * CENT,
            factor: 1.0,
            volume_factor: 0.02 + unit(draw(3)),
            next: 0,
            start: 0,
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.days.len()
    }

    fn next_block(&mut self) {
        let rows = &self.base.rows;
        let gain = |start: usize| f64::from(rows[start + BLOCK - 1].close) / f64::from(rows[start - 1].close);
        let candidate = |lane| {
            let index = self.blocks << 32 | self.symbol;
            let drawn = below(bits(self.seed, Purpose::Block, index, lane), self.base.starts.len());
            usize::from(self.base.starts[drawn])
        };
        let mut start = candidate(0);
        if !CALM.contains(&self.close) {
            for other in (1..CANDIDATES).map(candidate) {
                // Going back in time a gain leads down.
                let better = if self.close < CALM.start {
                    gain(other) < gain(start)
                } else {
                    gain(other) > gain(start)
                };
                if better {
                    start = other;
                }
            }
        }
        (self.start, self.next) = (start, start + BLOCK);
        self.factor = self.close / f64::from(rows[self.next - 1].close);
        self.close = f64::from(rows[start - 1].close) * self.factor;
        self.blocks += 1;
    }
}

impl Iterator for Resampled<'_> {
    type Item = Row;

    fn next(&mut self) -> Option<Row> {
        let (&day, days) = self.days.split_last()?;
        self.days = days;
        if self.next == self.start {
            self.next_block();
        }
        self.next -= 1;
        let row = self.base.rows[self.next];
        let price = |ticks: u32| ((f64::from(ticks) * self.factor / CENT).round().max(1.0) * CENT) as u32;
        Some(Row {
            day,
            open: price(row.open),
            high: price(row.high),
            low: price(row.low),
            close: price(row.close),
            volume: (row.volume as f64 * self.volume_factor / 100.0).round() as u64 * 100,
        })
    }
}
