//! Bulk loading: sorted rows straight into files, refused where they would have to be merged.

use std::sync::Arc;

use tidemill_journal::sim::{Keep, SimDisk};
use tidemill_storage::{Changes, Config, ErrorKind, Scan, Store, arrow::arrow_array::RecordBatch, verify};

use crate::{Rows, bar, bars, bars_of, collect, ledger};

fn batches() -> Vec<RecordBatch> {
    // Four years a symbol, a batch that ends within a symbol.
    let rows: Vec<_> = (0..30)
        .flat_map(|symbol| {
            (0..1200).map(move |n| (format!("S{symbol:02}"), 18_262 + n, n as f64, Some(symbol)))
        })
        .collect();
    rows.chunks(1777).map(|rows| bars_of(rows.to_vec())).collect()
}

fn model() -> Rows {
    collect(batches().into_iter().map(Ok::<_, ()>)).0
}

#[test]
fn loaded_rows_are_what_committed_rows_are() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { row_group_rows: 1000, split_bytes: 20_000, ..Config::default() };
    let store = Store::builder(config).table(bars()).table(ledger()).open(dir.path()).unwrap();
    store.commit(Changes::new().upsert("us_daily", bar("OLD", 10_000, 1.0, None))).unwrap();
    let report = store.load("us_daily", batches()).unwrap();
    let loaded = &report.tables[1];
    assert_eq!(
        (loaded.merged, loaded.files_written, loaded.files_linked, loaded.rows),
        (36_000, 4, 1, 36_001)
    );
    let (mut rows, doubled) = collect(store.scan("us_daily", &Scan::new()).unwrap());
    assert_eq!(doubled, 0);
    assert!(rows.remove(&("OLD".to_owned(), 10_000)).is_some());
    assert!(rows == model());
    // Loaded rows are known: the same again is duplicate, another value replaces.
    let again = store.commit(Changes::new().upsert("us_daily", batches()[3].clone())).unwrap();
    assert_eq!(again.tables[0].stored, 0);
    store.commit(Changes::new().upsert("us_daily", bar("S03", 18_300, -1.0, None))).unwrap();
    store.close().unwrap();
    let report = verify(dir.path()).unwrap();
    assert!(report.is_sound() && report.tables.iter().any(|table| table.rows == 36_001), "{report:?}");
}

#[test]
fn what_would_have_to_be_merged_is_refused_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::builder(Config::default()).table(bars()).open(dir.path()).unwrap();
    let refused = |batches: Vec<RecordBatch>, why: &str| {
        let error = store.load("us_daily", batches).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Input);
        assert!(error.to_string().contains(why), "{error}");
    };
    refused(vec![bar("B", 10, 1.0, None), bar("A", 11, 1.0, None)], "sorted");
    refused(vec![bar("B", 10, 1.0, None), bar("B", 10, 2.0, None)], "sorted");
    let twenty = (0..20).chain([0]).map(|year| bar("A", 365 * year, 1.0, None)).collect();
    refused(twenty, "turns");
    assert!(collect(store.scan("us_daily", &Scan::new()).unwrap()).0.is_empty());
    store.load("us_daily", vec![bar("A", 10, 1.0, None)]).unwrap();
    refused(vec![bar("B", 11, 1.0, None)], "holds rows");
    let (rows, _) = collect(store.scan("us_daily", &Scan::new()).unwrap());
    assert_eq!(rows.len(), 1);
    assert!(store.load("nothing", batches()).is_err());
}

/// Stopped at any call a load brought all rows or none, and what was committed before it stands.
#[test]
fn a_crash_during_a_load_keeps_all_of_it_or_nothing() {
    let rows: Vec<_> = (0..40).map(|n| (format!("S{n:02}"), 18_262 + n * 20, 1.0, None)).collect();
    let expected = collect([Ok::<_, ()>(bars_of(rows.clone()))]).0;
    let mut outcomes = std::collections::BTreeSet::new();
    for at in 1.. {
        let disk = SimDisk::new();
        let open = |disk: &SimDisk| {
            let builder = Store::builder(Config { row_group_rows: 8, ..Config::default() }).table(bars());
            builder.disk(Arc::new(disk.clone())).open(std::path::Path::new("/store")).unwrap()
        };
        let store = open(&disk);
        store.commit(Changes::new().upsert("us_daily", bar("OLD", 0, 1.0, None))).unwrap();
        store.publish().unwrap();
        disk.crash_at(disk.calls() + at);
        let done = store.load("us_daily", [bars_of(rows.clone())]).is_ok();
        drop(store);
        for keep in [Keep::Nothing, Keep::Everything, Keep::Random(at)] {
            let disk = disk.crash(keep);
            let mut found = collect(open(&disk).scan("us_daily", &Scan::new()).unwrap()).0;
            assert!(found.remove(&("OLD".to_owned(), 0)).is_some(), "call {at}");
            assert!(
                found == expected || !done && found.is_empty(),
                "call {at}, {keep:?}: {} rows",
                found.len()
            );
            outcomes.insert((done, found.is_empty()));
        }
        if done {
            break;
        }
    }
    assert_eq!(outcomes.len(), 3, "refused and none, refused and all, done and all: {outcomes:?}");
}
