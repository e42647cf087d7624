//! Ten cycles of writing rows durably, publishing them as Parquet, and reading them back.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use tidemill_storage::arrow::arrow_array::{
    Float64Array, RecordBatch, StringArray, TimestampNanosecondArray,
};
use tidemill_storage::arrow::arrow_schema::{DataType, Field, Schema, TimeUnit};
use tidemill_storage::{Changes, Config, Scan, Store, TableSpec};

use super::figure::{Figure, Part};
use crate::statistics::sample::Five;

const CYCLES: usize = 10;
const ROWS: usize = 5000;

pub(super) fn part() -> Result<Part> {
    let folder = tempfile::tempdir().context("no folder to write into")?;
    let schema = Arc::new(Schema::new(vec![
        Field::new("symbol", DataType::Utf8, false),
        Field::new("ts", DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())), false),
        Field::new("value", DataType::Float64, false),
    ]));
    let (mut writes, mut publishes, mut reads, mut size) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for cycle in 0..CYCLES {
        let table = TableSpec::new("rows", schema.clone(), ["symbol", "ts"]);
        let store =
            Store::builder(Config::default()).table(table).open(&folder.path().join(cycle.to_string()))?;
        let batch = batch(&schema)?;
        size = batch.get_array_memory_size();
        let begun = Instant::now();
        store.commit(Changes::new().upsert("rows", batch))?;
        let durable = begun.elapsed().as_secs_f64();
        store.publish()?;
        writes.push(durable);
        publishes.push(begun.elapsed().as_secs_f64());
        let begun = Instant::now();
        let mut rows = 0;
        for batch in store.scan("rows", &Scan::new())? {
            rows += batch?.num_rows();
        }
        reads.push(begun.elapsed().as_secs_f64());
        ensure!(rows == ROWS, "{rows} of {ROWS} rows came back");
        store.close()?;
    }
    let (write, publish, read) = (Five::of(&writes), Five::of(&publishes), Five::of(&reads));
    let megabytes = size as f64 / 1e6;
    Ok(Part {
        name: "storage".into(),
        what: format!("{CYCLES} cycles of {ROWS} rows, {megabytes:.2} MB in memory"),
        figures: vec![
            Figure::cost("durable", 1e3 * write.mean, "ms"),
            Figure::cost("durable and published", 1e3 * publish.mean, "ms"),
            Figure::cost("read", 1e3 * read.mean, "ms"),
            Figure::rate("written durably", megabytes / write.mean, "MB/s"),
            Figure::rate("written and published", megabytes / publish.mean, "MB/s"),
            Figure::rate("read back", megabytes / read.mean, "MB/s"),
        ],
    })
}

fn batch(schema: &Arc<Schema>) -> Result<RecordBatch> {
    let symbols = StringArray::from_iter_values((0..ROWS).map(|row| ["AAPL", "IBM", "MSFT"][row % 3]));
    let first_ns = 946_857_600_000_000_000_i64;
    let times = (0..ROWS).map(|row| first_ns + (row / 3) as i64 * 86_400_000_000_000);
    let times = TimestampNanosecondArray::from_iter_values(times).with_timezone("UTC");
    let values = Float64Array::from_iter_values((0..ROWS).map(|row| 100.0 + (row % 977) as f64 / 100.0));
    Ok(RecordBatch::try_new(schema.clone(), vec![Arc::new(symbols), Arc::new(times), Arc::new(values)])?)
}
