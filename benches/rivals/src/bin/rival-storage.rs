//! SQLite's durable upsert, and pyarrow, Polars and DuckDB on 5 M bars where `TIDEMILL_BENCH_PYTHON` names a Python.

use std::error::Error;
use std::path::Path;
use std::process::Command;

use rusqlite::{Connection, params};
use serde_json::Value;
use tidemill_measure::{Better, Clock, Rounds, Row, Samples, UnitKind};

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let rounds = Rounds::from_args(5).count();
    sqlite(rounds)?;
    let named = ["TIDEMILL_BENCH_PYTHON", "TIDEMILL_TEST_PYTHON"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok());
    match named {
        Some(python) => readers(&python, rounds)?,
        None => eprintln!(
            "SKIPPED: pyarrow, Polars and DuckDB; set TIDEMILL_BENCH_PYTHON to a Python that has them"
        ),
    }
    Ok(())
}

/// The same 60 commits of 1000 rows as bench-storage, every other one changing rows that stand there.
fn sqlite(rounds: u32) -> Outcome<()> {
    let (mut alone, mut closed) = (Samples::new(), Samples::new());
    let commits: Vec<Vec<Bar>> = (0..60).map(|n| bars(n / 2, (n % 2) as i64)).collect();
    for round in 0..rounds + 1 {
        let dir = tempfile::tempdir()?;
        let mut base = Connection::open(dir.path().join("bars.db"))?;
        base.pragma_update(None, "journal_mode", "WAL")?;
        base.pragma_update(None, "synchronous", "FULL")?;
        base.execute_batch(
            "CREATE TABLE bars (symbol TEXT NOT NULL, ts INTEGER NOT NULL, open REAL NOT NULL, high REAL NOT NULL, \
             low REAL NOT NULL, close REAL NOT NULL, volume INTEGER NOT NULL, PRIMARY KEY (symbol, ts)) WITHOUT ROWID",
        )?;
        let mut done = Ok(());
        let commit =
            Clock::ProcessCpu.time(|| done = commits.iter().try_for_each(|rows| upsert(&mut base, rows)));
        done?;
        let mut end = Ok(());
        let close = Clock::ProcessCpu.time(|| end = base.close().map_err(|(_, error)| error));
        end?;
        if round > 0 {
            alone.push(commit.as_secs_f64() * 1e6 / 60.0);
            closed.push((commit + close).as_secs_f64() * 1e6 / 60.0);
        }
    }
    let row = |case| Row::new("storage", case, "us", UnitKind::Cpu, Better::Lower).rival("sqlite");
    row("durable commit of 1000 rows, upsert").theirs(&alone).emit()?;
    row("the same, published as Parquet").theirs(&closed).emit()?;
    Ok(())
}

fn upsert(base: &mut Connection, rows: &[Bar]) -> rusqlite::Result<()> {
    let transaction = base.transaction()?;
    {
        let mut insert = transaction.prepare_cached(
            "INSERT INTO bars VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (symbol, ts) DO UPDATE SET \
             open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close, volume = excluded.volume",
        )?;
        for (symbol, ts, [open, high, low, close], volume) in rows {
            insert.execute(params![symbol, ts, open, high, low, close, volume])?;
        }
    }
    transaction.commit()
}

type Bar = (String, i64, [f64; 4], i64);

fn bars(symbol: u64, shift: i64) -> Vec<Bar> {
    let noise = |n: u64, salt: u64| {
        let mut z = (symbol * 1_000_003 + n + salt * 0x1234_5677).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (z ^ (z >> 31)) as i64 & i64::MAX
    };
    let mut close = 10_000 + (symbol * 37 % 20_000) as i64;
    let bar = |n: u64| {
        close += noise(n, 0) % 64 - 31;
        let price = |cents: i64| (close + shift + cents) as f64 / 100.0;
        let prices =
            [price(-(noise(n, 1) % 32)), price(noise(n, 2) % 48), price(-32 - noise(n, 3) % 48), price(0)];
        (
            format!("S{symbol:04}"),
            1_577_836_800_000_000_000 + n as i64 * 60_000_000_000,
            prices,
            noise(n, 4) % 100_000,
        )
    };
    (0..1000).map(bar).collect()
}

fn readers(python: &str, rounds: u32) -> Outcome<()> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/storage.py");
    let dir = tempfile::tempdir()?;
    let mut command = Command::new(python);
    command.arg(script).arg(rounds.to_string()).arg(dir.path());
    // Where bench-storage left the bars that it weighed.
    match std::env::var_os("TIDEMILL_BENCH_DIR")
        .filter(|bars| Path::new(bars).join("resampled.parquet").exists())
    {
        Some(bars) => _ = command.arg(bars),
        None => eprintln!(
            "SKIPPED: real bars; `cargo xtask bench storage --rivals` has bench-storage write them first"
        ),
    }
    let output = command.output()?;
    eprint!("{}", String::from_utf8_lossy(&output.stderr));
    if !output.status.success() {
        return Err(format!("storage.py ended with {}", output.status).into());
    }
    for line in String::from_utf8(output.stdout)?.lines() {
        let said: Value = serde_json::from_str(line)?;
        let text = |name: &str| said[name].as_str().ok_or_else(|| format!("storage.py says no {name}"));
        let values = said["values"].as_array().ok_or("storage.py says no values")?;
        let values: Samples = values.iter().filter_map(Value::as_f64).collect();
        let kind = if matches!(text("unit")?, "MB" | "kB") { UnitKind::Count } else { UnitKind::Cpu };
        Row::new("storage", text("case")?, text("unit")?, kind, Better::Lower)
            .rival(text("rival")?)
            .theirs(&values)
            .emit()?;
    }
    Ok(())
}
