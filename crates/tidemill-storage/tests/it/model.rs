//! Random histories against a BTreeMap: commits, publishes, reopens, read back in three ways.

use std::{path::Path, sync::Arc};

use proptest::prelude::*;
use tidemill_journal::sim::SimDisk;
use tidemill_storage::{Changes, Compression, Config, ReadOnly, Scan, Store, verify_on};

use crate::{Rows, bars, bars_of, collect, ledger, ledger_row};

/// Symbol, day, close, volume.
type Bar = (u8, i64, u8, Option<i64>);

#[derive(Clone, Debug)]
enum Step {
    /// Batches committed as one group.
    Commit(Vec<Vec<Bar>>),
    Publish,
    Reopen,
    Kill,
}

fn step() -> impl Strategy<Value = Step> {
    // Days on both sides of two new years, few symbols and few values: collisions and duplicates are common.
    let row = (
        0u8..5,
        prop::sample::select(vec![-1i64, 0, 1, 364, 365, 366, 19_000]),
        0u8..3,
        prop::option::of(0i64..2),
    );
    let batch = prop::collection::vec(row, 0..12);
    prop_oneof![
        6 => prop::collection::vec(batch, 1..4).prop_map(Step::Commit),
        2 => Just(Step::Publish),
        1 => Just(Step::Reopen),
        1 => Just(Step::Kill),
    ]
}

fn open(disk: &SimDisk) -> Store {
    let compression = Compression::None;
    let config = Config { row_group_rows: 7, compression, cache_bytes: 2000, ..Config::default() };
    let builder = Store::builder(config).table(bars()).table(ledger());
    builder.disk(Arc::new(disk.clone())).open(Path::new("/data/store")).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_store_is_a_map(steps in prop::collection::vec(step(), 1..14)) {
        let mut disk = SimDisk::new();
        let mut store = open(&disk);
        let mut model = Rows::new();
        let mut commits = 0i64;
        for step in steps {
            match step {
                Step::Commit(batches) => {
                    let mut group = Vec::new();
                    let mut expected = Vec::new();
                    for batch in batches {
                        commits += 1;
                        let rows: Vec<_> = batch
                            .into_iter()
                            .map(|(symbol, day, close, volume)| (format!("S{symbol}"), day, f64::from(close), volume))
                            .collect();
                        let mut stored = 0;
                        for (symbol, day, close, volume) in rows.clone() {
                            let value = (close.to_bits(), volume);
                            stored += u64::from(model.insert((symbol, day), value) != Some(value));
                        }
                        expected.push((rows.len() as u64, stored));
                        group.push(Changes::new().upsert("us_daily", bars_of(rows)).upsert("ledger", ledger_row("all", commits)));
                    }
                    let receipts = store.commit_group(group).unwrap();
                    for (receipt, (received, stored)) in receipts.iter().zip(expected) {
                        let table = receipt.table("us_daily");
                        prop_assert_eq!((table.received, table.stored, table.duplicate), (received, stored, received - stored));
                        prop_assert_eq!(receipt.table("ledger").stored, 1);
                    }
                }
                Step::Publish => {
                    store.publish().unwrap();
                    let reader = ReadOnly::open_on(Arc::new(disk.clone()), Path::new("/data/store")).unwrap();
                    if !model.is_empty() {
                        prop_assert_eq!(&collect(reader.scan("us_daily", &Scan::new()).unwrap()).0, &model);
                    }
                }
                Step::Reopen => {
                    store.close().unwrap();
                    drop(store);
                    store = open(&disk);
                }
                Step::Kill => {
                    disk = disk.kill();
                    store = open(&disk);
                }
            }
            let (rows, doubled) = collect(store.scan("us_daily", &Scan::new()).unwrap());
            prop_assert_eq!(doubled, 0);
            prop_assert_eq!(&rows, &model);
        }
        let report = verify_on(&disk, Path::new("/data/store")).unwrap();
        prop_assert!(report.is_sound(), "{:?}", report);
    }
}
