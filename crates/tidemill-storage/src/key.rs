//! A table's key: hashing, comparing and writing it down so that the bytes sort as the values do.

use std::cmp::Ordering;

use crate::{columns::Columns, kind::Kind};

/// The columns of a table and which of them are its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) kinds: Vec<Kind>,
    pub(crate) key: Vec<usize>,
}

impl Shape {
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

    /// A multiply-and-fold hash over the key's values (the folded multiply of wyhash, Wang Yi 2019).
    pub(crate) fn hash(&self, columns: &Columns, row: usize) -> u64 {
        let mut hash = 0x2545_f491_4f6c_dd1d_u64;
        for &column in &self.key {
            let value = columns.value(column, row);
            hash = fold(hash ^ value.len() as u64, 0x9e37_79b9_7f4a_7c15);
            for word in value.chunks(8) {
                hash = fold(hash ^ crate::kind::unsigned(word), 0xa076_1d64_78bd_642f);
            }
        }
        hash
    }

    /// The key as bytes that sort as the key does: a zero byte within text is written 00 FF, its end 00 00.
    pub(crate) fn encode(&self, columns: &Columns, row: usize) -> Vec<u8> {
        let mut out = Vec::new();
        for &column in &self.key {
            encode_value(self.kinds[column], columns.value(column, row), &mut out);
        }
        out
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
