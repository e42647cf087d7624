//! The same bars with prices as floats and as decimals: bytes in memory and on disk, and the floats read back.
//!
//! `cargo run --release -p tidemill-storage --example decimals [DIR]`; DIR keeps what was written.

#![expect(clippy::print_stdout, reason = "an example talks")]

use std::{error::Error, sync::Arc};

use tidemill_storage::{
    Config, Narrowing, Scan, Store, TableSpec, Tolerance,
    arrow::{
        arrow_array::{Float64Array, RecordBatch, StringArray, TimestampNanosecondArray},
        arrow_schema::{DataType, Field, Schema, TimeUnit},
    },
    decimal,
};

const ROWS: usize = 200_000;
const SERIES: usize = 20;

fn main() -> Result<(), Box<dyn Error>> {
    let kept = std::env::args().nth(1).map(std::path::PathBuf::from);
    let base = kept.clone().unwrap_or_else(|| format!("target/decimals-{}", std::process::id()).into());
    let time = DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
    let schema = |close: DataType| {
        Arc::new(Schema::new(vec![
            Field::new("symbol", DataType::Utf8, false),
            Field::new("ts", time.clone(), false),
            Field::new("close", close, true),
        ]))
    };
    let bars = bars(schema(DataType::Float64))?;

    // A batch: in memory 9 digits take half of a float.
    let report = Narrowing::new().decimal("close", 2, Tolerance::Exact).apply(&bars)?.report;
    let close = &report.columns[2];
    println!("{} as {}: {} bytes become {}", close.from, close.to, close.bytes_before, close.bytes_after);

    // A table: it takes the floats, and refuses one that is no decimal of two places.
    let mut sizes = Vec::new();
    for (name, close) in [("floats", DataType::Float64), ("decimals", DataType::Decimal64(18, 2))] {
        let exact = matches!(close, DataType::Decimal64(..));
        let mut table = TableSpec::new("bars", schema(close), ["symbol", "ts"]);
        if exact {
            table = table.narrow("close", Tolerance::Exact);
        }
        let store = Store::builder(Config::default()).table(table).open(&base.join(name))?;
        sizes.push(store.load("bars", [bars.clone()])?.tables[0].bytes_written);
        let mut row = 0;
        for batch in store.scan("bars", &Scan::new())? {
            let batch = batch?;
            let same = bars.slice(row, batch.num_rows());
            // Whichever of the two it is.
            assert_eq!(decimal::to_f64(batch.column(2))?, decimal::to_f64(same.column(2))?);
            row += batch.num_rows();
        }
        assert_eq!(row, ROWS);
    }
    println!(
        "on disk {} bytes as floats, {} as decimals; read back, they are the same floats",
        sizes[0], sizes[1]
    );
    if kept.is_none() {
        std::fs::remove_dir_all(base)?;
    }
    Ok(())
}

/// Closes in cents on random walks, now and then none.
fn bars(schema: Arc<Schema>) -> Result<RecordBatch, Box<dyn Error>> {
    let mut state = 7u64;
    let mut cents = 10_000i64;
    let closes = (0..ROWS).map(|row| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        cents += (state >> 40) as i64 % 64 - 31;
        (row % 97 > 0).then_some(cents as f64 / 100.0)
    });
    let close = Float64Array::from_iter(closes);
    let minute = |row: usize| (row % (ROWS / SERIES)) as i64 * 60_000_000_000;
    Ok(RecordBatch::try_new(
        schema,
        vec![
            Arc::new(StringArray::from_iter_values(
                (0..ROWS).map(|row| format!("S{:02}", row / (ROWS / SERIES))),
            )),
            Arc::new(TimestampNanosecondArray::from_iter_values((0..ROWS).map(minute)).with_timezone("UTC")),
            Arc::new(close),
        ],
    )?)
}
