//! The payload of a journal frame: rows of several tables with the counts of the batches they came in.

use std::sync::Arc;

use crate::{columns::Columns, memtable::Memtable, table::Table};

const VERSION: u8 = 1;

/// Begins a payload.
pub(crate) fn begin(out: &mut Vec<u8>) {
    out.clear();
    out.push(VERSION);
}

/// Adds the rows that one batch brought; `start` is where they begin in the memtable.
pub(crate) fn section(
    out: &mut Vec<u8>,
    table: &Table,
    memtable: &Memtable,
    start: u32,
    received: u64,
    duplicate: u64,
) {
    out.push(table.name.len() as u8);
    out.extend_from_slice(table.name.as_bytes());
    out.extend_from_slice(&table.print.to_le_bytes());
    out.extend_from_slice(&(received as u32).to_le_bytes());
    out.extend_from_slice(&(duplicate as u32).to_le_bytes());
    let pieces: Vec<_> = memtable.pieces(start).collect();
    out.extend_from_slice(&(pieces.len() as u32).to_le_bytes());
    for (columns, rows) in pieces {
        columns.encode(rows, out);
    }
}

/// Why a payload was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum RecordError {
    #[error("payload version {0} is not known to this program")]
    Version(u8),
    #[error("the payload is no record of rows")]
    Malformed,
    #[error("rows of table {0} were journaled, which is not declared; open with its declaration and publish")]
    UnknownTable(String),
    #[error("rows of table {0} were journaled under another schema; open with that schema and publish first")]
    OtherSchema(String),
}

/// Hands the rows of each section to `apply`.
pub(crate) fn replay(
    payload: &[u8],
    tables: &[Arc<Table>],
    apply: &mut dyn FnMut(usize, Columns),
) -> Result<(), RecordError> {
    let (version, mut bytes) = payload.split_first().ok_or(RecordError::Malformed)?;
    if *version != VERSION {
        return Err(RecordError::Version(*version));
    }
    while !bytes.is_empty() {
        let (name, print, pieces) = header(&mut bytes).ok_or(RecordError::Malformed)?;
        let at = tables.iter().position(|table| table.name == name);
        let at = at.ok_or_else(|| RecordError::UnknownTable(name.clone()))?;
        if tables[at].print != print {
            return Err(RecordError::OtherSchema(name));
        }
        for _ in 0..pieces {
            let rows = Columns::decode(&tables[at].shape.kinds, &mut bytes).ok_or(RecordError::Malformed)?;
            apply(at, rows);
        }
    }
    Ok(())
}

fn header(bytes: &mut &[u8]) -> Option<(String, u32, u32)> {
    let (len, rest) = bytes.split_first()?;
    let (name, rest) = rest.split_at_checked(*len as usize)?;
    let (numbers, rest) = rest.split_at_checked(16)?;
    *bytes = rest;
    let number = |at: usize| crate::kind::unsigned(&numbers[at..at + 4]) as u32;
    Some((std::str::from_utf8(name).ok()?.to_owned(), number(0), number(12)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{TableSpec, kind::Kind};

    fn table() -> Arc<Table> {
        let kinds = [Kind::Text, Kind::Time(arrow_schema::TimeUnit::Nanosecond, true), Kind::F64, Kind::Bool];
        let fields = kinds.iter().zip(["symbol", "ts", "close", "late"]);
        let fields: Vec<_> =
            fields.map(|(kind, name)| arrow_schema::Field::new(name, kind.data_type(), true)).collect();
        let spec = TableSpec::new("bars", Arc::new(arrow_schema::Schema::new(fields)), ["symbol", "ts"]);
        Arc::new(Table::bind(&spec).unwrap())
    }

    fn payload(table: &Arc<Table>) -> Vec<u8> {
        let columns: Vec<arrow_array::ArrayRef> = vec![
            Arc::new(arrow_array::StringArray::from(vec!["A", "BB"])),
            Arc::new(arrow_array::TimestampNanosecondArray::from(vec![1, 2]).with_timezone("UTC")),
            Arc::new(arrow_array::Float64Array::from(vec![Some(1.5), None])),
            Arc::new(arrow_array::BooleanArray::from(vec![true, false])),
        ];
        let batch = arrow_array::RecordBatch::try_new(table.schema.clone(), columns).unwrap();
        let rows = table.stage(&batch).unwrap();
        let mut memtable = Memtable::new(table.clone());
        memtable.append_all(&rows);
        let mut out = Vec::new();
        begin(&mut out);
        section(&mut out, table, &memtable, 0, 3, 1);
        out
    }

    #[test]
    fn version_1_is_written_as_it_always_was_and_read_back() {
        let table = table();
        let bytes = payload(&table);
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, include_str!("../tests/golden/payload-v1.hex").trim());
        let mut seen = Vec::new();
        replay(&bytes, std::slice::from_ref(&table), &mut |at, rows| {
            let batch = rows.into_batch(table.schema.clone()).unwrap();
            seen.push((at, batch));
        })
        .unwrap();
        assert_eq!((seen.len(), seen[0].0, seen[0].1.num_rows()), (1, 0, 2));
        assert_eq!(seen[0].1.column(2).null_count(), 1);
    }

    proptest! {
        #[test]
        fn mutated_payloads_never_panic(flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
            let table = table();
            let mut bytes = payload(&table);
            for (at, to) in flips {
                let at = at.index(bytes.len());
                bytes[at] = to;
            }
            drop(replay(&bytes, std::slice::from_ref(&table), &mut |_, rows| drop(rows.into_batch(table.schema.clone()))));
        }
    }
}
