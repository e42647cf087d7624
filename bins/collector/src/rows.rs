//! Bars and quarantined rows as the tables that readers see.

use std::sync::Arc;
use std::time::SystemTime;

use anyhow::Result;
use tidemill_market::{Bars, Quarantined, Volume};
use tidemill_storage::arrow::arrow_array::{
    Array as _, ArrayRef, BinaryArray, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampNanosecondArray,
};
use tidemill_storage::arrow::arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use tidemill_storage::{Partition, TableSpec};

use crate::config::Dataset;
use crate::ledger::nanos;

/// Name of the table that keeps what broke a rule.
pub const QUARANTINE: &str = "quarantine";

/// Rule id of an answer that was unreadable as a whole.
pub const UNREADABLE: &str = "answer";

/// Bytes kept of one quarantined row; longer ones are cut, and the reason says so.
const RAW_MAX: usize = 64 << 10;

/// The table of a dataset of bars: key (symbol, ts), a folder a year for daily bars and a day for shorter ones.
pub fn bars_table(dataset: &Dataset, daily: bool) -> TableSpec {
    let partition =
        if daily { Partition::Year { column: "ts".into() } } else { Partition::Day { column: "ts".into() } };
    TableSpec::new(&dataset.name, bars_schema(dataset.fractional_volume), ["symbol", "ts"])
        .partition(partition)
}

/// Columns of a dataset of bars.
fn bars_schema(fractional_volume: bool) -> SchemaRef {
    let volume = if fractional_volume { DataType::Float64 } else { DataType::Int64 };
    let price = |name| Field::new(name, DataType::Float64, false);
    Arc::new(Schema::new(vec![
        Field::new("symbol", DataType::Utf8, false),
        Field::new("ts", utc(), false),
        price("open"),
        price("high"),
        price("low"),
        price("close"),
        Field::new("volume", volume, false),
    ]))
}

/// Bars as a batch of [`bars_table`]'s columns; the columns are moved, not copied.
pub fn bars_batch(schema: &SchemaRef, bars: Bars) -> Result<RecordBatch> {
    let rows = bars.len();
    let volume: ArrayRef = match (bars.volume, schema.field(6).data_type()) {
        (Volume::Whole(v), DataType::Int64) => Arc::new(Int64Array::from(v)),
        (Volume::Fractional(v), DataType::Float64) => Arc::new(Float64Array::from(v)),
        (Volume::Whole(v), _) => Arc::new(Float64Array::from_iter_values(v.into_iter().map(|n| n as f64))),
        (Volume::Fractional(_), _) => {
            anyhow::bail!("volumes have fractions; set fractional_volume = true for this dataset")
        }
    };
    let symbols = StringArray::from_iter_values(std::iter::repeat_n(bars.symbol.as_str(), rows));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(symbols),
        Arc::new(TimestampNanosecondArray::from(bars.ts_ns).with_timezone("UTC")),
        Arc::new(Float64Array::from(bars.open)),
        Arc::new(Float64Array::from(bars.high)),
        Arc::new(Float64Array::from(bars.low)),
        Arc::new(Float64Array::from(bars.close)),
        volume,
    ];
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}

/// The table of quarantined rows: key (dataset, symbol, received_at, ordinal), so nothing is ever overwritten.
pub fn quarantine_table() -> TableSpec {
    TableSpec::new(QUARANTINE, quarantine_schema(), ["dataset", "symbol", "received_at", "ordinal"])
}

/// Quarantined rows of one answer.
pub fn quarantine_batch(
    dataset: &str,
    symbol: &str,
    at: SystemTime,
    rows: &[Quarantined],
) -> Result<RecordBatch> {
    let text = |value: &str| {
        Arc::new(StringArray::from_iter_values(std::iter::repeat_n(value, rows.len()))) as ArrayRef
    };
    let rules = StringArray::from_iter_values(rows.iter().map(|q| q.rule.id()));
    let reasons = StringArray::from_iter_values(rows.iter().map(|q| q.reason.as_str()));
    let raw = BinaryArray::from_iter_values(rows.iter().map(|q| &q.raw[..q.raw.len().min(RAW_MAX)]));
    let ts: TimestampNanosecondArray = rows.iter().map(|q| q.ts).collect();
    finish_quarantine(text(dataset), text(symbol), at, rules, reasons, raw, ts)
}

/// An answer that was unreadable as a whole, kept as one row without a time.
pub fn unreadable_batch(
    dataset: &str,
    symbol: &str,
    at: SystemTime,
    reason: &str,
    body: &[u8],
) -> Result<RecordBatch> {
    let one = |value: &str| Arc::new(StringArray::from(vec![value])) as ArrayRef;
    let raw = BinaryArray::from_iter_values([&body[..body.len().min(RAW_MAX)]]);
    let ts = TimestampNanosecondArray::from(vec![None::<i64>]);
    let (rules, reasons) = (StringArray::from(vec![UNREADABLE]), StringArray::from(vec![reason]));
    finish_quarantine(one(dataset), one(symbol), at, rules, reasons, raw, ts)
}

fn finish_quarantine(
    dataset: ArrayRef,
    symbol: ArrayRef,
    at: SystemTime,
    rules: StringArray,
    reasons: StringArray,
    raw: BinaryArray,
    ts: TimestampNanosecondArray,
) -> Result<RecordBatch> {
    let rows = rules.len();
    let at =
        TimestampNanosecondArray::from_iter_values(std::iter::repeat_n(nanos(at), rows)).with_timezone("UTC");
    let ordinal = Int64Array::from_iter_values(0..rows as i64);
    let columns: Vec<ArrayRef> = vec![
        dataset,
        symbol,
        Arc::new(at),
        Arc::new(ordinal),
        Arc::new(rules),
        Arc::new(reasons),
        Arc::new(raw),
        Arc::new(ts.with_timezone("UTC")),
    ];
    Ok(RecordBatch::try_new(quarantine_schema(), columns)?)
}

fn quarantine_schema() -> SchemaRef {
    let text = |name| Field::new(name, DataType::Utf8, false);
    Arc::new(Schema::new(vec![
        text("dataset"),
        text("symbol"),
        Field::new("received_at", utc(), false),
        Field::new("ordinal", DataType::Int64, false),
        text("rule"),
        text("reason"),
        Field::new("raw", DataType::Binary, false),
        Field::new("ts", utc(), true),
    ]))
}

fn utc() -> DataType {
    DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()))
}
