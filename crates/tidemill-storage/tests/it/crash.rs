//! A scripted history of commits and publishes is stopped at every disk call, and each single sync is switched off once.

use std::{cell::Cell, collections::BTreeSet, io, path::Path, sync::Arc};

use tidemill_journal::{
    Disk,
    sim::{Keep, SimDisk},
};
use tidemill_storage::{Changes, Compression, Config, ErrorKind, Scan, Store, verify_on};

use crate::{Rows, bars, bars_of, collect, ledger, ledger_row};

const ROOT: &str = "/data/deep/store";

thread_local! {
    static SPLIT_BYTES: Cell<u64> = Cell::new(Config::default().split_bytes);
}

/// What was acknowledged, and what a commit that was not acknowledged may have brought.
#[derive(Clone, Default)]
struct Known {
    acked: Rows,
    maybe: Rows,
    round: i64,
}

fn open(disk: &SimDisk) -> Result<Store, tidemill_storage::Error> {
    let config = Config {
        split_bytes: SPLIT_BYTES.get(),
        row_group_rows: 4,
        // The calls matter here, not the bytes.
        compression: Compression::None,
        reader_grace: std::time::Duration::ZERO,
        journal: tidemill_journal::Config { segment_bytes: 4096, ..Default::default() },
        ..Config::default()
    };
    Store::builder(config).table(bars()).table(ledger()).disk(Arc::new(disk.clone())).open(Path::new(ROOT))
}

/// One commit of new rows, a changed one, and rows that stand there already.
fn commit(store: &Store, known: &mut Known) -> bool {
    known.round += 1;
    let round = known.round;
    let rows: Vec<_> = [
        ("A".to_owned(), 19_000 + round, round as f64, Some(round)),
        ("A".to_owned(), 19_500, round as f64, None),
        ("B".to_owned(), 300 + round, 1.0, None),
        ("B".to_owned(), 19_001, 7.0, Some(1)),
        ("C".to_owned(), 19_000 + round / 3, 5.0, Some(2)),
    ]
    .into();
    let changes =
        Changes::new().upsert("us_daily", bars_of(rows.clone())).upsert("ledger", ledger_row("all", round));
    known.maybe =
        rows.into_iter().map(|(s, day, close, volume)| ((s, day), (close.to_bits(), volume))).collect();
    let done = store.commit(changes).is_ok();
    if done {
        known.acked.append(&mut known.maybe);
    }
    done
}

/// Opens, commits, publishes, closes, opens again. Ends early, without complaint, when the disk stops.
fn history(disk: &SimDisk, known: &mut Known) {
    for life in 0..2 {
        let Ok(store) = open(disk) else { return };
        for step in 0..5 {
            if !commit(&store, known) {
                return;
            }
            if step == 1 && store.publish().is_err() || step == 3 && life == 0 && store.publish().is_err() {
                return;
            }
        }
        if life == 0 && store.close().is_err() {
            return;
        }
    }
}

fn check(disk: &SimDisk, known: &Known) -> Result<(), String> {
    let store = open(disk).map_err(|error| format!("cannot open: {error}"))?;
    let read = |store: &Store| {
        let scan = store.scan("us_daily", &Scan::new()).map_err(|error| error.to_string())?;
        let batches: Vec<_> = scan.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
        Ok::<_, String>(collect(batches.into_iter().map(Ok::<_, ()>)))
    };
    let judge = |(rows, doubled): (Rows, usize)| {
        if doubled > 0 {
            return Err(format!("{doubled} rows are doubled"));
        }
        for (key, value) in &known.acked {
            let found = rows.get(key);
            if found != Some(value) && (found.is_none() || found != known.maybe.get(key)) {
                return Err(format!("acknowledged {key:?} is {found:?}, not {value:?}"));
            }
        }
        let invented =
            rows.iter().find(|(key, _)| !known.acked.contains_key(key) && !known.maybe.contains_key(key));
        invented.map_or(Ok(()), |row| Err(format!("{row:?} was never committed")))
    };
    judge(read(&store)?)?;
    let ledger = store.scan("ledger", &Scan::new()).map_err(|e| e.to_string())?;
    let ledger: usize = ledger.map(|batch| batch.map_or(99, |batch| batch.num_rows())).sum();
    if ledger != usize::from(!known.acked.is_empty()) && known.maybe.is_empty() {
        return Err(format!("the ledger has {ledger} rows"));
    }
    store.publish().map_err(|error| format!("cannot publish: {error}"))?;
    judge(read(&store)?)?;
    let report = verify_on(disk, Path::new(ROOT)).map_err(|error| error.to_string())?;
    if report.is_sound() { Ok(()) } else { Err(format!("{report:?}")) }
}

/// Crashes at call `at`: at once, and after the process was killed there and a second one went on for a while.
fn crash_at(at: u64, ignored: Option<&'static str>, seeds: u64) -> Result<(), String> {
    let run = || {
        let disk = SimDisk::new();
        if let Some(site) = ignored {
            disk.ignore_site(site);
        }
        disk.crash_at(at);
        let mut known = Known::default();
        history(&disk, &mut known);
        (disk, known)
    };
    let (disk, known) = run();
    let keeps = || [Keep::Nothing, Keep::Everything].into_iter().chain((1..=seeds).map(Keep::Random));
    for keep in keeps() {
        if let Err(broken) = check(&disk.crash(keep), &known) {
            return Err(format!("call {at}, {keep:?}: {broken}"));
        }
    }
    // The second process sees everything the first one did, durable or not, and builds upon it.
    let second = disk.kill();
    let mut after = known;
    let Ok(store) = open(&second) else {
        return Err(format!("call {at}: cannot open after a kill"));
    };
    let seen = collect(store.scan("us_daily", &Scan::new()).unwrap().collect::<Vec<_>>()).0;
    after.acked.extend(seen);
    after.maybe.clear();
    // Rows it was shown count as kept from then on: committed again they would be duplicates, and written nowhere.
    for keep in [Keep::Nothing, Keep::Random(at)] {
        if let Err(broken) = check(&second.crash(keep), &after) {
            return Err(format!("call {at}, killed, opened, then {keep:?}: {broken}"));
        }
    }
    let done = commit(&store, &mut after) && (at.is_multiple_of(2) || store.close().is_ok());
    if !done {
        return Err(format!("call {at}: cannot go on after a kill"));
    }
    for keep in keeps() {
        if let Err(broken) = check(&second.crash(keep), &after) {
            return Err(format!("call {at}, killed, then {keep:?}: {broken}"));
        }
    }
    Ok(())
}

/// The first broken promise over all crash points, in an order that jumps about: a switched off sync is then noticed soon.
fn first_failure(ignored: Option<&'static str>, seeds: u64) -> Option<String> {
    let calls = {
        let disk = SimDisk::new();
        history(&disk, &mut Known::default());
        disk.calls()
    };
    assert!(calls > 150, "the history is too short to prove anything: {calls} calls");
    // 127 is prime, so that every residue comes up once.
    assert_ne!(calls % 127, 0);
    let points = (0..calls).map(|n| n * 127 % calls + 1).chain([calls + 1]);
    points.map(|at| crash_at(at, ignored, seeds)).find_map(Result::err)
}

#[test]
fn a_crash_at_any_call_keeps_every_acknowledged_row_once() {
    assert_eq!(first_failure(None, 3), None);
}

/// With folders that are cut into parts as soon as they hold two series.
#[test]
fn a_crash_while_folders_are_cut_into_parts_keeps_every_row_once() {
    SPLIT_BYTES.set(1024);
    let disk = SimDisk::new();
    let mut known = Known::default();
    history(&disk, &mut known);
    let store = open(&disk).unwrap();
    assert!(commit(&store, &mut known));
    let cut: u64 = store.publish().unwrap().tables.iter().map(|table| table.files_split).sum();
    let parts = disk.list(&Path::new(ROOT).join("parquet/us_daily/year=2022")).unwrap();
    assert!(cut > 0 || parts.len() > 1, "nothing was cut");
    assert_eq!(first_failure(None, 1), None);
}

#[test]
fn each_single_sync_that_is_switched_off_is_noticed() {
    let disk = SimDisk::new();
    history(&disk, &mut Known::default());
    // A second life after a kill passes the sites that only an unclean end reaches.
    let second = disk.kill();
    open(&second).unwrap().close().unwrap();
    let sites: BTreeSet<_> = disk.sites().into_keys().chain(second.sites().into_keys()).collect();
    let all = [
        "journal.close",
        "journal.close-name",
        "journal.frame",
        "journal.name",
        "journal.reopen",
        "journal.reopen-name",
        "storage.file",
        "storage.folder",
        "storage.link",
        "storage.manifest",
        "storage.manifest-name",
        "storage.manifests",
        "storage.parent",
        "storage.reopen",
        "storage.root",
        "storage.snapshot",
        "storage.snapshot-name",
        "storage.snapshots",
    ];
    assert_eq!(sites.into_iter().collect::<Vec<_>>(), all);
    let unnoticed: Vec<_> = all.into_iter().filter(|site| first_failure(Some(site), 8).is_none()).collect();
    assert!(unnoticed.is_empty(), "nothing noticed that these are off: {unnoticed:?}");
}

#[test]
fn a_failing_call_anywhere_is_an_error_that_loses_nothing() {
    let kinds = [io::ErrorKind::StorageFull, io::ErrorKind::Other, io::ErrorKind::ReadOnlyFilesystem];
    for at in 1.. {
        let kind = kinds[at as usize % 3];
        let disk = SimDisk::new();
        disk.fail_at(at, kind);
        let mut known = Known::default();
        history(&disk, &mut known);
        if let Err(broken) = check(&disk.kill(), &known) {
            panic!("{kind} at call {at}: {broken}");
        }
        if let Err(broken) = check(&disk.crash(Keep::Random(at)), &known) {
            panic!("{kind} at call {at}, then a crash: {broken}");
        }
        if disk.calls() < at {
            return;
        }
    }
}

#[test]
fn the_same_store_goes_on_after_a_failing_call() {
    for at in 20.. {
        let disk = SimDisk::new();
        disk.fail_at(at, io::ErrorKind::StorageFull);
        let mut known = Known::default();
        let Ok(store) = open(&disk) else { continue };
        let mut tries = 0;
        for step in 0..6 {
            // A refused commit is committed again, as a caller would; refused publishes are tried again later.
            while !commit(&store, &mut known) {
                known.round -= 1;
                tries += 1;
                assert!(tries < 3, "call {at}: commits do not recover");
            }
            if step % 2 == 1 {
                drop(store.publish());
            }
        }
        let finished = disk.calls() < at;
        store.close().or_else(|_| store.close()).unwrap_or_else(|error| panic!("call {at}: {error}"));
        drop(store);
        check(&disk.crash(Keep::Nothing), &known).unwrap_or_else(|broken| panic!("call {at}: {broken}"));
        if finished {
            return;
        }
    }
}

#[test]
fn a_full_disk_refuses_and_keeps_what_was_acknowledged() {
    let disk = SimDisk::new();
    let store = open(&disk).unwrap();
    let mut known = Known::default();
    assert!(commit(&store, &mut known));
    disk.set_capacity(Some(1));
    assert!(!commit(&store, &mut known));
    let rows = crate::bar("Z", 1, 1.0, None);
    let error = store.commit(Changes::new().upsert("us_daily", rows)).unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Disk, true));
    let error = store.publish().unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Disk, true), "{error:?}");
    check(&disk.kill(), &Known { acked: known.acked.clone(), ..Known::default() }).unwrap();
    disk.set_capacity(None);
    known.round -= 1;
    assert!(commit(&store, &mut known));
    store.publish().unwrap();
    drop(store);
    check(&disk.crash(Keep::Nothing), &known).unwrap();
}

#[test]
fn a_failed_fsync_is_an_error_and_the_commit_can_be_repeated() {
    let disk = SimDisk::new();
    let store = open(&disk).unwrap();
    let mut known = Known::default();
    assert!(commit(&store, &mut known));
    disk.fail_site("journal.frame", io::ErrorKind::Other);
    assert!(!commit(&store, &mut known));
    // Nothing of the refused commit is seen; the same rows are new again.
    let rows = collect(store.scan("us_daily", &Scan::new()).unwrap()).0;
    assert_eq!(rows, known.acked);
    known.round -= 1;
    assert!(commit(&store, &mut known));
    for seed in 1..8 {
        check(&disk.crash(Keep::Random(seed)), &known).unwrap();
    }
}
