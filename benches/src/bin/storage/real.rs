//! Real bars, and 5 M resampled from them: what they weigh, narrowed or as they are.
//!
//! Made bars have volumes without any pattern and prices that wander by cents; real ones have neither.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidemill_benches::{Clock, Samples, UnitKind};
use tidemill_sandbox::{Bar, Config as SandboxConfig, Sandbox};
use tidemill_storage::arrow::arrow_array::{
    Float64Array, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray,
};
use tidemill_storage::{Config, Narrowing, Store, Tolerance};

use crate::{MINUTE, Outcome, file_of, open_with, row, schema};

/// Where `rival-storage` finds the same bars, as we wrote them; `cargo xtask bench` says it to both.
const SHARED: &str = "TIDEMILL_BENCH_DIR";
const REAL: [&str; 6] = ["AAPL", "FB", "GOOG", "GSPC", "IBM", "MSFT"];
const RESAMPLED: usize = 5_000_000;

pub(crate) fn weigh(rounds: u32, dir: &Path) -> Outcome<()> {
    let sandbox = many_symbols()?;
    let shared = std::env::var_os(SHARED).map(PathBuf::from);
    let real = batch(&REAL.map(|name| (name.to_owned(), usize::MAX)), &sandbox)?;
    let resampled = resampled(&sandbox)?;
    let cases = [
        ("real bars as they are", vec![real], Config::default(), "kB", 1e3),
        ("5 M bars resampled from real ones", resampled.clone(), Config::default(), "MB", 1e6),
        (
            "the same in row groups of a million",
            resampled,
            Config { row_group_rows: 1 << 20, ..Config::default() },
            "MB",
            1e6,
        ),
    ];
    for (case, batches, config, unit, scale) in cases {
        let (mut cpu, mut bytes) = (Samples::new(), Samples::new());
        let rounds = if batches.len() > 1 { rounds.min(3) } else { 1 };
        for round in 0..rounds {
            let dir = dir.join("real");
            let store = open_with(&dir, config.clone())?;
            cpu.push(load(&store, batches.clone(), &mut bytes, scale)?);
            if let (0, Some(shared), true) = (round, &shared, config == Config::default()) {
                std::fs::create_dir_all(shared)?;
                let name = if batches.len() > 1 { "resampled.parquet" } else { "real.parquet" };
                std::fs::copy(file_of(&dir)?, shared.join(name))?;
            }
            drop(store);
            std::fs::remove_dir_all(dir)?;
        }
        let rivals: &[&str] = match unit {
            "kB" => &["pyarrow", "polars", "duckdb"],
            _ => &["pyarrow", "pyarrow, the same row groups", "polars", "duckdb"],
        };
        for rival in rivals {
            let weight = row(&format!("{case}, bytes"), unit, UnitKind::Count).rival(rival).ours(&bytes);
            let asked = rival.starts_with("pyarrow");
            if asked {
                weight.goal(0.8).emit()?
            } else {
                weight.emit()?
            }
            if unit == "MB" {
                let cost = row(&format!("{case}, load"), "s", UnitKind::Cpu).rival(rival).ours(&cpu);
                if asked { cost.goal(0.7).emit()? } else { cost.emit()? }
            }
        }
    }
    Ok(())
}

fn many_symbols() -> Outcome<Sandbox> {
    Ok(Sandbox::builder(SandboxConfig { symbols: 4000, ..SandboxConfig::default() }).build()?)
}

/// 5 M bars resampled from real ones.
pub(crate) fn sample() -> Outcome<Vec<RecordBatch>> {
    resampled(&many_symbols()?)
}

pub(crate) fn load(
    store: &Store,
    batches: Vec<RecordBatch>,
    bytes: &mut Samples,
    scale: f64,
) -> Outcome<f64> {
    let mut report = None;
    let cpu = Clock::ProcessCpu.time(|| report = Some(store.load("bars", batches)));
    let report = report.ok_or("not loaded")??;
    bytes.push(report.tables[0].bytes_written as f64 / scale);
    Ok(cpu.as_secs_f64())
}

/// Blocks of twenty real days, returns and volumes as they were, one after another: a moving-block bootstrap, always the same.
fn resampled(sandbox: &Sandbox) -> Outcome<Vec<RecordBatch>> {
    let (mut out, mut left) = (Vec::new(), RESAMPLED);
    for symbol in 5..4000 {
        let rows = batch(&[(format!("SYM{symbol:04}"), left)], sandbox)?;
        left -= rows.num_rows();
        out.push(rows);
        if left == 0 {
            return Ok(out);
        }
    }
    Err("the sandbox has too few symbols".into())
}

/// At most so many bars of each symbol, oldest first.
fn batch(symbols: &[(String, usize)], sandbox: &Sandbox) -> Outcome<RecordBatch> {
    let mut bars = Vec::new();
    for (name, most) in symbols {
        let found = sandbox.bars(name).ok_or("the sandbox has no such bars")?;
        let mut found: Vec<_> = found.take(*most).collect();
        found.reverse();
        bars.extend(found.into_iter().map(|bar| (name, bar)));
    }
    let price =
        |of: fn(&Bar) -> f64| Arc::new(Float64Array::from_iter_values(bars.iter().map(|(_, bar)| of(bar))));
    let time = |day: i32| i64::from(day) * 1440 * MINUTE;
    Ok(RecordBatch::try_new(
        schema(),
        vec![
            Arc::new(StringArray::from_iter_values(bars.iter().map(|(name, _)| name))),
            Arc::new(
                TimestampNanosecondArray::from_iter_values(bars.iter().map(|(_, bar)| time(bar.day)))
                    .with_timezone("UTC"),
            ),
            price(|bar| bar.open),
            price(|bar| bar.high),
            price(|bar| bar.low),
            price(|bar| bar.close),
            Arc::new(Int64Array::from_iter_values(bars.iter().map(|(_, bar)| bar.volume as i64))),
        ],
    )?)
}

/// The real daily bars of five companies and an index, prices to 32 bits within 6e-8 of each.
pub(crate) fn narrowed() -> Outcome<()> {
    let sandbox = Sandbox::builder(SandboxConfig::default()).build()?;
    let rows = batch(&REAL.map(|name| (name.to_owned(), usize::MAX)), &sandbox)?;
    let prices = ["open", "high", "low", "close"];
    let narrowing =
        prices.iter().fold(Narrowing::new(), |all, price| all.float(*price, Tolerance::Relative(6e-8)));
    let report = narrowing.apply(&rows)?.report;
    let (wide, narrow) = narrowing.on_disk(&rows, &Config::default())?;
    let samples = |bytes: u64| [bytes as f64 / 1e3].into_iter().collect::<Samples>();
    row("real bars narrowed, in memory", "kB", UnitKind::Count)
        .rival("not narrowed")
        .goal(0.65)
        .ours(&samples(report.bytes_after))
        .theirs(&samples(report.bytes_before))
        .emit()?;
    row("real bars narrowed, on disk", "kB", UnitKind::Count)
        .rival("not narrowed")
        .ours(&samples(narrow))
        .theirs(&samples(wide))
        .emit()?;
    Ok(())
}
