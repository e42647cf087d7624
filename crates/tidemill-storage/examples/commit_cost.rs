//! What a collection costs the store: 2000 commits of 100 bars and a ledger row, grouped by 64, then one publish.
//!
//! `cargo run --release -p tidemill-storage --example commit_cost [DIR]`; Linux, prints CPU seconds and peak memory.

#![expect(clippy::print_stdout, reason = "an example talks")]

use std::{error::Error, sync::Arc, time::Instant};

use tidemill_storage::{
    Changes, Config, Partition, Store, TableSpec,
    arrow::{
        arrow_array::{Float64Array, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray},
        arrow_schema::{DataType, Field, Schema, TimeUnit},
    },
};

const RESPONSES: usize = 2000;
const ROWS: usize = 100;
const GROUP: usize = 64;

fn main() -> Result<(), Box<dyn Error>> {
    let base = std::env::args().nth(1).unwrap_or_else(|| "target".into());
    let dir = std::path::Path::new(&base).join(format!("commit-cost-{}", std::process::id()));
    let time = DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
    let schema = Arc::new(Schema::new(vec![
        Field::new("symbol", DataType::Utf8, false),
        Field::new("ts", time, false),
        Field::new("open", DataType::Float64, false),
        Field::new("high", DataType::Float64, false),
        Field::new("low", DataType::Float64, false),
        Field::new("close", DataType::Float64, false),
        Field::new("volume", DataType::Int64, false),
    ]));
    let done = Arc::new(Schema::new(vec![
        Field::new("symbol", DataType::Utf8, false),
        Field::new("rows", DataType::Int64, false),
    ]));
    // Built first: the cost of making rows is not the store's.
    let responses: Vec<(RecordBatch, RecordBatch)> =
        (0..RESPONSES).map(|n| response(&schema, &done, n)).collect::<Result<_, _>>()?;

    let store = Store::builder(Config::default())
        .table(
            TableSpec::new("us_daily", schema, ["symbol", "ts"])
                .partition(Partition::Year { column: "ts".into() }),
        )
        .table(TableSpec::new("ledger", done, ["symbol"]))
        .open(&dir)?;
    let (cpu, memory, wall) = (cpu_seconds()?, peak_kib()?, Instant::now());
    for group in responses.chunks(GROUP) {
        let changes = group.iter().map(|(bars, ledger)| {
            Changes::new().upsert("us_daily", bars.clone()).upsert("ledger", ledger.clone())
        });
        store.commit_group(changes.collect())?;
    }
    let (committed, commit_wall, commit_peak) = (cpu_seconds()?, wall.elapsed(), peak_kib()?);
    let held = store.stats().memory_bytes;
    let report = store.close()?;
    let (published, peak) = (cpu_seconds()?, peak_kib()?);
    let bytes: u64 = report.tables.iter().map(|table| table.bytes_written).sum();
    println!(
        "{} rows: commits {:.3} s CPU ({:.3} s wall), publish and close {:.3} s CPU, total {:.3} s CPU; memtable {} KiB, \
         peak grew by {} KiB in commits, {} KiB in all; {} bytes published",
        RESPONSES * ROWS,
        committed - cpu,
        commit_wall.as_secs_f64(),
        published - committed,
        published - cpu,
        held / 1024,
        commit_peak - memory,
        peak - memory,
        bytes,
    );

    // The same again: everything is published and must be recognised.
    let store = open_again(&dir)?;
    let cpu = cpu_seconds()?;
    for group in responses.chunks(GROUP) {
        store.commit_group(
            group.iter().map(|(bars, _)| Changes::new().upsert("us_daily", bars.clone())).collect(),
        )?;
    }
    let stats = store.stats();
    println!("the same again: {} duplicates, {:.3} s CPU", stats.rows_duplicate, cpu_seconds()? - cpu);
    store.close()?;
    std::fs::remove_dir_all(dir)?;
    Ok(())
}

fn open_again(dir: &std::path::Path) -> Result<Store, Box<dyn Error>> {
    let reader = Store::open_read_only(dir)?;
    let bars = TableSpec::new("us_daily", reader.schema("us_daily")?, ["symbol", "ts"])
        .partition(Partition::Year { column: "ts".into() });
    let ledger = TableSpec::new("ledger", reader.schema("ledger")?, ["symbol"]);
    Ok(Store::builder(Config::default()).table(bars).table(ledger).open(dir)?)
}

/// Two hundred trading days over two years, prices in cents, as a daily API answers; symbols in no order.
fn response(
    schema: &Arc<Schema>,
    done: &Arc<Schema>,
    n: usize,
) -> Result<(RecordBatch, RecordBatch), Box<dyn Error>> {
    let symbol = format!("S{:04}", n * 7919 % RESPONSES);
    let ts = (0..ROWS as i64).map(|day| (19_600 + day * 7 / 5) * 86_400_000_000_000);
    let mut state = n as u64 + 1;
    let mut close = 10_000 + (n as i64 * 37) % 20_000;
    let closes: Vec<i64> = (0..ROWS)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            close += (state >> 58) as i64 - 32;
            close
        })
        .collect();
    let price =
        |shift: i64| Float64Array::from_iter_values(closes.iter().map(|c| (c + shift) as f64 / 100.0));
    let bars = RecordBatch::try_new(
        schema.clone(),
        vec![
            Arc::new(StringArray::from_iter_values((0..ROWS).map(|_| &symbol))),
            Arc::new(TimestampNanosecondArray::from_iter_values(ts).with_timezone("UTC")),
            Arc::new(price(-11)),
            Arc::new(price(40)),
            Arc::new(price(-35)),
            Arc::new(price(0)),
            Arc::new(Int64Array::from_iter_values(closes.iter().map(|c| c * 997 % 5_000_000))),
        ],
    )?;
    let row = RecordBatch::try_new(
        done.clone(),
        vec![Arc::new(StringArray::from(vec![symbol])), Arc::new(Int64Array::from(vec![ROWS as i64]))],
    )?;
    Ok((bars, row))
}

/// User and system time of this process; the kernel counts hundredths of a second.
fn cpu_seconds() -> Result<f64, Box<dyn Error>> {
    let stat = std::fs::read_to_string("/proc/self/schedstat")
        .or_else(|_| std::fs::read_to_string("/proc/self/stat"))?;
    let mut fields = stat.split_whitespace();
    match fields.clone().count() {
        // schedstat: nanoseconds on a CPU first.
        3 => Ok(fields.next().ok_or("empty")?.parse::<f64>()? / 1e9),
        _ => {
            Ok(fields.skip(13).take(2).map(|ticks| ticks.parse::<f64>().unwrap_or(0.0)).sum::<f64>() / 100.0)
        }
    }
}

fn peak_kib() -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
