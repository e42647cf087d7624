//! Kills a writer with SIGKILL at random moments and looks whether every acknowledged row is there, once.
//!
//! `cargo xtask soak storage --kills 1000`; `-- --only kills` leaves out the tests at full length, which come before and take hours beside
//! other work. The control, a writer that acknowledges before it commits, runs at the end and must be caught.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tidemill_storage::arrow::arrow_array::cast::AsArray as _;
use tidemill_storage::arrow::arrow_array::types::{Int64Type, TimestampNanosecondType};
use tidemill_storage::arrow::arrow_array::{Int64Array, RecordBatch, StringArray, TimestampNanosecondArray};
use tidemill_storage::arrow::arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use tidemill_storage::{Changes, Config, Partition, Scan, Store, TableSpec, verify};

type Outcome<T> = Result<T, Box<dyn Error>>;

const SERIES: i64 = 10;
const DAY: i64 = 86_400_000_000_000;

fn main() -> Outcome<()> {
    let args: Vec<String> = std::env::args().collect();
    let value = |name: &str| args.iter().skip_while(|arg| *arg != name).nth(1).cloned();
    if let Some(dir) = value("--writer") {
        return write(Path::new(&dir), args.iter().any(|arg| arg == "--ack-early"));
    }
    let kills = value("--kills").map_or(Ok(1000), |kills| kills.parse())?;
    let out = soak(kills, false)?;
    writeln!(
        std::io::stdout(),
        "{kills} kills, {} commits acknowledged, {} rows, none lost, none twice",
        out.0,
        out.1
    )?;
    match soak(200, true) {
        Err(caught) => writeln!(std::io::stdout(), "control: caught, {caught}")?,
        Ok(_) => return Err("the control, which acknowledges before it commits, was not caught".into()),
    }
    Ok(())
}

/// Commits number after number, acknowledging each on stdout; publishes now and then. Ends by being killed.
fn write(dir: &Path, early: bool) -> Outcome<()> {
    let store = open(dir)?;
    let mut number = last(&store)?;
    let mut out = std::io::stdout().lock();
    loop {
        number += 1;
        if early {
            writeln!(out, "{number}")?;
        }
        store.commit(Changes::new().upsert("rows", rows(number)?).upsert("counter", counter(number)?))?;
        if !early {
            writeln!(out, "{number}")?;
        }
        if number % 13 == 0 {
            store.publish()?;
        }
    }
}

fn soak(kills: u64, early: bool) -> Outcome<(i64, usize)> {
    let dir = tempfile::tempdir()?;
    let mut acknowledged = 0;
    let mut seen = 0;
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for kill in 0..kills {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--writer").arg(dir.path()).stdout(Stdio::piped());
        if early {
            command.arg("--ack-early");
        }
        let mut child = command.spawn()?;
        let mut lines = BufReader::new(child.stdout.take().ok_or("no stdout")?).lines();
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // After so many acknowledgements and a moment more: within a commit, a publish, or between.
        for _ in 0..=(random >> 60) {
            if let Some(line) = lines.next() {
                acknowledged = line?.parse()?;
            }
        }
        std::thread::sleep(Duration::from_micros(random >> 40 & 0x3fff));
        child.kill()?;
        for line in lines.map_while(Result::ok) {
            // The last line may have been cut short by the kill.
            acknowledged = line.parse().map_or(acknowledged, |number: i64| number.max(acknowledged));
        }
        child.wait()?;
        // Looking is done by a writer too, every other time: it replays what the killed one left.
        if kill % 2 == 0 || kill + 1 == kills {
            seen = check(dir.path(), acknowledged)
                .map_err(|error| format!("after kill {}: {error}", kill + 1))?;
        }
        if kill % 50 == 49 {
            let report = verify(dir.path())?;
            if !report.is_sound() {
                return Err(format!("after kill {}: {report:?}", kill + 1).into());
            }
        }
    }
    Ok((acknowledged, seen))
}

fn check(dir: &Path, acknowledged: i64) -> Outcome<usize> {
    let store = open(dir)?;
    let mut found: BTreeMap<(String, i64), i64> = BTreeMap::new();
    for batch in store.scan("rows", &Scan::new())? {
        let batch = batch?;
        let (series, ts, value) = (
            batch.column(0).as_string::<i32>(),
            batch.column(1).as_primitive::<TimestampNanosecondType>(),
            batch.column(2).as_primitive::<Int64Type>(),
        );
        for row in 0..batch.num_rows() {
            let key = (series.value(row).to_owned(), ts.value(row) / DAY);
            if found.insert(key.clone(), value.value(row)).is_some() {
                return Err(format!("{key:?} stands there twice").into());
            }
        }
    }
    let last = last(&store)?;
    if last < acknowledged {
        return Err(format!("{acknowledged} was acknowledged, and the last is {last}").into());
    }
    for number in 1..=last {
        for series in 0..SERIES {
            let key = (format!("S{series}"), number);
            if found.remove(&key) != Some(number * SERIES + series) {
                return Err(format!("{key:?} is lost, and {acknowledged} was acknowledged").into());
            }
        }
    }
    match found.first_key_value() {
        Some(row) => Err(format!("{row:?} came without its commit").into()),
        None => Ok((last * SERIES) as usize),
    }
}

fn last(store: &Store) -> Outcome<i64> {
    let mut last = 0;
    for batch in store.scan("counter", &Scan::new())? {
        last = batch?.column(1).as_primitive::<Int64Type>().value(0);
    }
    Ok(last)
}

fn open(dir: &Path) -> Outcome<Store> {
    // Small bounds, so that journals rotate and folders are cut often.
    let mut config = Config {
        split_bytes: 8 << 10,
        row_group_rows: 500,
        reader_grace: Duration::ZERO,
        ..Config::default()
    };
    config.journal.segment_bytes = 16 << 10;
    let rows =
        TableSpec::new("rows", schema(), ["series", "ts"]).partition(Partition::Year { column: "ts".into() });
    let counter = TableSpec::new("counter", counter_schema(), ["name"]);
    Ok(Store::builder(config).table(rows).table(counter).open(dir)?)
}

fn schema() -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        Field::new("series", DataType::Utf8, false),
        Field::new("ts", time, false),
        Field::new("value", DataType::Int64, false),
    ]))
}

fn counter_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("name", DataType::Utf8, false),
        Field::new("number", DataType::Int64, false),
    ]))
}

fn rows(number: i64) -> Outcome<RecordBatch> {
    let series = StringArray::from_iter_values((0..SERIES).map(|series| format!("S{series}")));
    let ts =
        TimestampNanosecondArray::from_iter_values((0..SERIES).map(|_| number * DAY)).with_timezone("UTC");
    let value = Int64Array::from_iter_values((0..SERIES).map(|series| number * SERIES + series));
    Ok(RecordBatch::try_new(schema(), vec![Arc::new(series), Arc::new(ts), Arc::new(value)])?)
}

fn counter(number: i64) -> Outcome<RecordBatch> {
    let columns: [Arc<dyn tidemill_storage::arrow::arrow_array::Array>; 2] =
        [Arc::new(StringArray::from(vec!["last"])), Arc::new(Int64Array::from(vec![number]))];
    Ok(RecordBatch::try_new(counter_schema(), columns.to_vec())?)
}
