//! The second home of a store: what is pushed, who may push, what a crash or a dead line leaves behind.

mod bucket;
mod server;
mod writers;

use std::{
    path::Path,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use bucket::{Fail, TestBucket};
use tidemill_journal::sim::{Keep, SimDisk};
use tidemill_storage::{
    Ack, Changes, Compression, Config, ErrorKind, Remote, RemoteConfig, Scan, Store, TableSpec,
    arrow::{
        arrow_array::{Int64Array, RecordBatch, StringArray},
        arrow_schema::{DataType, Field, Schema},
    },
};

use crate::{Rows, bar, bars, bars_of, collect, ledger, ledger_row};

const DIR: &str = "/data/store";

fn config() -> RemoteConfig {
    RemoteConfig { bucket: "tides".into(), prefix: "north/sea".into(), ..RemoteConfig::default() }
}

fn remote(bucket: &TestBucket, config: RemoteConfig) -> Remote {
    Remote::on(Arc::new(bucket.clone()), config).unwrap()
}

fn open_on(disk: &SimDisk, remote: Remote) -> Store {
    let store = Store::builder(Config { compression: Compression::None, ..Config::default() });
    let store = store.table(bars()).table(ledger()).remote(remote);
    store.disk(Arc::new(disk.clone())).open(Path::new(DIR)).unwrap()
}

fn open(disk: &SimDisk, bucket: &TestBucket) -> Store {
    open_on(disk, remote(bucket, config()))
}

fn put(store: &Store, day: i64, close: f64) {
    store.commit(Changes::new().upsert("us_daily", bar("AAPL", day, close, None))).unwrap();
    store.publish().unwrap();
}

/// What a reader of the bucket sees; every checksum was compared on the way.
fn read(bucket: &TestBucket) -> Rows {
    let remote = remote(bucket, config());
    let report = remote.verify().unwrap();
    assert!(report.is_sound(), "{report:?}");
    let reader = remote.open().unwrap();
    if !reader.tables().any(|table| table == "us_daily") {
        return Rows::new();
    }
    let (rows, doubled) = collect(reader.scan("us_daily", &Scan::new()).unwrap());
    assert_eq!(doubled, 0);
    rows
}

fn local(store: &Store) -> Rows {
    collect(store.scan("us_daily", &Scan::new()).unwrap()).0
}

#[test]
fn a_reader_of_the_bucket_sees_what_was_pushed_and_only_new_files_are_sent() {
    let (disk, bucket) = (SimDisk::new(), TestBucket::new());
    let store = open(&disk, &bucket);
    assert_eq!(store.push().unwrap().tables, []);
    let years = (0..3).map(|year| ("AAPL".to_owned(), 19_000 + year * 366, 1.0, None));
    let row = Changes::new().upsert("us_daily", bars_of(years)).upsert("ledger", ledger_row("AAPL", 1));
    store.commit(row).unwrap();
    store.publish().unwrap();
    assert_eq!(read(&bucket), Rows::new(), "published is not pushed");

    let pushed = store.push().unwrap();
    let counts: Vec<_> = pushed.tables.iter().map(|t| (t.name.as_str(), t.version, t.uploads)).collect();
    assert_eq!(counts, [("us_daily", 1, 3), ("ledger", 1, 1)]);
    assert_eq!(read(&bucket), local(&store));
    assert_eq!(store.push().unwrap().tables, [], "nothing is new");

    // One year of three changes.
    put(&store, 19_001, 2.0);
    assert_eq!(read(&bucket).len(), 3);
    let pushed = store.push().unwrap();
    assert_eq!(pushed.tables.len(), 1);
    assert_eq!((pushed.tables[0].version, pushed.tables[0].uploads, pushed.tables[0].kept), (2, 1, 2));
    assert_eq!(read(&bucket), local(&store));
    let reader = remote(&bucket, config()).open().unwrap();
    let last = reader.latest("us_daily", &["AAPL"], 1).unwrap();
    assert_eq!(last.iter().map(RecordBatch::num_rows).sum::<usize>(), 1);
    assert_eq!(reader.snapshot("us_daily").unwrap(), 2);
    let stats = store.remote_stats().unwrap();
    assert_eq!((stats.pushes, stats.uploads, stats.errors, stats.behind), (3, 5, 0, 0));
}

#[test]
fn a_writer_that_comes_back_goes_on_where_it_was() {
    let (disk, bucket) = (SimDisk::new(), TestBucket::new());
    let store = open(&disk, &bucket);
    put(&store, 1, 1.0);
    store.push().unwrap();
    put(&store, 2, 1.0);
    drop(store);
    let store = open(&disk.kill(), &bucket);
    let pushed = store.push().unwrap();
    assert_eq!(pushed.tables[0].version, 2);
    assert_eq!(read(&bucket), local(&store));
}

/// Each request of a push is lost in turn, on its way there or on its way back; afterwards the writer pushes again, once as
/// the same process and once as the next. Nothing is ever shown but whole snapshots.
#[test]
fn a_lost_request_loses_nothing_and_what_was_sent_is_not_sent_again() {
    let mut resumed = 0;
    for how in [Fail::Before, Fail::After] {
        for restart in [false, true] {
            for at in 1.. {
                let (mut disk, bucket) = (SimDisk::new(), TestBucket::new());
                let mut store = open(&disk, &bucket);
                put(&store, 19_000, 1.0);
                store.push().unwrap();
                let before = read(&bucket);
                let rows = (0..4).map(|year| ("AAPL".to_owned(), 19_000 + year * 366, 2.0, None));
                store.commit(Changes::new().upsert("us_daily", bars_of(rows))).unwrap();
                store.publish().unwrap();
                bucket.fail_at(at, how);
                let outcome = store.push();
                if !bucket.has_failed() {
                    outcome.unwrap();
                    break;
                }
                bucket.heal();
                if let Err(error) = outcome {
                    assert!(error.is_retryable() && error.kind() == ErrorKind::Remote, "{error}");
                }
                let seen = read(&bucket);
                assert!(seen == before || seen == local(&store), "request {at} left half a snapshot");
                if restart {
                    drop(store);
                    disk = disk.kill();
                    store = open(&disk, &bucket);
                }
                let pushed = store.push().unwrap();
                resumed += pushed.tables.iter().map(|table| table.resumed).sum::<u64>();
                assert_eq!(read(&bucket), local(&store), "{how:?} of request {at}, restart {restart}");
            }
        }
    }
    assert!(resumed > 4, "{resumed}");
}

/// What a folder knows of the bucket is durable before the bucket changes; the control switches each of those syncs off.
#[test]
fn after_a_power_failure_a_writer_knows_its_own_manifest() {
    let run = |ignored: Option<&'static str>| {
        let (disk, bucket) = (SimDisk::new(), TestBucket::new());
        if let Some(site) = ignored {
            disk.ignore_site(site);
        }
        let store = open(&disk, &bucket);
        put(&store, 1, 1.0);
        store.push().unwrap();
        drop(store);
        let store = open(&disk.crash(Keep::Nothing), &bucket);
        put(&store, 2, 1.0);
        store.push().map(|_| assert_eq!(read(&bucket).len(), 2)).map_err(|error| error.kind())
    };
    assert_eq!(run(None), Ok(()));
    for site in ["storage.remote-folder", "storage.remote-name"] {
        assert_eq!(run(Some(site)), Err(ErrorKind::Stale), "{site} is not needed");
    }
    // Without the file's own sync its text is lost, which is no reason to guess.
    assert_eq!(run(Some("storage.remote-state")), Err(ErrorKind::Corrupt));
}

/// Every acknowledged commit is in the bucket, whatever happened to the machine and on the line.
#[test]
fn a_commit_acknowledged_by_the_remote_survives_the_machine() {
    let bucket = TestBucket::new();
    let remote_ack = || remote(&bucket, RemoteConfig { ack: Ack::Remote, ..config() });
    let mut disk = SimDisk::new();
    let mut store = open_on(&disk, remote_ack());
    let (mut kept, mut failed) = (Rows::new(), 0);
    for day in 0..60 {
        if day % 3 == 1 {
            bucket.fail_at(1 + day as u64 % 5, if day % 2 == 0 { Fail::Before } else { Fail::After });
        }
        let rows = bar("AAPL", day * 40, day as f64, None);
        match store.commit(Changes::new().upsert("us_daily", rows)) {
            Ok(_) => drop(kept.insert(("AAPL".into(), day * 40), ((day as f64).to_bits(), None))),
            Err(error) => {
                assert!(error.is_retryable(), "{error}");
                failed += 1;
            }
        }
        bucket.heal();
        if day % 20 == 19 {
            // The machine is gone; another brings the tables back and goes on.
            drop(store);
            disk = SimDisk::new();
            let restored = remote_ack().restore_on(Arc::new(disk.clone()), Path::new(DIR), SystemTime::now());
            assert!(!restored.unwrap().is_empty());
            store = open_on(&disk, remote_ack());
            let rows = local(&store);
            let missing: Vec<_> = kept.iter().filter(|(key, row)| rows.get(*key) != Some(row)).collect();
            assert!(missing.is_empty(), "acknowledged and lost: {missing:?}");
        }
    }
    assert!(failed > 5, "the line was never dead");
}

/// The control of the test above: with `ack = "local"` the loss of the machine loses what was not pushed.
#[test]
fn without_it_what_was_not_pushed_goes_with_the_machine() {
    let (disk, bucket) = (SimDisk::new(), TestBucket::new());
    let store = open(&disk, &bucket);
    put(&store, 1, 1.0);
    store.push().unwrap();
    put(&store, 2, 1.0);
    assert_eq!((local(&store).len(), read(&bucket).len()), (2, 1));
}

#[test]
fn replaced_keys_stay_for_readers_and_go_after_their_grace() {
    let (disk, bucket) = (SimDisk::new(), TestBucket::new());
    let ahead = Arc::new(AtomicU64::new(0));
    let clock = {
        let ahead = ahead.clone();
        move || SystemTime::now() + Duration::from_secs(ahead.load(Relaxed))
    };
    let builder = Store::builder(Config::default()).table(bars()).remote(remote(&bucket, config()));
    let store = builder.disk(Arc::new(disk)).clock(clock).open(Path::new(DIR)).unwrap();
    put(&store, 1, 1.0);
    store.push().unwrap();
    let reader = remote(&bucket, config()).open().unwrap();
    let first = read(&bucket);
    put(&store, 1, 2.0);
    assert_eq!(store.push().unwrap().tables[0].deleted, 0);
    assert_eq!(collect(reader.scan("us_daily", &Scan::new()).unwrap()).0, first, "in its grace");

    ahead.store(700, Relaxed);
    put(&store, 1, 3.0);
    let pushed = store.push().unwrap();
    assert_eq!(pushed.tables[0].deleted, 1, "the first snapshot's file, and not the one just replaced");
    assert_eq!(read(&bucket), local(&store));
    let late = reader.scan("us_daily", &Scan::new()).map(|mut batches| batches.any(|b| b.is_err()));
    assert!(late.unwrap_or(true), "a reader that is too late gets an error and no wrong row");
}

#[test]
fn a_file_longer_than_a_part_is_sent_in_parts_and_read_in_blocks() {
    let schema = Arc::new(Schema::new(vec![
        Field::new("key", DataType::Int64, false),
        Field::new("text", DataType::Utf8, false),
    ]));
    let (disk, bucket) = (SimDisk::new(), TestBucket::new());
    let small = RemoteConfig { part_bytes: 5 << 20, block_bytes: 64 << 10, blocks: 2, ..config() };
    let store = Store::builder(Config { compression: Compression::None, ..Config::default() })
        .table(TableSpec::new("texts", schema.clone(), ["key"]))
        .remote(remote(&bucket, small.clone()))
        .disk(Arc::new(disk))
        .open(Path::new(DIR))
        .unwrap();
    let text = |key: i64| format!("{:0>1000}", key * 7_919);
    let keys = Int64Array::from_iter_values(0..12_000);
    let texts = StringArray::from_iter_values((0..12_000).map(text));
    let rows = RecordBatch::try_new(schema, vec![Arc::new(keys), Arc::new(texts)]).unwrap();
    store.commit(Changes::new().upsert("texts", rows)).unwrap();
    store.publish().unwrap();
    let pushed = store.push().unwrap();
    assert!(pushed.tables[0].bytes > 2 * small.part_bytes, "{pushed:?}");
    let remote = remote(&bucket, small);
    assert!(remote.verify().unwrap().is_sound());
    let reader = remote.open().unwrap();
    let some = reader.scan("texts", &Scan::new().range("key", 11_990..12_100)).unwrap();
    assert_eq!(some.map(|batch| batch.unwrap().num_rows()).sum::<usize>(), 10);
}

#[test]
fn no_more_requests_are_under_way_than_the_configuration_says() {
    for most in [1, 3] {
        let (disk, bucket) = (SimDisk::new(), TestBucket::new());
        let store = open_on(&disk, remote(&bucket, RemoteConfig { concurrency: most, ..config() }));
        let rows = (0..20).map(|year| ("AAPL".to_owned(), 10_000 + year * 366, 1.0, None));
        store.commit(Changes::new().upsert("us_daily", bars_of(rows))).unwrap();
        store.publish().unwrap();
        store.push().unwrap();
        assert_eq!(bucket.most_under_way(), most);
    }
}

#[test]
fn a_damaged_file_is_not_sent() {
    let (disk, bucket) = (SimDisk::new(), TestBucket::new());
    let store = open(&disk, &bucket);
    put(&store, 1, 1.0);
    disk.flip_bit(Path::new("/data/store/snapshots/us_daily/000001/year=1970/part-000001.parquet"), 900)
        .unwrap();
    let error = store.push().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert_eq!(read(&bucket), Rows::new());
}

#[test]
fn a_folder_that_holds_a_table_is_not_restored_over() {
    let (disk, bucket) = (SimDisk::new(), TestBucket::new());
    let store = open(&disk, &bucket);
    put(&store, 1, 1.0);
    store.push().unwrap();
    drop(store);
    let restore = |disk: &SimDisk| {
        remote(&bucket, config()).restore_on(Arc::new(disk.clone()), Path::new(DIR), SystemTime::now())
    };
    let error = restore(&disk.kill()).unwrap_err();
    assert!(error.to_string().contains("empty folder"), "{error}");
    // Stopped at any call, it may be called again.
    for at in 1.. {
        let fresh = SimDisk::new();
        fresh.crash_at(at);
        let done = restore(&fresh).is_ok();
        let fresh = fresh.crash(Keep::Random(at));
        match restore(&fresh) {
            Ok(_) => {}
            Err(error) => assert!(error.to_string().contains("empty folder"), "{error}"),
        }
        let store = open(&fresh, &bucket);
        assert_eq!(local(&store), read(&bucket));
        put(&store, 1, at as f64);
        store.push().unwrap();
        if done {
            break;
        }
    }
}

/// Between the beginning of a push and its turn another pushes something newer: that is not taken back.
#[test]
fn a_push_never_goes_back_to_an_older_snapshot() {
    let (disk, bucket) = (SimDisk::new(), TestBucket::new());
    let (other, armed) = (Arc::new(OnceLock::<Store>::new()), Arc::new(AtomicBool::new(false)));
    // The clock is read when a push begins.
    let clock = {
        let (other, armed) = (other.clone(), armed.clone());
        move || {
            if armed.swap(false, Relaxed) {
                put(other.get().unwrap(), 2, 1.0);
                other.get().unwrap().push().unwrap();
            }
            SystemTime::now()
        }
    };
    let builder = Store::builder(Config::default()).table(bars()).remote(remote(&bucket, config()));
    let store = builder.disk(Arc::new(disk)).clock(clock).open(Path::new(DIR)).unwrap();
    other.set(store.clone()).unwrap();
    put(&store, 1, 1.0);
    armed.store(true, Relaxed);
    store.push().unwrap();
    assert!(!armed.load(Relaxed));
    assert_eq!(read(&bucket).len(), 2);
    other.get().unwrap().close().unwrap();
}
