//! What the store promises, checked against a model, on a simulated disk and on the real one.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod allocations;
mod basics;
mod codecs;
mod crash;
mod damage;
mod decimals;
mod decoder;
mod encoding;
mod full;
mod histories;
mod load;
mod model;
mod narrow;
mod parts;
mod readers;
mod reads;
mod remote;
mod repairs;
mod revisions;
mod slow;

use std::{collections::BTreeMap, sync::Arc};

use tidemill_storage::{
    Partition, TableSpec,
    arrow::{
        arrow_array::{
            Array, Decimal64Array, Float64Array, Int64Array, RecordBatch, StringArray,
            TimestampNanosecondArray,
            cast::AsArray,
            types::{Decimal64Type, Decimal128Type, Float64Type, Int64Type, TimestampNanosecondType},
        },
        arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit},
    },
};

/// So many of something, or all of it where `TIDEMILL_TEST_FULL` is set.
pub(crate) fn rounds(some: usize, all: usize) -> usize {
    if std::env::var_os("TIDEMILL_TEST_FULL").is_some() { all } else { some }
}

pub(crate) const DAY: i64 = 86_400_000_000_000;

/// (symbol, day since 1970) to (close, volume).
pub(crate) type Rows = BTreeMap<(String, i64), (u64, Option<i64>)>;

pub(crate) fn bars_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("symbol", DataType::Utf8, false),
        Field::new("ts", DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())), false),
        Field::new("close", DataType::Float64, false),
        Field::new("volume", DataType::Int64, true),
        Field::new("cost", DataType::Decimal64(18, 2), true),
    ]))
}

/// What the decimal of a bar must be, so that every test of bars is one of decimals too: null where the volume is.
fn cost(close: f64, volume: Option<i64>) -> Option<i64> {
    volume.map(|volume| (close.to_bits() as i64 >> 8).wrapping_sub(volume) % 1_000_000_000_000_000_000)
}

pub(crate) fn bars() -> TableSpec {
    TableSpec::new("us_daily", bars_schema(), ["symbol", "ts"])
        .partition(Partition::Year { column: "ts".into() })
}

pub(crate) fn ledger() -> TableSpec {
    let schema = Schema::new(vec![
        Field::new("symbol", DataType::Utf8, false),
        Field::new("done", DataType::Int64, false),
    ]);
    TableSpec::new("ledger", Arc::new(schema), ["symbol"])
}

pub(crate) fn bar(symbol: &str, day: i64, close: f64, volume: Option<i64>) -> RecordBatch {
    bars_of([(symbol.to_owned(), day, close, volume)])
}

pub(crate) fn bars_of(rows: impl IntoIterator<Item = (String, i64, f64, Option<i64>)>) -> RecordBatch {
    let rows: Vec<_> = rows.into_iter().collect();
    let symbols = StringArray::from_iter_values(rows.iter().map(|row| &row.0));
    let ts =
        TimestampNanosecondArray::from_iter_values(rows.iter().map(|row| row.1 * DAY)).with_timezone("UTC");
    let close = Float64Array::from_iter_values(rows.iter().map(|row| row.2));
    let volume = Int64Array::from_iter(rows.iter().map(|row| row.3));
    let cost = Decimal64Array::from_iter(rows.iter().map(|row| cost(row.2, row.3)));
    let cost = cost.with_precision_and_scale(18, 2).unwrap();
    let columns: Vec<Arc<dyn Array>> =
        vec![Arc::new(symbols), Arc::new(ts), Arc::new(close), Arc::new(volume), Arc::new(cost)];
    RecordBatch::try_new(bars_schema(), columns).unwrap()
}

pub(crate) fn ledger_row(symbol: &str, done: i64) -> RecordBatch {
    let columns: Vec<Arc<dyn Array>> =
        vec![Arc::new(StringArray::from(vec![symbol])), Arc::new(Int64Array::from(vec![done]))];
    RecordBatch::try_new(ledger().schema, columns).unwrap()
}

/// Collects bars; the second answer counts rows whose key came twice or out of order within a folder.
pub(crate) fn collect<E: std::fmt::Debug>(
    batches: impl IntoIterator<Item = Result<RecordBatch, E>>,
) -> (Rows, usize) {
    let (mut rows, mut doubled) = (Rows::new(), 0);
    for batch in batches {
        let batch = batch.unwrap();
        let symbol = batch.column(0).as_string::<i32>();
        let ts = batch.column(1).as_primitive::<TimestampNanosecondType>();
        let close = batch.column(2).as_primitive::<Float64Type>();
        let volume = batch.column(3).as_primitive::<Int64Type>();
        let decimals = batch.column(4);
        // The plain Parquet reader takes 128 bits for them.
        let decimals: Vec<_> = match decimals.as_primitive_opt::<Decimal128Type>() {
            Some(wide) => wide.iter().map(|cost| cost.map(|cost| cost as i64)).collect(),
            None => decimals.as_primitive::<Decimal64Type>().iter().collect(),
        };
        for (at, decimal) in decimals.into_iter().enumerate() {
            let volume = volume.is_valid(at).then(|| volume.value(at));
            assert_eq!(decimal, cost(close.value(at), volume), "row {at}");
            let key = (symbol.value(at).to_owned(), ts.value(at) / DAY);
            doubled += usize::from(rows.insert(key, (close.value(at).to_bits(), volume)).is_some());
        }
    }
    (rows, doubled)
}
