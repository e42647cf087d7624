//! Mutated files: every one is found by verify, none panics, no wrong row is read.

use std::{path::PathBuf, sync::Arc};

use tidemill_journal::OsDisk;
use tidemill_storage::{Changes, Config, ErrorKind, ReadOnly, Scan, Store, repair, verify};

use crate::{bars, bars_of, collect};

fn store_in(dir: &std::path::Path) -> Vec<PathBuf> {
    let store = Store::builder(Config::default()).table(bars()).open(dir).unwrap();
    for symbol in 0..20 {
        let rows = bars_of(
            (0..200).map(|n| (format!("S{symbol}"), 19_300 + n, f64::from(n as i32 * symbol), Some(n))),
        );
        store.commit(Changes::new().upsert("us_daily", rows)).unwrap();
    }
    store.close().unwrap();
    let years = std::fs::read_dir(dir.join("parquet/us_daily")).unwrap();
    years.map(|year| year.unwrap().path().join("part-000001.parquet")).collect()
}

/// SplitMix64: the same files are mutated the same way each time.
fn next(seed: &mut u64) -> usize {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *seed;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)) as usize
}

#[test]
fn every_mutated_file_is_found_and_none_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let files = store_in(dir.path());
    assert_eq!(files.len(), 2);
    let sound = verify(dir.path()).unwrap();
    assert!(sound.is_sound());
    assert_eq!((sound.tables[0].files, sound.tables[0].rows), (2, 4000));

    let mut seed = 7;
    for round in 0..crate::rounds(300, 2000) {
        let path = &files[round % 2];
        let original = std::fs::read(path).unwrap();
        let mut bytes = original.clone();
        match round % 5 {
            // Anywhere; in the footer; cut; a hole of zeros; grown.
            0 => {
                let at = next(&mut seed) % bytes.len();
                bytes[at] ^= 1 << (next(&mut seed) % 8);
            }
            1 => {
                let at = bytes.len() - 1 - next(&mut seed) % 600;
                bytes[at] = bytes[at].wrapping_add(1 + (next(&mut seed) % 255) as u8);
            }
            2 => bytes.truncate(next(&mut seed) % bytes.len()),
            3 => {
                let at = next(&mut seed) % (bytes.len() - 64);
                bytes[at..at + 64].fill(0);
            }
            _ => bytes.push(next(&mut seed) as u8),
        }
        if bytes == original {
            continue;
        }
        std::fs::write(path, &bytes).unwrap();
        let report = verify(dir.path()).unwrap();
        assert_eq!(report.tables[0].bad.len(), 1, "round {round}");
        assert!(report.tables[0].bad[0].contains("part-000001.parquet"));
        let reader = ReadOnly::open_on(Arc::new(OsDisk), dir.path()).unwrap();
        let error = reader.scan("us_daily", &Scan::new()).unwrap().find_map(Result::err).unwrap();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "round {round}");
        std::fs::write(path, &original).unwrap();
    }
    assert!(verify(dir.path()).unwrap().is_sound());
}

#[test]
fn files_that_are_missing_or_too_many_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let files = store_in(dir.path());
    let stray = files[0].with_file_name("stray.parquet");
    std::fs::write(&stray, b"PAR1").unwrap();
    assert!(verify(dir.path()).unwrap().tables[0].bad[0].contains("stray.parquet"));
    std::fs::remove_file(&stray).unwrap();
    std::fs::remove_file(&files[1]).unwrap();
    let report = verify(dir.path()).unwrap();
    assert_eq!((report.tables[0].bad.len(), report.tables[0].files), (1, 2));
    let manifest = dir.path().join("manifests/us_daily/000001.json");
    std::fs::write(&manifest, b"{}").unwrap();
    assert!(verify(dir.path()).unwrap().tables[0].bad[0].contains("manifest"));
}

#[test]
fn repair_shows_what_is_sound_and_lists_what_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let files = store_in(dir.path());
    let before = repair(dir.path()).unwrap();
    assert_eq!(
        (before.tables[0].kept_rows, before.tables[0].snapshot),
        (4000, 1),
        "a sound store is left alone"
    );
    let mut bytes = std::fs::read(&files[0]).unwrap();
    let lost = files[0].parent().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
    bytes[100] ^= 1;
    std::fs::write(&files[0], &bytes).unwrap();
    let store = Store::builder(Config::default()).table(bars()).open(dir.path()).unwrap();
    assert_eq!(repair(dir.path()).unwrap_err().kind(), ErrorKind::Locked);
    // The control: without a repair the table cannot be read whole.
    assert!(store.scan("us_daily", &Scan::new()).unwrap().any(|batch| batch.is_err()));
    drop(store);

    let report = repair(dir.path()).unwrap();
    let table = &report.tables[0];
    assert_eq!((table.snapshot, table.kept_rows + table.lost_rows, table.set_aside.len()), (2, 4000, 1));
    assert!(table.set_aside[0].contains(&lost) && table.set_aside[0].contains("checksum"), "{table:?}");
    let kept = dir.path().join(table.set_aside[0].split(':').next().unwrap());
    assert_eq!(std::fs::read(kept).unwrap(), bytes);
    assert!(verify(dir.path()).unwrap().is_sound());
    let store = Store::builder(Config::default()).table(bars()).open(dir.path()).unwrap();
    let rows = collect(store.scan("us_daily", &Scan::new()).unwrap()).0;
    assert_eq!(rows.len() as u64, table.kept_rows);
    assert!(table.kept_rows > 0 && table.lost_rows > 0);
    store.close().unwrap();

    // A manifest that cannot be read: the snapshot before it is shown.
    std::fs::write(dir.path().join("manifests/us_daily/000002.json"), b"{").unwrap();
    assert!(Store::builder(Config::default()).table(bars()).open(dir.path()).is_err());
    let again = repair(dir.path()).unwrap();
    assert_eq!((again.tables[0].kept_rows, again.tables[0].unreadable.len()), (table.kept_rows, 1));
    assert!(verify(dir.path()).unwrap().is_sound());
}

#[test]
fn rot_in_the_journal_is_reported_with_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Store::builder(Config::default()).table(bars()).open(dir.path());
    let store = open().unwrap();
    for day in 0..5 {
        store.commit(Changes::new().upsert("us_daily", crate::bar("A", day, 1.0, None))).unwrap();
    }
    drop(store);
    let segment = dir.path().join("journal/0000000001.journal");
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&segment, &bytes).unwrap();
    let error = open().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    let report = verify(dir.path()).unwrap();
    assert!(report.journal_bad[0].contains("0000000001.journal"), "{report:?}");
    // Set aside: what is sound is kept.
    let journal = tidemill_journal::Config {
        on_corruption: tidemill_journal::OnCorruption::SetAside,
        ..Default::default()
    };
    let config = Config { journal, ..Config::default() };
    let store = Store::builder(config).table(bars()).open(dir.path()).unwrap();
    assert_eq!(collect(store.scan("us_daily", &Scan::new()).unwrap()).0.len(), 4);
    assert!(dir.path().join("journal/0000000001.corrupt").exists());
}
