//! Several writers that think the table is theirs: each version of its manifest is written by one, and the others are told.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::SystemTime};

use proptest::prelude::*;
use tidemill_journal::sim::SimDisk;
use tidemill_storage::{Error, ErrorKind, Store};

use super::{DIR, TestBucket, config, local, open, put, read, remote};
use crate::Rows;

fn restored(bucket: &TestBucket) -> Result<(SimDisk, Store), Error> {
    let disk = SimDisk::new();
    let now = SystemTime::now();
    remote(bucket, config()).restore_on(Arc::new(disk.clone()), Path::new(DIR), now)?;
    let store = open(&disk, bucket);
    Ok((disk, store))
}

/// One writes, another takes over and writes, the first comes back.
fn a_stale_writer_pushes(bucket: &TestBucket) -> (Result<(), ErrorKind>, Rows) {
    let old = open(&SimDisk::new(), bucket);
    put(&old, 1, 1.0);
    old.push().unwrap();
    let (_, new) = restored(bucket).unwrap();
    put(&new, 2, 2.0);
    new.push().unwrap();
    put(&old, 1, 99.0);
    let outcome = old.push().map(drop);
    if let Err(error) = &outcome {
        assert!(!error.is_retryable());
        let text = error.to_string();
        assert!(text.contains("s3://tides/north/sea/us_daily/manifest.json"), "{text}");
        assert!(text.contains("written by another store") && text.contains("restore"), "{text}");
        // It stays refused, and the one that took over goes on.
        assert_eq!(old.push().unwrap_err().kind(), ErrorKind::Stale);
        assert_eq!(old.remote_stats().unwrap().refused, 2);
        put(&new, 3, 3.0);
        new.push().unwrap();
        assert_eq!(read(bucket), local(&new));
    }
    (outcome.map_err(|error| error.kind()), read(bucket))
}

#[test]
fn a_stale_writer_is_refused() {
    let (outcome, rows) = a_stale_writer_pushes(&TestBucket::new());
    assert_eq!(outcome, Err(ErrorKind::Stale));
    assert_eq!(rows[&("AAPL".into(), 1)].0, 1.0f64.to_bits());
    assert_eq!(rows.len(), 3);
}

/// The control: where the condition is dropped the stale writer wins, and rows of the other are gone.
#[test]
fn without_the_condition_it_would_win() {
    let bucket = TestBucket::new();
    bucket.forget_conditions();
    let (outcome, rows) = a_stale_writer_pushes(&bucket);
    assert_eq!(outcome, Ok(()));
    assert!(!rows.contains_key(&("AAPL".into(), 2)), "the row of the writer that took over is lost");
}

#[test]
fn a_folder_that_never_wrote_there_does_not_overwrite() {
    let bucket = TestBucket::new();
    let first = open(&SimDisk::new(), &bucket);
    put(&first, 1, 1.0);
    first.push().unwrap();
    let second = open(&SimDisk::new(), &bucket);
    put(&second, 5, 5.0);
    assert_eq!(second.push().unwrap_err().kind(), ErrorKind::Stale);
    assert_eq!(read(&bucket), local(&first));
}

#[derive(Clone, Debug)]
enum Step {
    /// A writer changes a row of its own view and pushes.
    Push(usize, i64),
    /// The line dies at its nth request, or its answer is lost.
    Torn(usize, i64, u64, bool),
    /// It begins anew in an empty folder.
    Restore(usize),
    /// Its process ends and another opens the folder.
    Reopen(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let (writer, day) = (0usize..3, 0i64..6);
    prop_oneof![
        4 => (writer.clone(), day.clone()).prop_map(|(writer, day)| Step::Push(writer, day)),
        2 => (writer.clone(), day, 1u64..6, any::<bool>()).prop_map(|(w, d, at, lost)| Step::Torn(w, d, at, lost)),
        1 => writer.clone().prop_map(Step::Restore),
        1 => writer.prop_map(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Three writers in any order. The bucket always shows the last push that was acknowledged, or one of the same writer whose
    /// acknowledgement got lost; versions go up one by one, and each is written once.
    #[test]
    fn one_writer_wins_each_version(steps in prop::collection::vec(step(), 1..24)) {
        let bucket = TestBucket::new();
        let mut writers: Vec<(SimDisk, Store)> = (0..3)
            .map(|_| SimDisk::new())
            .map(|disk| { let store = open(&disk, &bucket); (disk, store) })
            .collect();
        let mut versions: BTreeMap<u64, usize> = BTreeMap::new();
        // What may be shown: the rows of the last acknowledged push, and those of pushes whose answer was lost since.
        let mut shown: Vec<Rows> = vec![Rows::new()];
        let mut number = 0.0;
        for step in steps {
            number += 1.0;
            let (writer, torn) = match step {
                Step::Push(writer, _) => (writer, None),
                Step::Torn(writer, _, at, lost) => (writer, Some((at, lost))),
                Step::Restore(writer) => {
                    if let Ok(fresh) = restored(&bucket) {
                        prop_assert_eq!(local(&fresh.1), read(&bucket));
                        writers[writer] = fresh;
                    }
                    continue;
                }
                Step::Reopen(writer) => {
                    let disk = writers[writer].0.kill();
                    let store = open(&disk, &bucket);
                    writers[writer] = (disk, store);
                    continue;
                }
            };
            let (Step::Push(_, day) | Step::Torn(_, day, ..)) = step else { continue };
            if let Some((at, lost)) = torn {
                bucket.fail_at(at, if lost { super::Fail::After } else { super::Fail::Before });
            }
            put(&writers[writer].1, day, number);
            let rows = local(&writers[writer].1);
            let outcome = writers[writer].1.push();
            bucket.heal();
            match outcome {
                Ok(report) => {
                    for table in report.tables.iter().filter(|table| table.name == "us_daily") {
                        prop_assert_eq!(versions.insert(table.version, writer), None, "written twice");
                    }
                    shown = vec![rows];
                }
                Err(error) if error.kind() == ErrorKind::Remote => shown.push(rows),
                Err(error) => prop_assert_eq!(error.kind(), ErrorKind::Stale, "{}", error),
            }
            let seen = read(&bucket);
            prop_assert!(shown.contains(&seen), "the bucket shows what no writer was told: {:?}", seen);
        }
    }
}
