//! A sum over rows that does not depend on their order: equal before and after a file is rewritten, or something was lost.

use crate::columns::Columns;

/// How many rows, and the sum of their 64-bit hashes. Every single row lost, doubled or changed changes it, but for one chance
/// in 2^64.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Multiset {
    rows: u64,
    sum: u64,
}

impl Multiset {
    pub(crate) fn add(&mut self, rows: &Columns) {
        for row in 0..rows.len() {
            self.sum = self.sum.wrapping_add(hash(rows, row));
        }
        self.rows += rows.len() as u64;
    }
}

/// FNV-1a's idea, eight bytes at a step, with the folded multiply of wyhash (Wang Yi 2019).
fn hash(rows: &Columns, row: usize) -> u64 {
    let mut hash = 0x2545_f491_4f6c_dd1d_u64;
    for column in 0..rows.width() {
        let value = rows.value(column, row);
        hash = fold(
            hash ^ (value.len() as u64) << 1 ^ u64::from(rows.is_null(column, row)),
            0x9e37_79b9_7f4a_7c15,
        );
        for word in value.chunks(8) {
            hash = fold(hash ^ crate::kind::unsigned(word), 0xa076_1d64_78bd_642f);
        }
    }
    fold(hash, 0xe703_7ed1_a0b4_28db)
}

fn fold(a: u64, b: u64) -> u64 {
    let wide = u128::from(a) * u128::from(b);
    (wide as u64) ^ (wide >> 64) as u64
}

#[cfg(test)]
mod tests {
    use arrow_array::{Float64Array, RecordBatch, StringArray};
    use std::sync::Arc;

    use super::*;
    use crate::kind::Kind;

    fn of(rows: &[(&str, Option<f64>)]) -> Multiset {
        let names = StringArray::from_iter_values(rows.iter().map(|row| row.0));
        let values = Float64Array::from_iter(rows.iter().map(|row| row.1));
        let batch =
            RecordBatch::try_from_iter([("a", Arc::new(names) as _), ("b", Arc::new(values) as _)]).unwrap();
        let mut sum = Multiset::default();
        sum.add(&Columns::from_batch(&[Kind::Text, Kind::F64], &batch));
        sum
    }

    #[test]
    fn order_does_not_matter_and_everything_else_does() {
        let rows = [("A", Some(1.0)), ("B", None), ("A", Some(1.0)), ("", Some(0.0))];
        let mut turned = rows;
        turned.reverse();
        assert_eq!(of(&rows), of(&turned));
        for at in 0..rows.len() {
            let mut other = rows;
            other[at].1 = Some(7.0);
            assert_ne!(of(&rows), of(&other));
        }
        assert_ne!(of(&rows), of(&rows[..3]));
        assert_ne!(of(&[("", None)]), of(&[("", Some(0.0))]), "a null is no zero");
    }
}
