//! A table's key: hashing, comparing and writing it down so that the bytes sort as the values do.

use std::{cmp::Ordering, ops::Range};

use crate::{
    columns::Columns,
    kind::{Kind, signed, unsigned},
};

/// The columns of a table and which of them are its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) kinds: Vec<Kind>,
    pub(crate) key: Vec<usize>,
}

/// Rows that stand one behind the other, of one series, with ascending places: hashed and looked up once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(crate) rows: Range<usize>,
    /// Of the series.
    pub(crate) hash: u32,
}

impl Shape {
    /// The key columns that name a series, and the one that places a row within it: the last, where its width is fixed.
    /// A key that ends in text makes each row a series of its own.
    pub(crate) fn split(&self) -> (&[usize], Option<usize>) {
        match self.key.split_last() {
            Some((last, series)) if self.kinds[*last].width().is_some() => (series, Some(*last)),
            _ => (&self.key, None),
        }
    }

    /// Where a row stands in its series, as a number that sorts as the values do.
    pub(crate) fn place(&self, columns: &Columns, row: usize) -> u64 {
        let (_, Some(column)) = self.split() else { return 0 };
        let value = columns.value(column, row);
        if self.kinds[column].is_signed() { (signed(value) as u64) ^ (1 << 63) } else { unsigned(value) }
    }

    /// The column that places a row within its series and the row's value there, where it is a signed number.
    pub(crate) fn signed_place(&self, columns: &Columns, row: usize) -> Option<(usize, i64)> {
        let column = self.split().1.filter(|&column| self.kinds[column].is_signed())?;
        Some((column, signed(columns.value(column, row))))
    }

    pub(crate) fn same_series(&self, a: &Columns, row: usize, b: &Columns, other: usize) -> bool {
        self.split().0.iter().all(|&column| a.value(column, row) == b.value(column, other))
    }

    /// The order of the series that two rows belong to.
    pub(crate) fn compare_series(&self, a: &Columns, row: usize, b: &Columns, other: usize) -> Ordering {
        let order =
            |&column: &usize| self.kinds[column].compare(a.value(column, row), b.value(column, other));
        self.split().0.iter().map(order).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    }

    /// Cuts rows into stretches.
    pub(crate) fn stretches(&self, rows: &Columns) -> Vec<Stretch> {
        let (series, place) = self.split();
        let mut out = Vec::new();
        let mut start = 0;
        while start < rows.len() {
            let end = series.iter().fold(rows.len(), |end, column| rows.run(*column, start..end));
            let hash = self.hash(rows, start);
            let mut cut = |rows| out.push(Stretch { rows, hash });
            match place {
                Some(place) => self.ascents(rows, place, start..end, &mut cut),
                None => (start..end).for_each(|row| cut(row..row + 1)),
            }
            start = end;
        }
        out
    }

    /// Cuts rows of one series where places do not ascend.
    fn ascents(
        &self,
        columns: &Columns,
        place: usize,
        rows: Range<usize>,
        cut: &mut impl FnMut(Range<usize>),
    ) {
        let view = columns.view(place);
        let mut start = rows.start;
        if view.kind.is_signed() && view.kind.width() == Some(8) {
            let places = &view.data.as_chunks::<8>().0[rows.clone()];
            for (at, pair) in places.windows(2).enumerate() {
                if i64::from_le_bytes(pair[1]) <= i64::from_le_bytes(pair[0]) {
                    cut(start..rows.start + at + 1);
                    start = rows.start + at + 1;
                }
            }
        } else {
            for row in rows.start + 1..rows.end {
                if self.place(columns, row) <= self.place(columns, row - 1) {
                    cut(start..row);
                    start = row;
                }
            }
        }
        cut(start..rows.end);
    }

    pub(crate) fn compare(&self, a: &Columns, row: usize, b: &Columns, other: usize) -> Ordering {
        for &column in &self.key {
            let order = self.kinds[column].compare(a.value(column, row), b.value(column, other));
            if order != Ordering::Equal {
                return order;
            }
        }
        Ordering::Equal
    }

    pub(crate) fn same_key(&self, a: &Columns, row: usize, b: &Columns, other: usize) -> bool {
        self.key.iter().all(|&column| a.value(column, row) == b.value(column, other))
    }

    /// A multiply-and-fold hash over the series of a row (the folded multiply of wyhash, Wang Yi 2019).
    fn hash(&self, columns: &Columns, row: usize) -> u32 {
        let mut hash = 0x2545_f491_4f6c_dd1d_u64;
        for &column in self.split().0 {
            let value = columns.value(column, row);
            hash = fold(hash ^ value.len() as u64, 0x9e37_79b9_7f4a_7c15);
            for word in value.chunks(8) {
                hash = fold(hash ^ unsigned(word), 0xa076_1d64_78bd_642f);
            }
        }
        hash as u32
    }

    /// Which of `parts` files, a power of two, a row's series stands in: the low bits of the CRC-32C over the encoded series.
    pub(crate) fn part(&self, columns: &Columns, row: usize, parts: u32) -> u32 {
        if parts <= 1 {
            return 0;
        }
        let mut series = Vec::new();
        for &column in self.split().0 {
            encode_value(self.kinds[column], columns.value(column, row), &mut series);
        }
        crc32c::crc32c(&series) & (parts - 1)
    }

    /// The series part of an encoded key.
    pub(crate) fn series_of<'a>(&self, key: &'a [u8]) -> &'a [u8] {
        let width = self.split().1.and_then(|last| self.kinds[last].width()).unwrap_or(0);
        &key[..key.len().saturating_sub(width)]
    }

    /// The key as bytes that sort as the key does: a zero byte within text is written 00 FF, its end 00 00.
    pub(crate) fn encode(&self, columns: &Columns, row: usize) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode_into(columns, row, &mut out);
        out
    }

    pub(crate) fn encode_into(&self, columns: &Columns, row: usize, out: &mut Vec<u8>) {
        for &column in &self.key {
            encode_value(self.kinds[column], columns.value(column, row), out);
        }
    }
}

pub(crate) fn encode_value(kind: Kind, value: &[u8], out: &mut Vec<u8>) {
    if kind.width().is_none() {
        encode_text(value, out);
        out.extend_from_slice(&[0, 0]);
        return;
    }
    let start = out.len();
    out.extend(value.iter().rev());
    if kind.is_signed()
        && let Some(first) = out.get_mut(start)
    {
        *first ^= 0x80;
    }
}

fn encode_text(value: &[u8], out: &mut Vec<u8>) {
    for &byte in value {
        out.push(byte);
        if byte == 0 {
            out.push(0xff);
        }
    }
}

fn fold(a: u64, b: u64) -> u64 {
    let wide = u128::from(a) * u128::from(b);
    (wide as u64) ^ (wide >> 64) as u64
}
