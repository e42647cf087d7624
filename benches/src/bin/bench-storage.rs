//! What the dataset costs: durable upserts, a bulk load, reading it back, small appends, and memory.
//!
//! `rival-storage` does the same with SQLite and, where a Python is named, with pyarrow, DuckDB and Polars. The bars are
//! made by the same arithmetic on both sides.

#[path = "storage/decimals.rs"]
mod decimals;
#[path = "storage/real.rs"]
mod real;

use std::error::Error;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tidemill_benches::{Better, Clock, Rounds, Row, Samples, UnitKind};
use tidemill_storage::arrow::arrow_array::{
    Float64Array, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray,
};
use tidemill_storage::arrow::arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use tidemill_storage::{Changes, Config, Scan, Store, TableSpec};

const SYMBOLS: u64 = 500;
const BARS: u64 = 10_000;
const MINUTE: i64 = 60_000_000_000;
const START: i64 = 1_577_836_800_000_000_000;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let child = std::env::args().skip_while(|arg| arg != "--memory").nth(1);
    if let Some(way) = child {
        return memory(&way);
    }
    let dir = tempfile::tempdir()?;
    let rounds = Rounds::from_args(5);
    // `--only commits`, and so on: one part alone.
    let only = std::env::args().skip_while(|arg| arg != "--only").nth(1);
    let wanted = |part: &str| only.as_deref().is_none_or(|only| only == part);
    if wanted("real") {
        real::weigh(rounds.count(), dir.path())?;
        real::narrowed()?;
    }
    if wanted("decimals") {
        decimals::weigh(&rounds, &dir.path().join("decimals"))?;
    }
    if wanted("commits") {
        commits(&rounds)?;
    }
    if wanted("reads") {
        let store = bulk(&rounds, &dir.path().join("bulk"))?;
        let last = std::fs::read_dir(dir.path().join("bulk"))?.next().ok_or("nothing was loaded")??;
        reads(&rounds, &store, &file_of(&last.path())?)?;
    }
    if wanted("appends") {
        appends(&rounds)?;
    }
    for way in ["load", "commit"].into_iter().filter(|_| wanted("memory")) {
        let output = Command::new(std::env::current_exe()?).args(["--memory", way]).output()?;
        let mib: f64 = String::from_utf8(output.stdout)?.trim().parse()?;
        let case = format!("5 M rows by {way}, resident at most");
        row(&case, "MiB", UnitKind::Count).ours(&[mib].into_iter().collect()).goal(128.0).emit()?;
    }
    Ok(())
}

fn row(case: &str, unit: &str, kind: UnitKind) -> Row {
    Row::new("storage", case, unit, kind, Better::Lower)
}

/// 60 commits of 1000 rows, every other one changes rows that stand there.
fn commits(rounds: &Rounds) -> Outcome<()> {
    let batches: Vec<RecordBatch> = (0..60).map(|n| bars(n / 2, 0..1000, n % 2)).collect::<Result<_, _>>()?;
    let (mut alone, mut published) = (Samples::new(), Samples::new());
    for round in 0..rounds.count() + 1 {
        let dir = tempfile::tempdir()?;
        let store = open(dir.path())?;
        let mut failed = Ok(());
        let commit = Clock::ProcessCpu.time(|| {
            failed = batches
                .iter()
                .try_for_each(|batch| store.commit(Changes::new().upsert("bars", batch.clone())).map(drop));
        });
        failed?;
        let mut closed = None;
        let publish = Clock::ProcessCpu.time(|| closed = Some(store.close()));
        closed.ok_or("not closed")??;
        if round > 0 {
            alone.push(commit.as_secs_f64() * 1e6 / 60.0);
            published.push((commit + publish).as_secs_f64() * 1e6 / 60.0);
        }
    }
    row("durable commit of 1000 rows, upsert", "us", UnitKind::Cpu)
        .rival("sqlite")
        .goal(0.25)
        .ours(&alone)
        .emit()?;
    row("the same, published as Parquet", "us", UnitKind::Cpu).rival("sqlite").ours(&published).emit()?;
    Ok(())
}

/// 5 M bars, sorted. Making them is not counted.
fn bulk(rounds: &Rounds, dir: &Path) -> Outcome<Store> {
    let mut last = None;
    let (mut cpu, mut bytes) = (Samples::new(), Samples::new());
    let batches: Vec<RecordBatch> = history().collect::<Result<_, _>>()?;
    for round in 0..rounds.count().min(3) {
        let dir = dir.join(round.to_string());
        let store = open(&dir)?;
        let batches = batches.clone();
        let mut report = None;
        cpu.push(Clock::ProcessCpu.time(|| report = Some(store.load("bars", batches))).as_secs_f64());
        let report = report.ok_or("not loaded")??;
        bytes.push(report.tables[0].bytes_written as f64 / 1e6);
        last = Some(store);
        if round > 0 {
            std::fs::remove_dir_all(dir.with_file_name((round - 1).to_string()))?;
        }
    }
    for rival in ["pyarrow", "polars", "duckdb"] {
        let goal = |row: Row, bound: f64| if rival == "pyarrow" { row.goal(bound) } else { row };
        goal(row("bulk load of 5 M bars", "s", UnitKind::Cpu).rival(rival), 0.7).ours(&cpu).emit()?;
        goal(row("bulk load of 5 M bars, bytes", "MB", UnitKind::Count).rival(rival), 0.8)
            .ours(&bytes)
            .emit()?;
    }
    last.ok_or_else(|| "no round".into())
}

fn reads(rounds: &Rounds, store: &Store, file: &Path) -> Outcome<()> {
    let count = |scan: &Scan| -> usize {
        let batches = store.scan("bars", scan).expect("the table is loaded");
        batches.map(|batch| batch.expect("the file is sound").num_rows()).sum()
    };
    let raw = || -> usize {
        let file = File::open(file).expect("the file is there");
        let reader =
            ParquetRecordBatchReaderBuilder::try_new(file).and_then(|b| b.with_batch_size(8192).build());
        reader.expect("it is a Parquet file").map(|batch| batch.expect("the file is sound").num_rows()).sum()
    };
    let all = (SYMBOLS * BARS) as usize;
    let (ours, theirs) =
        rounds.pair(1_000_000, || assert_eq!(count(&Scan::new()), all), || assert_eq!(raw(), all));
    row("full read of 5 M bars", "ms", UnitKind::Cpu)
        .rival("arrow-rs")
        .goal(1.1)
        .ours(&ours)
        .theirs(&theirs)
        .emit()?;

    let from = START + 9_500 * MINUTE;
    let cases = [
        ("one series, two columns, 5 % of the time", Scan::new().prefix(["S0250"]), 500),
        ("all series, two columns, 5 % of the time", Scan::new(), 250_000),
    ];
    for (case, scan, rows) in cases {
        let scan = scan.columns(["ts", "close"]).range("ts", from..START + 10_000 * MINUTE);
        let ours = rounds.single(1_000_000, || assert_eq!(count(&scan), rows));
        for rival in ["pyarrow", "polars", "duckdb"] {
            let row = row(case, "ms", UnitKind::Cpu).rival(rival).ours(&ours);
            if rival == "pyarrow" { row.goal(0.3).emit()? } else { row.emit()? }
        }
    }
    Ok(())
}

/// 300 commits of 1000 rows, published now and then, against the same rows loaded at once.
fn appends(rounds: &Rounds) -> Outcome<()> {
    let dir = tempfile::tempdir()?;
    let (small, one) = (open(&dir.path().join("small"))?, open(&dir.path().join("one"))?);
    let batches: Vec<RecordBatch> = (0..300).map(|n| bars(n, 0..1000, 0)).collect::<Result<_, _>>()?;
    for (n, batch) in batches.iter().enumerate() {
        small.commit(Changes::new().upsert("bars", batch.clone()))?;
        if n % 50 == 49 {
            small.publish()?;
        }
    }
    one.load("bars", batches)?;
    let query = |store: &Store| -> usize {
        let batches = store.scan("bars", &Scan::new()).expect("the table is there");
        batches.map(|batch| batch.expect("the file is sound").num_rows()).sum()
    };
    let (ours, theirs) =
        rounds.pair(1_000_000, || assert_eq!(query(&small), 300_000), || assert_eq!(query(&one), 300_000));
    row("300 small appends, then a query", "ms", UnitKind::Cpu)
        .rival("one file")
        .goal(1.2)
        .ours(&ours)
        .theirs(&theirs)
        .emit()?;
    Ok(())
}

/// A process of its own, whose peak is that of writing alone: rows are made as they are asked for.
fn memory(way: &str) -> Outcome<()> {
    let dir = tempfile::tempdir()?;
    let store = open(dir.path())?;
    if way == "load" {
        store.load("bars", history().map_while(Result::ok))?;
    } else {
        for batch in history() {
            store.commit(Changes::new().upsert("bars", batch?))?;
            if store.needs_publish() {
                store.publish()?;
            }
        }
    }
    store.close()?;
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    let kib: f64 = peak.trim().trim_end_matches(" kB").parse()?;
    use std::io::Write as _;
    writeln!(std::io::stdout(), "{}", kib / 1024.0)?;
    Ok(())
}

fn open(dir: &Path) -> Outcome<Store> {
    open_with(dir, Config::default())
}

fn open_with(dir: &Path, config: Config) -> Outcome<Store> {
    let table = TableSpec::new("bars", schema(), ["symbol", "ts"]);
    Ok(Store::builder(config).table(table).open(dir)?)
}

fn schema() -> SchemaRef {
    let number = |name: &str| Field::new(name, DataType::Float64, false);
    let time = DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        Field::new("symbol", DataType::Utf8, false),
        Field::new("ts", time, false),
        number("open"),
        number("high"),
        number("low"),
        number("close"),
        Field::new("volume", DataType::Int64, false),
    ]))
}

/// All bars, sorted, in batches of 5000.
fn history() -> impl Iterator<Item = Result<RecordBatch, tidemill_storage::arrow::arrow_schema::ArrowError>> {
    (0..SYMBOLS)
        .flat_map(|symbol| (0..BARS / 5000).map(move |half| bars(symbol, half * 5000..(half + 1) * 5000, 0)))
}

/// Prices in cents on a random walk. `benches/rivals/python/storage.py` and `rival-storage` compute the same.
fn bars(
    symbol: u64,
    range: std::ops::Range<u64>,
    shift: u64,
) -> Result<RecordBatch, tidemill_storage::arrow::arrow_schema::ArrowError> {
    let noise = |n: u64, salt: u64| {
        let mut z = (symbol * 1_000_003 + n + salt * 0x1234_5677).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z ^ (z >> 31)
    };
    let mut close = 10_000 + (symbol * 37 % 20_000) as i64;
    (0..range.start).for_each(|n| close += (noise(n, 0) % 64) as i64 - 31);
    let closes: Vec<i64> = range
        .clone()
        .map(|n| {
            close += (noise(n, 0) % 64) as i64 - 31;
            close
        })
        .collect();
    let price = |of: &dyn Fn(u64, i64) -> i64| {
        let values = range.clone().zip(&closes).map(|(n, close)| of(n, *close + shift as i64) as f64 / 100.0);
        Arc::new(Float64Array::from_iter_values(values))
    };
    let name = format!("S{symbol:04}");
    RecordBatch::try_new(
        schema(),
        vec![
            Arc::new(StringArray::from_iter_values(range.clone().map(|_| &name))),
            Arc::new(
                TimestampNanosecondArray::from_iter_values(range.clone().map(|n| START + n as i64 * MINUTE))
                    .with_timezone("UTC"),
            ),
            price(&|n, close| close - (noise(n, 1) % 32) as i64),
            price(&|n, close| close + (noise(n, 2) % 48) as i64),
            price(&|n, close| close - 32 - (noise(n, 3) % 48) as i64),
            price(&|_, close| close),
            Arc::new(Int64Array::from_iter_values(range.map(|n| (noise(n, 4) % 100_000) as i64))),
        ],
    )
}

fn file_of(store: &Path) -> Outcome<PathBuf> {
    Ok(std::fs::read_dir(store.join("parquet/bars"))?.next().ok_or("no file")??.path())
}
