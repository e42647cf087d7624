//! Readers while a writer commits at full speed: one snapshot through the real path, never a double row through the link.

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tidemill_storage::{Changes, Config, Store};

use crate::{Rows, bars, bars_of, collect};

/// Reads every file under a folder as a stranger would, with the plain Parquet reader.
fn read(dir: &Path) -> std::io::Result<(Rows, usize)> {
    let mut files: Vec<PathBuf> = Vec::new();
    for year in std::fs::read_dir(dir)? {
        for file in std::fs::read_dir(year?.path())? {
            files.push(file?.path());
        }
    }
    let (mut rows, mut doubled) = (Rows::new(), 0);
    for file in files {
        assert_eq!(file.extension().and_then(|e| e.to_str()), Some("parquet"));
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(&file)?).unwrap().build().unwrap();
        let (more, twice) = collect(reader);
        doubled += twice + more.keys().filter(|key| rows.contains_key(*key)).count();
        rows.extend(more);
    }
    Ok((rows, doubled))
}

/// Said when the writer ends, also by an assertion: a reader that nobody told would keep the scope from ending.
struct Told<'a>(&'a AtomicBool);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// Every publish sets all rows of all years to one number: a reader that sees two numbers saw two snapshots.
#[test]
fn a_reader_sees_one_snapshot_while_a_writer_publishes() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::builder(Config::default()).table(bars()).open(dir.path()).unwrap();
    let link = dir.path().join("parquet/us_daily");
    let write = |number: i64| {
        let rows = (0..4).flat_map(|year| {
            (0..25).map(move |n| (format!("S{n:02}"), 18_000 + year * 366, number as f64, None))
        });
        let mut rows: Vec<_> = rows.collect();
        rows.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
        store.commit(Changes::new().upsert("us_daily", bars_of(rows))).unwrap();
        store.publish().unwrap();
    };
    write(0);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let at_last = Told(&done);
        let reader = scope.spawn(|| {
            let (mut reads, mut seen) = (0, std::collections::BTreeSet::new());
            while !done.load(Relaxed) || reads < 20 {
                let (rows, doubled) = read(&std::fs::canonicalize(&link).unwrap()).unwrap();
                let numbers: std::collections::BTreeSet<u64> = rows.values().map(|row| row.0).collect();
                assert_eq!((rows.len(), doubled, numbers.len()), (100, 0, 1));
                seen.extend(numbers);
                // Through the link a reader may meet two snapshots: rows of both, but none twice and none wrong.
                if let Ok((rows, doubled)) = read(&link) {
                    assert_eq!((rows.len(), doubled), (100, 0));
                }
                reads += 1;
            }
            seen.len()
        });
        for number in 1..60 {
            write(number);
        }
        drop(at_last);
        assert!(reader.join().unwrap() > 3, "the reader must have met several snapshots");
    });
}
