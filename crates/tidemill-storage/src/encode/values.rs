//! The values of one column without its nulls, and how they are written: plain, as differences, or by a dictionary.

use std::{borrow::Cow, ops::Range};

use parquet::{basic::Encoding, errors::Result};

use super::{
    bits::width,
    bounds::{Bounds, Order},
    chunk::{booleans, indexes},
    delta::delta,
    dictionary::{Numbers, alike, dense, texts},
    pack::Packer,
};
use crate::{columns::ColumnView, decimal::scaled, kind::Kind};

/// Values that stand in a row, in the width that Parquet has for them.
pub(crate) struct Values<'a> {
    kind: Kind,
    rows: usize,
    len: usize,
    data: Cow<'a, [u8]>,
    /// Of texts, one more than values.
    offsets: Cow<'a, [i32]>,
    valid: Option<&'a [u8]>,
}

impl<'a> Values<'a> {
    pub(crate) fn new(column: ColumnView<'a>) -> Self {
        let ColumnView { kind, rows, data, offsets, valid } = column;
        let valid = valid.filter(|valid| valid.contains(&0));
        let len = valid.map_or(rows, |valid| valid.iter().filter(|v| **v != 0).count());
        let mut out = Self { kind, rows, len, data: data.into(), offsets: offsets.into(), valid };
        if let Some(valid) = valid {
            out.leave_out(valid);
        }
        if let Some(narrow) = kind.width().filter(|width| *width < 4 && kind != Kind::Bool) {
            let wide = |bytes: &[u8]| match kind.is_signed() {
                true => crate::kind::signed(bytes) as i32,
                false => crate::kind::unsigned(bytes) as i32,
            };
            out.data = out.data.chunks_exact(narrow).flat_map(|bytes| wide(bytes).to_le_bytes()).collect();
        }
        out
    }

    fn leave_out(&mut self, valid: &[u8]) {
        let present = (0..self.rows).filter(|row| valid[*row] != 0);
        let mut data = Vec::with_capacity(self.data.len());
        if let Some(width) = self.kind.width() {
            present.for_each(|row| data.extend_from_slice(&self.data[row * width..(row + 1) * width]));
        } else {
            let mut offsets = vec![0];
            for row in present {
                data.extend_from_slice(
                    &self.data[self.offsets[row] as usize..self.offsets[row + 1] as usize],
                );
                offsets.push(data.len() as i32);
            }
            self.offsets = offsets.into();
        }
        self.data = data.into();
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// Nulls included.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Nulls left out.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn valid(&self) -> Option<&'a [u8]> {
        self.valid
    }

    /// How many of these rows are not null.
    pub(crate) fn present(&self, rows: Range<usize>) -> usize {
        self.valid.map_or(rows.len(), |valid| valid[rows].iter().filter(|v| **v != 0).count())
    }

    /// Bytes of a value in Parquet; none for texts.
    fn width(&self) -> Option<usize> {
        self.kind.width().map(|width| if self.kind == Kind::Bool { 1 } else { width.max(4) })
    }

    fn text(&self, at: usize) -> &[u8] {
        &self.data[self.offsets[at] as usize..self.offsets[at + 1] as usize]
    }

    fn wide(&self, values: Range<usize>) -> impl ExactSizeIterator<Item = u64> + Clone + '_ {
        self.data[values.start * 8..values.end * 8]
            .as_chunks()
            .0
            .iter()
            .map(|bytes| u64::from_le_bytes(*bytes))
    }

    fn narrow(&self, values: Range<usize>) -> impl ExactSizeIterator<Item = u64> + Clone + '_ {
        let bytes = self.data[values.start * 4..values.end * 4].as_chunks().0.iter();
        bytes.map(|bytes| u64::from(u32::from_le_bytes(*bytes)))
    }
}

/// The encoding chosen for one column chunk.
pub(crate) enum Encoded {
    Plain,
    Delta,
    Numbers {
        /// Of each value among those that differ, which ascend.
        places: Vec<u32>,
        values: Vec<u64>,
        /// None of the values is a NaN: the first and last place of a page are its bounds.
        ordered: bool,
        /// Where each stands in the dictionary, when that does not ascend.
        moved: Option<Vec<u32>>,
    },
    Texts {
        places: Vec<u32>,
        firsts: Vec<u32>,
    },
}

/// Values that are looked at before a choice is made.
const SAMPLE: usize = 2048;
/// Where one value of so many is new, the dictionary weighs as much as the indexes: it is ordered to be compressed, and not to make
/// indexes short.
const HEAVY: usize = 4;

impl Encoded {
    /// Chooses: texts by a dictionary while it stays small; integers plain, by their differences or by a dictionary, whichever is the
    /// shortest after compression by a sample; floats by a dictionary where they repeat. `limit` is the longest
    /// dictionary, in bytes.
    pub(crate) fn choose(
        values: &Values<'_>,
        numbers: &mut Numbers,
        packer: &mut Packer,
        limit: usize,
    ) -> Result<Self> {
        Ok(match (values.width(), values.kind.is_float()) {
            (None, _) => {
                let found = texts(values.len, |at| values.text(at), limit.min(values.data.len() / 2 + 64));
                found.map_or(Self::Plain, |(places, firsts)| Self::Texts { places, firsts })
            }
            (Some(8), true) => {
                let packs = packer.packs();
                let found = Self::decimals(|| values.wide(0..values.len), numbers, packs, limit / 8);
                found.unwrap_or_else(|| {
                    Self::floats(values, 8, || values.wide(0..values.len), numbers, packs, limit)
                })
            }
            (Some(4), true) => {
                Self::floats(values, 4, || values.narrow(0..values.len), numbers, packer.packs(), limit)
            }
            (Some(8), false) => {
                Self::integers(values, 8, || values.wide(0..values.len), numbers, packer, limit)?
            }
            (Some(4), false) => {
                Self::integers(values, 4, || values.narrow(0..values.len), numbers, packer, limit)?
            }
            (Some(_), _) => Self::Plain,
        })
    }

    /// Floats that are decimals close to each other.
    fn decimals<I: ExactSizeIterator<Item = u64> + Clone>(
        all: impl Fn() -> I,
        numbers: &mut Numbers,
        packs: bool,
        limit: usize,
    ) -> Option<Self> {
        let count = all().len();
        let (scale, whole) = scaled(all())?;
        let (places, found) = dense(&whole, limit)?;
        let values: Vec<u64> = found.into_iter().map(|number| (number as f64 / scale).to_bits()).collect();
        // A dictionary of values that hardly repeat would only add to them.
        if values.len() > count / 2 + 1 {
            return None;
        }
        let heavy = packs && values.len() > count / HEAVY;
        let moved = if heavy { alike(&values, numbers) } else { None };
        Some(Self::Numbers { places, values, ordered: true, moved })
    }

    fn floats<I: ExactSizeIterator<Item = u64> + Clone>(
        values: &Values<'_>,
        bytes: usize,
        all: impl Fn() -> I,
        numbers: &mut Numbers,
        packs: bool,
        limit: usize,
    ) -> Self {
        let count = values.len;
        let sample = count.min(SAMPLE);
        let begin = || all().take(sample);
        if sample == 0 || numbers.places(begin(), sample - sample / 32).is_none() {
            return Self::Plain;
        }
        let Some(mut places) = numbers.places(all(), (limit / bytes).min(count)) else { return Self::Plain };
        // Plain floats still compress somewhat.
        if cost(numbers.values().len(), bytes, count) >= 0.8 * 8.0 * bytes as f64 {
            return Self::Plain;
        }
        let order = Order::of(values.kind);
        numbers.sort(&mut places, |bits| order.rank(bits));
        let found = numbers.values().to_vec();
        let heavy = packs && bytes == 8 && found.len() > count / HEAVY;
        let moved = if heavy { alike(&found, numbers) } else { None };
        Self::numbers(places, found, order, moved)
    }

    fn integers<I: ExactSizeIterator<Item = u64> + Clone>(
        values: &Values<'_>,
        bytes: usize,
        all: impl Fn() -> I,
        numbers: &mut Numbers,
        packer: &mut Packer,
        limit: usize,
    ) -> Result<Self> {
        let count = values.len;
        let sample = count.min(SAMPLE);
        if sample == 0 {
            return Ok(Self::Delta);
        }
        let begin = || all().take(sample);
        // Bits a value takes without a dictionary.
        let mut tried = |of: Self| -> Result<f64> {
            let mut page = Vec::new();
            of.write(values, 0..sample, &mut page);
            Ok(packer.tried(&page)? as f64 * 8.0 / sample as f64)
        };
        let (plain, differences) = (tried(Self::Plain)?, tried(Self::Delta)?);
        let bits = plain.min(differences);
        // Differences of noise are no shorter than the noise, and those of 64 bits trip arrow2.
        let noise = differences + 4.0 > 8.0 * bytes as f64 && count > SAMPLE / 16;
        // Compressing plain numbers costs more than packing their differences.
        let otherwise = if noise || plain < 0.97 * differences { Self::Plain } else { Self::Delta };
        let some = numbers.places(begin(), sample / 4).is_some();
        if !some || f64::from(width(numbers.values().len() as u64)) >= bits {
            return Ok(otherwise);
        }
        let Some(mut places) = numbers.places(all(), (limit / bytes).min(count)) else {
            return Ok(otherwise);
        };
        if cost(numbers.values().len(), bytes, count) >= bits {
            return Ok(otherwise);
        }
        let order = Order::of(values.kind);
        numbers.sort(&mut places, |bits| order.rank(bits));
        Ok(Self::numbers(places, numbers.values().to_vec(), order, None))
    }

    fn numbers(places: Vec<u32>, values: Vec<u64>, order: Order, moved: Option<Vec<u32>>) -> Self {
        let nan = |bits: &u64| order.span(std::iter::once(*bits)).is_none();
        let ordered = !values.first().is_some_and(nan) && !values.last().is_some_and(nan);
        Self::Numbers { places, values, ordered, moved }
    }

    pub(crate) fn encoding(&self) -> Encoding {
        match self {
            Self::Plain => Encoding::PLAIN,
            Self::Delta => Encoding::DELTA_BINARY_PACKED,
            Self::Numbers { .. } | Self::Texts { .. } => Encoding::RLE_DICTIONARY,
        }
    }

    /// The dictionary page and how many values it holds.
    pub(crate) fn dictionary(&self, of: &Values<'_>) -> Option<(Vec<u8>, u32)> {
        match self {
            Self::Plain | Self::Delta => None,
            Self::Numbers { values, moved, .. } => {
                let width = of.width().unwrap_or(8);
                let mut out = vec![0; values.len() * width];
                for (place, value) in values.iter().enumerate() {
                    let at = moved.as_ref().map_or(place, |moved| moved[place] as usize) * width;
                    out[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
                }
                Some((out, values.len() as u32))
            }
            Self::Texts { firsts, .. } => {
                let mut out = Vec::new();
                firsts.iter().for_each(|first| plain_text(of.text(*first as usize), &mut out));
                Some((out, firsts.len() as u32))
            }
        }
    }

    /// How many values from this one on may fit a page; texts may be longer than thought.
    pub(crate) fn rows_within(&self, of: &Values<'_>, from: usize, bytes: usize) -> usize {
        match (self, of.width()) {
            (Self::Numbers { .. } | Self::Texts { .. }, _) => bytes / 4,
            (_, Some(1)) => bytes * 8,
            (_, Some(width)) => bytes / width,
            (_, None) => bytes / 4 + usize::from(from == of.len),
        }
    }

    /// Bytes that these values take in a page, at most.
    pub(crate) fn bytes(&self, of: &Values<'_>, values: Range<usize>) -> usize {
        match (self, of.width()) {
            (Self::Numbers { .. } | Self::Texts { .. }, _) => values.len() * 4,
            (_, Some(1)) => values.len().div_ceil(8),
            (_, Some(width)) => values.len() * width,
            (_, None) => (of.offsets[values.end] - of.offsets[values.start]) as usize + 4 * values.len(),
        }
    }

    /// Adds these values to a page.
    pub(crate) fn write(&self, of: &Values<'_>, values: Range<usize>, out: &mut Vec<u8>) {
        match (self, of.width()) {
            (Self::Numbers { places, moved: Some(moved), .. }, _) => {
                let places: Vec<u32> = places[values].iter().map(|place| moved[*place as usize]).collect();
                indexes(&places, out);
            }
            (Self::Numbers { places, .. } | Self::Texts { places, .. }, _) => indexes(&places[values], out),
            (Self::Delta, Some(4)) => delta(of.narrow(values), 4, out),
            (Self::Delta, _) => delta(of.wide(values), 8, out),
            (Self::Plain, Some(1)) => booleans(&of.data[values], out),
            (Self::Plain, Some(width)) => {
                out.extend_from_slice(&of.data[values.start * width..values.end * width]);
            }
            (Self::Plain, None) => values.for_each(|at| plain_text(of.text(at), out)),
        }
    }

    /// The bounds of these values; none when there are none or they cannot be told.
    pub(crate) fn bounds(&self, of: &Values<'_>, values: Range<usize>) -> Option<Bounds> {
        if values.is_empty() {
            return None;
        }
        let order = Order::of(of.kind);
        let width = of.width();
        if let Self::Numbers { places, values: found, ordered: true, .. } = self {
            let fold = |(low, high): (u32, u32), place: &u32| (low.min(*place), high.max(*place));
            let (low, high) = places[values].iter().fold((u32::MAX, 0), fold);
            let rank = |place: u32| order.rank(found[place as usize]);
            return Some(Bounds::of_numbers(order, (rank(low), rank(high)), width?));
        }
        match width {
            Some(8) => Some(Bounds::of_numbers(order, order.span(of.wide(values))?, 8)),
            Some(4) => Some(Bounds::of_numbers(order, order.span(of.narrow(values))?, 4)),
            Some(_) => {
                let bits = of.data[values].iter().map(|value| u64::from(*value & 1));
                Some(Bounds::of_numbers(Order::Unsigned, Order::Unsigned.span(bits)?, 1))
            }
            None => {
                let (mut low, mut high) = (of.text(values.start), of.text(values.start));
                let mut last = None;
                for at in values {
                    let place = if let Self::Texts { places, .. } = self { Some(places[at]) } else { None };
                    if place.is_some() && place == last {
                        continue;
                    }
                    last = place;
                    low = low.min(of.text(at));
                    high = high.max(of.text(at));
                }
                Bounds::of_texts(low, high, of.kind == Kind::Text)
            }
        }
    }
}

/// Bits a value takes by a dictionary of so many that differ.
fn cost(distinct: usize, bytes: usize, count: usize) -> f64 {
    f64::from(width(distinct as u64 - 1)) + 8.0 * (distinct * bytes) as f64 / count as f64
}

fn plain_text(text: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(text.len() as u32).to_le_bytes());
    out.extend_from_slice(text);
}
