//! A repair is stopped at every disk call, and each of its syncs is switched off once.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use tidemill_journal::{
    Disk as _,
    sim::{Keep, SimDisk},
};
use tidemill_storage::{Changes, Config, Scan, Store, repair_on, verify_on};

use crate::{Rows, bars, bars_of, collect};

const ROOT: &str = "/data/store";

fn open(disk: &SimDisk) -> Store {
    let config = Config { reader_grace: std::time::Duration::ZERO, ..Config::default() };
    Store::builder(config).table(bars()).disk(Arc::new(disk.clone())).open(Path::new(ROOT)).unwrap()
}

fn read(disk: &SimDisk) -> Rows {
    collect(open(disk).scan("us_daily", &Scan::new()).unwrap()).0
}

/// A store of two years, one of them rotten, and a row that stands in the journal only: the disk, what can be kept, and the
/// bytes of the rotten file.
fn damaged() -> (SimDisk, Rows, Vec<u8>) {
    let disk = SimDisk::new();
    let store = open(&disk);
    let rows = |year: i64| (0..20).map(move |n| ("A".to_owned(), year + n, n as f64, Some(n)));
    store.commit(Changes::new().upsert("us_daily", bars_of(rows(18_262).chain(rows(18_628))))).unwrap();
    store.publish().unwrap();
    store.commit(Changes::new().upsert("us_daily", bars_of([("B".into(), 18_700, 1.0, None)]))).unwrap();
    drop(store);
    let mut kept = read(&disk);
    kept.retain(|(_, day), _| *day >= 18_628);
    let rotten = Path::new(ROOT).join("snapshots/us_daily/000001/year=2020/part-000001.parquet");
    disk.flip_bit(&rotten, 333).unwrap();
    let disk = disk.crash(Keep::Nothing);
    let bytes = disk.read(&rotten).unwrap();
    (disk, kept, bytes)
}

/// What a repair promises when it returns.
fn check(disk: &SimDisk, kept: &Rows, rotten: &[u8]) -> Result<(), String> {
    let report = verify_on(disk, Path::new(ROOT)).map_err(|error| error.to_string())?;
    if !report.is_sound() {
        return Err(format!("{report:?}"));
    }
    let aside = Path::new(ROOT).join("damaged/us_daily/000001-year=2020-part-000001.parquet");
    if disk.read(&aside).ok().as_deref() != Some(rotten) {
        return Err("the damaged file is gone".into());
    }
    let found = read(disk);
    if found == *kept { Ok(()) } else { Err(format!("{found:?} is not {kept:?}")) }
}

fn sweep(ignored: Option<&'static str>) -> Result<u64, String> {
    let (before, kept, rotten) = damaged();
    let again = |disk: &SimDisk, at: u64, keep: Keep| {
        // Stopped, a repair is begun once more; it must find all that it needs.
        let disk = disk.crash(keep);
        repair_on(Arc::new(disk.clone()), Path::new(ROOT))
            .map_err(|e| format!("call {at}, {keep:?}: {e}"))?;
        check(&disk, &kept, &rotten).map_err(|broken| format!("call {at}, {keep:?}: {broken}"))
    };
    for at in 1.. {
        let disk = before.kill();
        ignored.into_iter().for_each(|site| disk.ignore_site(site));
        disk.crash_at(at);
        let done = repair_on(Arc::new(disk.clone()), Path::new(ROOT)).is_ok();
        for keep in [Keep::Nothing, Keep::Everything].into_iter().chain((1..6).map(Keep::Random)) {
            if done {
                check(&disk.crash(keep), &kept, &rotten)
                    .map_err(|broken| format!("done, {keep:?}: {broken}"))?;
            } else {
                again(&disk, at, keep)?;
            }
        }
        if done {
            return Ok(at);
        }
    }
    Ok(0)
}

#[test]
fn a_repair_that_is_stopped_anywhere_is_begun_again_and_loses_nothing_more() {
    assert!(sweep(None).unwrap() > 10);
}

#[test]
fn each_sync_of_a_repair_that_is_switched_off_is_noticed() {
    let (disk, ..) = damaged();
    repair_on(Arc::new(disk.clone()), Path::new(ROOT)).unwrap();
    let sites: BTreeSet<&str> = disk.sites().into_keys().collect();
    assert!(sites.contains("storage.damaged") && sites.contains("storage.link"), "{sites:?}");
    let unnoticed: Vec<_> = disk.sites().into_keys().filter(|site| sweep(Some(site)).is_ok()).collect();
    assert!(unnoticed.is_empty(), "nothing noticed that these are off: {unnoticed:?}");
}
