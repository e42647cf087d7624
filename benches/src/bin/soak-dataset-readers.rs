//! pyarrow, DuckDB, Polars and pandas read a table in loops while a writer commits and publishes at full speed.
//!
//! `cargo xtask soak dataset-readers`; `TIDEMILL_TEST_PYTHON` names the Pythons, several with `:` between them, so that old and new
//! readers run side by side. `--seconds` says how long, 60 unless told.

use std::error::Error;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tidemill_storage::arrow::arrow_array::{
    ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray,
};
use tidemill_storage::arrow::arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use tidemill_storage::{Changes, Config, Partition, Store, TableSpec, Tolerance};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// `dataset_readers.py` knows this number too.
const KEYS: i64 = 400;
const DAY: i64 = 86_400_000_000_000;

fn main() -> Outcome<()> {
    let seconds = std::env::args().skip_while(|arg| arg != "--seconds").nth(1);
    let seconds = seconds.map_or(Ok(60), |seconds| seconds.parse())?;
    let pythons = ["TIDEMILL_TEST_PYTHON", "TIDEMILL_BENCH_PYTHON"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok());
    let pythons =
        pythons.ok_or("set TIDEMILL_TEST_PYTHON to a Python with pyarrow, duckdb, polars and pandas")?;
    let dir = tempfile::tempdir()?;
    let spec =
        TableSpec::new("rows", schema(), ["series", "ts"]).partition(Partition::Year { column: "ts".into() });
    // The same floats go into both.
    let spec = spec.narrow("cost", Tolerance::Exact);
    let store = Store::builder(Config::default()).table(spec).open(&dir.path().join("data"))?;
    let publish = |number: i64| -> Outcome<()> {
        store.commit(Changes::new().upsert("rows", rows(number)?))?;
        store.publish()?;
        Ok(())
    };
    publish(0)?;
    let (link, stop) = (dir.path().join("data/parquet/rows"), dir.path().join("stop"));
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/python/dataset_readers.py");
    let start =
        |python: &str| Command::new(python).arg(script).arg(&link).arg(&stop).stdout(Stdio::piped()).spawn();
    let mut readers = pythons.split(':').map(start).collect::<Result<Vec<_>, _>>()?;
    let (begun, mut number) = (Instant::now(), 0);
    while begun.elapsed() < Duration::from_secs(seconds) {
        number += 1;
        publish(number)?;
    }
    std::fs::write(&stop, b"")?;
    // Snapshots that a reader still has open stay for their grace; the writer is done.
    let mut faults = 0;
    for reader in readers.drain(..) {
        let output = reader.wait_with_output()?;
        write!(std::io::stdout(), "{}", String::from_utf8_lossy(&output.stdout))?;
        faults += u32::from(!output.status.success());
    }
    writeln!(std::io::stdout(), "{number} snapshots of {KEYS} rows published meanwhile")?;
    if faults > 0 { Err(format!("{faults} of the Pythons found a fault").into()) } else { Ok(()) }
}

fn schema() -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        Field::new("series", DataType::Utf8, false),
        Field::new("ts", time, false),
        Field::new("number", DataType::Int64, false),
        Field::new("price", DataType::Float64, true),
        Field::new("cost", DataType::Decimal64(18, 2), true),
    ]))
}

/// The same 400 keys in four years each time, with another number.
fn rows(number: i64) -> Outcome<RecordBatch> {
    let keys = || (0..KEYS).map(|key| (key / 40, key % 40));
    let price = keys().map(|(series, n)| (n % 7 > 0).then_some((number + series * 100 + n) as f64 / 100.0));
    let price: ArrayRef = Arc::new(Float64Array::from_iter(price));
    let series: ArrayRef =
        Arc::new(StringArray::from_iter_values(keys().map(|(series, _)| format!("S{series}"))));
    let ts = TimestampNanosecondArray::from_iter_values(keys().map(|(_, n)| (18_000 + n * 36) * DAY));
    let ts: ArrayRef = Arc::new(ts.with_timezone("UTC"));
    let number: ArrayRef = Arc::new(Int64Array::from_iter_values(keys().map(|_| number)));
    Ok(RecordBatch::try_from_iter([
        ("series", series),
        ("ts", ts),
        ("number", number),
        ("price", price.clone()),
        ("cost", price),
    ])?)
}
