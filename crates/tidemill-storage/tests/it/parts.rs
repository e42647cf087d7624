//! Folders that outgrow their bound are cut into parts by a hash of the series, and nothing else changes.

use std::path::Path;

use tidemill_storage::{Changes, Config, ReadOnly, Scan, Store, verify};

use crate::{Rows, bars, bars_of, collect};

const SYMBOLS: i64 = 60;

fn open(dir: &Path) -> Store {
    let config = Config {
        split_bytes: 8 << 10,
        row_group_rows: 500,
        reader_grace: std::time::Duration::ZERO,
        ..Config::default()
    };
    Store::builder(config).table(bars()).open(dir).unwrap()
}

/// Closes that do not compress well, so that files grow.
fn answer(symbol: i64, days: std::ops::Range<i64>) -> tidemill_storage::arrow::arrow_array::RecordBatch {
    bars_of(days.map(|day| {
        let noise = (symbol * 7919 + day).wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as i64);
        (format!("S{symbol:03}"), day, noise as f64, Some(noise))
    }))
}

fn files(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir.join("parquet/us_daily/year=2020"))
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_folder_that_grows_is_cut_again_and_again_and_shows_the_same_rows() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut model = Rows::new();
    let mut cut = 0;
    for step in 0..12 {
        for symbol in 0..SYMBOLS {
            let rows = answer(symbol, 18_262 + step * 10..18_272 + step * 10);
            model.extend(collect([Ok::<_, ()>(rows.clone())]).0);
            store.commit(Changes::new().upsert("us_daily", rows)).unwrap();
        }
        let report = store.publish().unwrap();
        cut += report.tables.iter().map(|table| table.files_split).sum::<u64>();
        let (rows, doubled) = collect(store.scan("us_daily", &Scan::new()).unwrap());
        assert_eq!((rows == model, doubled), (true, 0), "step {step}");
    }
    let parts = files(dir.path());
    assert!(cut >= 3, "{cut} cuts");
    assert!(parts.len() >= 8 && parts.iter().all(|name| name.split('-').count() == 3), "{parts:?}");

    // Everything again: recognised in whatever part it stands.
    for symbol in 0..SYMBOLS {
        let receipt =
            store.commit(Changes::new().upsert("us_daily", answer(symbol, 18_262..18_382))).unwrap();
        assert_eq!((receipt.tables[0].stored, receipt.tables[0].duplicate), (0, 120));
    }
    // One series changes: one part is written, the others are linked.
    let changed = bars_of([("S007".to_owned(), 18_300, 1.0, None)]);
    model.extend(collect([Ok::<_, ()>(changed.clone())]).0);
    store.commit(Changes::new().upsert("us_daily", changed)).unwrap();
    assert!(collect(store.scan("us_daily", &Scan::new()).unwrap()).0 == model);
    let report = store.publish().unwrap();
    assert_eq!(
        (report.tables[0].files_written, report.tables[0].files_linked as usize),
        (1, parts.len() - 1)
    );
    let seven = collect(store.scan("us_daily", &Scan::new().prefix(["S007"])).unwrap()).0;
    assert_eq!(seven.len(), 120);
    store.close().unwrap();

    let report = verify(dir.path()).unwrap();
    assert!(report.is_sound(), "{report:?}");
    let reader = ReadOnly::open(dir.path()).unwrap();
    assert!(collect(reader.scan("us_daily", &Scan::new()).unwrap()).0 == model);
    let store = open(dir.path());
    assert!(collect(store.scan("us_daily", &Scan::new()).unwrap()).0 == model);
}

/// The control: with one series there is nothing to spread, and the file stays whole however long it is.
#[test]
fn one_series_is_never_cut() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.commit(Changes::new().upsert("us_daily", answer(1, 18_262..18_620))).unwrap();
    let report = store.publish().unwrap();
    assert!(report.tables[0].bytes_written > 2048);
    store.commit(Changes::new().upsert("us_daily", answer(1, 18_000..18_262))).unwrap();
    assert!(store.publish().unwrap().tables.iter().all(|table| table.files_split == 0));
    assert_eq!(files(dir.path()).len(), 1);
}

/// A part that holds a series of another is what a wrong cut would leave behind; `verify` must see it.
#[test]
fn a_row_in_the_wrong_part_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for symbol in 0..SYMBOLS {
        store.commit(Changes::new().upsert("us_daily", answer(symbol, 18_262..18_300))).unwrap();
    }
    store.close().unwrap();
    assert!(verify(dir.path()).unwrap().is_sound());
    let manifest = std::fs::read_dir(dir.path().join("manifests/us_daily"));
    let manifest = manifest.unwrap().map(|file| file.unwrap().path()).max().unwrap();
    let text = std::fs::read_to_string(&manifest).unwrap();
    assert!(text.contains("\"format\": 4"));
    // Two parts change places.
    let swapped = text.replace("\"part\": 1,", "\"part\": 9999,").replace("\"part\": 2,", "\"part\": 1,");
    std::fs::write(&manifest, swapped.replace("\"part\": 9999,", "\"part\": 2,")).unwrap();
    let report = verify(dir.path()).unwrap();
    assert!(report.tables[0].bad.iter().any(|bad| bad.contains("another file")), "{report:?}");
    // A part that cannot be is no manifest at all.
    std::fs::write(&manifest, text.replace("\"part\": 1,", "\"part\": 2,")).unwrap();
    assert!(verify(dir.path()).unwrap().tables[0].bad[0].contains("a part that cannot be"));
}
