//! A real file system that is full, and one that is read-only: what was acknowledged stays, and the store goes on.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use tidemill_storage::{Changes, Config, Error, ErrorKind, ReadOnly, Scan, Store, verify};

use super::{bars, bars_of, collect};

/// A tmpfs of 3 MiB, unmounted at the end.
struct Mounted(PathBuf);

impl Mounted {
    fn new(at: &Path) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let done = run(["-t", "tmpfs", "-o", "size=3m", "tmpfs"], at);
        done.then(|| Self(at.to_owned()))
    }

    fn remount(&self, how: &str) {
        assert!(run(["-o", how], &self.0), "remount {how}");
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let done = Command::new("umount").arg(&self.0).status();
        assert!(std::thread::panicking() || done.is_ok_and(|status| status.success()), "umount");
    }
}

fn run<const N: usize>(args: [&str; N], at: &Path) -> bool {
    let output = Command::new("mount").args(args).arg(at).output();
    output.is_ok_and(|output| output.status.success())
}

fn config() -> Config {
    let mut config = Config { flush_bytes: 64 << 10, ..Config::default() };
    config.reader_grace = std::time::Duration::ZERO;
    config.journal.segment_bytes = 256 << 10;
    config
}

/// Rows that do not compress.
fn rows(number: i64) -> Changes {
    let row = |n: i64| {
        let noise = ((number * 100 + n) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (format!("S{n}"), number, (noise >> 11) as f64, Some(noise as i64))
    };
    Changes::new().upsert("us_daily", bars_of((0..100).map(row)))
}

fn count(store: &Store) -> usize {
    let (rows, doubled) = collect(store.scan("us_daily", &Scan::new()).unwrap());
    assert_eq!(doubled, 0);
    rows.len()
}

/// Commits until it fails; how many were acknowledged.
fn fill(store: &Store, from: i64) -> (i64, Error) {
    for number in from..from + 10_000 {
        if let Err(error) = store.commit(rows(number)) {
            if error.kind() != ErrorKind::Full {
                return (number - from, error);
            }
            // The store asks to publish first; that may be what the disk refuses.
            if let Err(error) = store.publish().and_then(|_| store.commit(rows(number)).map(drop)) {
                return (number - from, error);
            }
        }
    }
    panic!("3 MiB were never full");
}

#[test]
fn a_full_disk_loses_nothing_and_the_same_store_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = Mounted::new(&dir.path().join("disk")) else {
        eprintln!("SKIPPED: a full disk, for no tmpfs may be mounted here (it needs root)");
        return;
    };
    let ballast = disk.0.join("ballast");
    std::fs::write(&ballast, vec![1; 1 << 20]).unwrap();
    let data = disk.0.join("data");
    let store = Store::builder(config()).table(bars()).open(&data).unwrap();

    let (first, error) = fill(&store, 0);
    assert_eq!(error.kind(), ErrorKind::Disk, "{error}");
    assert!(error.is_retryable() && first > 10, "{first}");
    assert_eq!(count(&store), first as usize * 100);
    // Still full: refused again, and again nothing is lost; readers go on.
    assert!(store.commit(rows(first)).unwrap_err().is_retryable());
    assert_eq!(store.publish().unwrap_err().kind(), ErrorKind::Disk);
    assert_eq!(count(&store), first as usize * 100);

    std::fs::remove_file(&ballast).unwrap();
    store.publish().unwrap();
    store.commit(rows(first)).unwrap();
    let (second, error) = fill(&store, first + 1);
    assert_eq!(error.kind(), ErrorKind::Disk, "{error}");
    let all = (first + 1 + second) as usize * 100;
    assert_eq!(count(&store), all);
    drop(store);

    // Full as it is, it opens, shows every row, and is sound.
    let store = Store::builder(config()).table(bars()).open(&data).unwrap();
    assert_eq!(count(&store), all);
    drop(store);
    assert!(verify(&data).unwrap().is_sound());
}

#[test]
fn a_disk_that_became_read_only_is_read_and_written_again_later() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = Mounted::new(&dir.path().join("disk")) else {
        eprintln!("SKIPPED: a read-only disk, for no tmpfs may be mounted here (it needs root)");
        return;
    };
    let data = disk.0.join("data");
    let open = || Store::builder(config()).table(bars()).open(&data);
    let store = open().unwrap();
    store.commit(rows(0)).unwrap();
    store.publish().unwrap();
    store.commit(rows(1)).unwrap();
    drop(store);

    disk.remount("remount,ro");
    assert_eq!(open().unwrap_err().kind(), ErrorKind::Disk);
    let reader = ReadOnly::open(&data).unwrap();
    assert_eq!(collect(reader.scan("us_daily", &Scan::new()).unwrap()).0.len(), 100);

    disk.remount("remount,rw");
    let store = open().unwrap();
    assert_eq!(count(&store), 200);
    store.commit(rows(2)).unwrap();
    assert_eq!(count(&store), 300);
}
