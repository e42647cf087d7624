//! The same bars with prices as decimals: what they cost to load from floats, weigh, and cost to read.

use std::path::Path;
use std::sync::Arc;

use tidemill_benches::{Rounds, Samples, UnitKind};
use tidemill_storage::arrow::arrow_array::RecordBatch;
use tidemill_storage::arrow::arrow_schema::{DataType, Schema};
use tidemill_storage::{Config, Scan, Store, TableSpec, Tolerance};

use crate::{BARS, MINUTE, Outcome, START, SYMBOLS, history, real, row, schema};

const PRICES: [&str; 4] = ["open", "high", "low", "close"];
/// Beside the floats that its users write, and beside the very decimals; both by its defaults with zstd 3.
const RIVALS: [&str; 2] = ["pyarrow", "pyarrow, decimals"];

pub(crate) fn weigh(rounds: &Rounds, dir: &Path) -> Outcome<()> {
    let made: Vec<RecordBatch> = history().collect::<Result<_, _>>()?;
    let store = loaded(rounds, dir, "5 M bars, prices as decimals", made)?;
    reads(rounds, &store)?;
    loaded(rounds, dir, "5 M resampled bars, prices as decimals", real::sample()?)?;
    Ok(())
}

fn loaded(rounds: &Rounds, dir: &Path, case: &str, batches: Vec<RecordBatch>) -> Outcome<Store> {
    let (mut cpu, mut bytes) = (Samples::new(), Samples::new());
    let mut last = None;
    for round in 0..rounds.count().min(3) {
        let dir = dir.join(format!("{case} {round}"));
        let store = open(&dir)?;
        cpu.push(real::load(&store, batches.clone(), &mut bytes, 1e6)?);
        last = Some(store);
    }
    for rival in RIVALS {
        row(&format!("{case}, load"), "s", UnitKind::Cpu).rival(rival).goal(0.7).ours(&cpu).emit()?;
        row(&format!("{case}, bytes"), "MB", UnitKind::Count).rival(rival).goal(0.8).ours(&bytes).emit()?;
    }
    last.ok_or_else(|| "no round".into())
}

fn reads(rounds: &Rounds, store: &Store) -> Outcome<()> {
    let count = |scan: &Scan| -> usize {
        let batches = store.scan("bars", scan).expect("the table is loaded");
        batches.map(|batch| batch.expect("the file is sound").num_rows()).sum()
    };
    let from = START + 9_500 * MINUTE;
    let part = || Scan::new().columns(["ts", "close"]).range("ts", from..START + 10_000 * MINUTE);
    let cases = [
        ("full read of 5 M bars, prices as decimals", Scan::new(), (SYMBOLS * BARS) as usize),
        ("one series of decimals, two columns, 5 % of the time", part().prefix(["S0250"]), 500),
        ("all series of decimals, two columns, 5 % of the time", part(), 250_000),
    ];
    for (case, scan, rows) in cases {
        let ours = rounds.single(1_000_000, || assert_eq!(count(&scan), rows));
        for rival in RIVALS {
            row(case, "ms", UnitKind::Cpu).rival(rival).ours(&ours).emit()?;
        }
    }
    Ok(())
}

/// Prices in cents; what is loaded are floats.
fn open(dir: &Path) -> Outcome<Store> {
    let floats = schema();
    let fields = floats.fields().iter().map(|field| match PRICES.contains(&field.name().as_str()) {
        true => field.as_ref().clone().with_data_type(DataType::Decimal64(18, 2)),
        false => field.as_ref().clone(),
    });
    let table = TableSpec::new("bars", Arc::new(Schema::new(fields.collect::<Vec<_>>())), ["symbol", "ts"]);
    let table = PRICES.iter().fold(table, |table, price| table.narrow(*price, Tolerance::Exact));
    Ok(Store::builder(Config::default()).table(table).open(dir)?)
}
