//! The contract by example: counts, locks, errors, links, grace.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use tidemill_storage::{Changes, Config, ErrorKind, Partition, Scan, Store, TableSpec};

use crate::{bar, bars, bars_of, bars_schema, collect, ledger, ledger_row};

fn open(dir: &std::path::Path) -> Store {
    Store::builder(Config::default()).table(bars()).table(ledger()).open(dir).unwrap()
}

#[test]
fn received_is_stored_plus_duplicate_in_memory_and_when_published() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let commit = |rows| {
        let receipt = store.commit(Changes::new().upsert("us_daily", rows)).unwrap();
        let table = receipt.table("us_daily");
        assert_eq!(table.received, table.stored + table.duplicate);
        (table.stored, table.duplicate)
    };
    let two = bars_of([("A".into(), 19_000, 1.0, Some(1)), ("A".into(), 19_001, 2.0, None)]);
    assert_eq!(commit(two.clone()), (2, 0));
    assert_eq!(commit(two.clone()), (0, 2));
    store.publish().unwrap();
    assert_eq!(commit(two), (0, 2), "what is published is known too");
    assert_eq!(commit(bar("A", 19_001, 2.0, Some(0))), (1, 0), "a null is not a zero");
    assert_eq!(commit(bar("A", 19_001, 2.0, Some(0))), (0, 1));
    assert_eq!(commit(bar("A", 19_001, f64::NAN, None)), (1, 0));
    assert_eq!(commit(bar("A", 19_001, f64::NAN, None)), (0, 1), "a NaN equals itself");
    // Twice within one batch, and not in order: the later wins.
    let mixed = bars_of([
        ("B".into(), 19_001, 1.0, None),
        ("B".into(), 19_000, 5.0, None),
        ("B".into(), 19_001, 3.0, None),
        ("B".into(), 19_001, 3.0, None),
    ]);
    assert_eq!(commit(mixed), (3, 1));
    let (rows, doubled) = collect(store.scan("us_daily", &Scan::new()).unwrap());
    assert_eq!((rows.len(), doubled), (4, 0));
    assert_eq!(rows[&("B".into(), 19_001)].0, 3f64.to_bits());
    let stats = store.stats();
    assert_eq!(stats.rows_received, stats.rows_stored + stats.rows_duplicate);
    assert_eq!(stats.commits, 8);
}

#[test]
fn the_published_tree_holds_parquet_files_in_hive_folders_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let rows = bars_of([("A".into(), 19_000, 1.0, None), ("A".into(), 19_720, 2.0, None)]);
    store.commit(Changes::new().upsert("us_daily", rows).upsert("ledger", ledger_row("A", 1))).unwrap();
    let report = store.publish().unwrap();
    assert_eq!(report.tables.len(), 2);
    let link = dir.path().join("parquet/us_daily");
    assert_eq!(std::fs::read_link(&link).unwrap().to_str(), Some("../snapshots/us_daily/000001"));
    assert!(link.join("year=2022/part-000001.parquet").is_file());
    assert!(link.join("year=2023/part-000001.parquet").is_file());
    assert_eq!(std::fs::read_dir(&link).unwrap().count(), 2);

    // The year that did not change is the same file, by hard link; nothing changed at all means no new snapshot.
    store.commit(Changes::new().upsert("us_daily", bar("B", 19_721, 2.0, None))).unwrap();
    let report = store.publish().unwrap();
    assert_eq!(report.tables.len(), 1);
    assert_eq!(
        (report.tables[0].files_linked, report.tables[0].files_written, report.tables[0].rows),
        (1, 1, 3)
    );
    use std::os::unix::fs::MetadataExt;
    assert_eq!(std::fs::metadata(link.join("year=2022/part-000001.parquet")).unwrap().nlink(), 2);
    assert!(store.publish().unwrap().tables.is_empty());
}

#[test]
fn a_second_writer_is_refused_by_pid_and_a_reader_is_not() {
    let dir = tempfile::tempdir().unwrap();
    // A lock file of a process that died holds nobody up.
    std::fs::write(dir.path().join("lock"), "pid 1").unwrap();
    let store = open(dir.path());
    store.commit(Changes::new().upsert("us_daily", bar("A", 19_000, 1.0, None))).unwrap();
    store.publish().unwrap();
    let error = Store::builder(Config::default()).table(bars()).open(dir.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked);
    assert!(error.to_string().contains(&format!("pid {}", std::process::id())), "{error}");

    let reader = Store::open_read_only(dir.path()).unwrap();
    assert_eq!(reader.tables().collect::<Vec<_>>(), ["us_daily"]);
    assert_eq!(reader.rows("us_daily").unwrap(), 1);
    let later = reader.published_at("us_daily").unwrap() + Duration::from_secs(7);
    assert_eq!(reader.staleness("us_daily", later).unwrap(), Duration::from_secs(7));
    assert_eq!(collect(reader.scan("us_daily", &Scan::new()).unwrap()).0.len(), 1);
    drop(store);
    open(dir.path());
}

#[test]
fn old_snapshots_live_for_the_grace_and_no_longer() {
    let dir = tempfile::tempdir().unwrap();
    let now = Arc::new(Mutex::new(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000)));
    let clock = now.clone();
    let store = Store::builder(Config::default())
        .table(bars())
        .clock(move || *clock.lock().unwrap())
        .open(dir.path())
        .unwrap();
    let publish = |day| {
        store.commit(Changes::new().upsert("us_daily", bar("A", day, 1.0, None))).unwrap();
        store.publish().unwrap();
    };
    let stands = |n: u64| dir.path().join(format!("snapshots/us_daily/{n:06}")).exists();
    publish(1);
    *now.lock().unwrap() += Duration::from_secs(3600);
    publish(2);
    assert!(stands(1), "it was replaced just now");
    *now.lock().unwrap() += Duration::from_secs(599);
    publish(3);
    assert!(stands(1) && stands(2));
    *now.lock().unwrap() += Duration::from_secs(1);
    publish(4);
    assert!(!stands(1) && stands(2) && stands(3) && stands(4));
    assert!(!dir.path().join("manifests/us_daily/000001.json").exists());
}

#[test]
fn rows_that_do_not_fit_are_refused_whole() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let good = bar("A", 19_000, 1.0, None);
    let refused = |changes: Changes, what: &str| {
        let error = store.commit(changes).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Input);
        assert!(error.to_string().contains(what), "{error}");
    };
    refused(Changes::new().upsert("us_daily", good.clone()).upsert("nowhere", good.clone()), "nowhere");
    refused(Changes::new().upsert("us_daily", good.clone()).upsert("ledger", good.clone()), "done");
    refused(Changes::new().upsert("us_daily", good.project(&[0, 1, 2]).unwrap()), "volume");
    assert!(collect(store.scan("us_daily", &Scan::new()).unwrap()).0.is_empty());
    // Columns may come in any order.
    store.commit(Changes::new().upsert("us_daily", good.project(&[3, 1, 4, 0, 2]).unwrap())).unwrap();
    assert_eq!(collect(store.scan("us_daily", &Scan::new()).unwrap()).0.len(), 1);
}

#[test]
fn declarations_are_checked_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let fails = |spec: TableSpec, what: &str| {
        let error = Store::builder(Config::default()).table(spec).open(dir.path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains(what), "{error}");
    };
    fails(TableSpec::new("../up", bars_schema(), ["symbol"]), "name");
    fails(TableSpec::new("t", bars_schema(), ["nothing"]), "nothing");
    fails(TableSpec::new("t", bars_schema(), ["close"]), "float");
    fails(TableSpec::new("t", bars_schema(), Vec::<String>::new()), "key");
    let year = Partition::Year { column: "ts".into() };
    fails(TableSpec::new("t", bars_schema(), ["symbol"]).partition(year), "part of the key");

    let store = open(dir.path());
    store.commit(Changes::new().upsert("us_daily", bar("A", 19_000, 1.0, None))).unwrap();
    store.close().unwrap();
    assert_eq!(store.commit(Changes::new()).unwrap_err().kind(), ErrorKind::Closed);
    // The closed store gave its lock back, though a clone still lives.
    fails(TableSpec::new("us_daily", bars_schema(), ["symbol", "ts"]), "partition");
    fails(TableSpec::new("us_daily", bars().schema, ["ts", "symbol"]), "key");
}

#[test]
fn a_scan_reads_what_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { row_group_rows: 10, ..Config::default() };
    let store = Store::builder(config).table(bars()).open(dir.path()).unwrap();
    for symbol in ["A", "AA", "B", "C"] {
        let rows = bars_of((0..40).map(|n| (symbol.to_owned(), 19_340 + n, n as f64, Some(n))));
        store.commit(Changes::new().upsert("us_daily", rows)).unwrap();
    }
    store.publish().unwrap();
    store.commit(Changes::new().upsert("us_daily", bar("AA", 19_341, 99.0, None))).unwrap();
    let read = |scan: &Scan| collect(store.scan("us_daily", scan).unwrap()).0;
    let all = read(&Scan::new());
    assert_eq!(all.len(), 160);
    for symbol in ["A", "AA", "B", "C", "D"] {
        let expected: Vec<_> = all.iter().filter(|(key, _)| key.0 == symbol).collect();
        assert_eq!(read(&Scan::new().prefix([symbol])).iter().collect::<Vec<_>>(), expected, "{symbol}");
    }
    let some = read(&Scan::new().range("ts", 19_350 * crate::DAY..19_352 * crate::DAY));
    assert_eq!(some.len(), 8);
    assert!(read(&Scan::new().range("ts", 0..1)).is_empty());
    let columns = Scan::new().columns(["close"]);
    let batches: Vec<_> = store.scan("us_daily", &columns).unwrap().map(Result::unwrap).collect();
    assert!(batches.iter().all(|batch| batch.num_columns() == 1));
    assert_eq!(batches.iter().map(|batch| batch.num_rows()).sum::<usize>(), 160);
    assert!(store.scan("us_daily", &Scan::new().columns(["nothing"])).is_err());
}

#[test]
fn the_latest_rows_of_a_series_come_from_disk_and_memory() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for symbol in ["A", "AA", "B"] {
        let rows = bars_of((0..800).map(|n| (symbol.to_owned(), 19_000 + n, n as f64, Some(n))));
        store.commit(Changes::new().upsert("us_daily", rows)).unwrap();
    }
    store.publish().unwrap();
    let closes = |n: usize| {
        let batches = store.latest("us_daily", &["AA"], n).unwrap();
        collect(batches.into_iter().map(Ok::<_, ()>))
            .0
            .into_values()
            .map(|row| f64::from_bits(row.0))
            .collect::<Vec<_>>()
    };
    assert_eq!(closes(3), [797.0, 798.0, 799.0]);
    store.commit(Changes::new().upsert("us_daily", bar("AA", 19_799, -1.0, None))).unwrap();
    store.commit(Changes::new().upsert("us_daily", bar("AA", 20_800, -2.0, None))).unwrap();
    assert_eq!(closes(3), [798.0, -1.0, -2.0]);
    assert_eq!((closes(0).len(), closes(800).len(), closes(5000).len()), (0, 800, 801));
    assert!(store.latest("us_daily", &["NONE"], 3).unwrap().is_empty());
    assert_eq!(store.latest("us_daily", &[], 3).unwrap_err().kind(), ErrorKind::Input);

    // What is published is what a reader says stands there, column by column.
    let reader = Store::open_read_only(dir.path()).unwrap();
    assert_eq!(reader.latest("us_daily", &["AA"], 2).unwrap()[0].num_rows(), 2);
    let columns = reader.columns("us_daily").unwrap();
    assert_eq!(
        columns.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(),
        ["symbol", "ts", "close", "volume", "cost"]
    );
    assert!(columns[1].encodings.contains(&"DELTA_BINARY_PACKED".to_owned()), "{columns:?}");
    assert!(columns.iter().all(|column| ["zstd", "none"].contains(&&*column.compression)), "{columns:?}");
    assert!(columns.iter().all(|column| column.bytes > 0));
}

#[test]
fn too_much_unpublished_is_refused_until_it_is_published() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { flush_bytes: 200_000, ..Config::default() };
    let store = Store::builder(config).table(bars()).open(dir.path()).unwrap();
    let mut day = 0;
    let error = loop {
        let rows = bars_of((0..1000).map(|n| ("A".to_owned(), day + n, 1.0, None)));
        day += 1000;
        match store.commit(Changes::new().upsert("us_daily", rows)) {
            Ok(_) => assert!(day < 1_000_000),
            Err(error) => break error,
        }
    };
    assert_eq!((error.kind(), error.is_retryable(), store.needs_publish()), (ErrorKind::Full, true, true));
    store.publish().unwrap();
    assert!(!store.needs_publish());
    store.commit(Changes::new().upsert("us_daily", bar("A", day, 1.0, None))).unwrap();
}

#[test]
fn threads_share_frames_and_a_publish_does_not_stop_them() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    std::thread::scope(|scope| {
        for thread in 0..8i64 {
            let store = store.clone();
            scope.spawn(move || {
                for day in 0..40 {
                    let rows = bar(&format!("S{thread}"), 19_000 + day, day as f64, None);
                    let changes =
                        Changes::new().upsert("us_daily", rows).upsert("ledger", ledger_row("all", thread));
                    let receipt = store.commit(changes).unwrap();
                    assert_eq!(receipt.table("us_daily").stored, 1);
                }
            });
        }
        for _ in 0..5 {
            store.publish().unwrap();
        }
    });
    let stats = store.stats();
    assert_eq!(stats.commits, 320);
    assert!(stats.groups <= 320);
    assert_eq!(collect(store.scan("us_daily", &Scan::new()).unwrap()).0.len(), 320);
    store.close().unwrap();
    let report = tidemill_storage::verify(dir.path()).unwrap();
    assert!(report.is_sound());
    assert_eq!((report.tables.iter().map(|t| t.rows).sum::<u64>(), report.journal_frames), (321, 0));
}

#[test]
fn with_a_lazy_sync_commits_are_durable_after_sync() {
    use tidemill_journal::{
        Sync,
        sim::{Keep, SimDisk},
    };
    let config = || Config {
        journal: tidemill_journal::Config { sync: Sync::Size(1 << 20), ..Default::default() },
        ..Config::default()
    };
    let open = |disk: &SimDisk| {
        let builder = Store::builder(config()).table(bars()).disk(Arc::new(disk.clone()));
        builder.open(std::path::Path::new("/data/store")).unwrap()
    };
    let disk = SimDisk::new();
    let store = open(&disk);
    let commit = |day| store.commit(Changes::new().upsert("us_daily", bar("A", day, 1.0, None))).unwrap();
    commit(1);
    commit(2);
    store.sync().unwrap();
    commit(3);
    let left = |keep| collect(open(&disk.crash(keep)).scan("us_daily", &Scan::new()).unwrap()).0.len();
    assert_eq!((left(Keep::Nothing), left(Keep::Everything)), (2, 3));
    store.publish().unwrap();
    assert_eq!(left(Keep::Nothing), 3, "a publish makes everything durable");
}
