//! A disk that does not follow: commits come before what may wait, memory has a bound, and whoever commits is told.

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex},
    time::Duration,
};

use tidemill_journal::{AppendFile, Disk, Entry, Lock, ReadFile, sim::SimDisk};
use tidemill_storage::{Changes, Compression, Config, ErrorKind, Scan, Store, verify_on};

use crate::{bar, bars, bars_of, collect};

/// The calls that can be held up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Call {
    /// A published file is created.
    Create,
    /// Bytes are added to a published file.
    Append,
    /// A commit is synced.
    Commit,
}

#[derive(Debug, Default)]
struct Held {
    closed: BTreeSet<Call>,
    waiting: BTreeSet<Call>,
    appends: u64,
    /// Bytes read of published files.
    read: u64,
}

/// A simulated disk with a valve for each of those calls.
#[derive(Clone, Debug, Default)]
struct SlowDisk {
    disk: SimDisk,
    held: Arc<(Mutex<Held>, Condvar)>,
}

impl SlowDisk {
    fn close(&self, call: Call) {
        self.held.0.lock().unwrap().closed.insert(call);
    }

    fn open_up(&self, call: Call) {
        self.held.0.lock().unwrap().closed.remove(&call);
        self.held.1.notify_all();
    }

    /// Opens up when the test ends, also by an assertion: who waits in a scope would keep it from ending.
    fn at_last(&self) -> impl Drop + use<'_> {
        struct AtLast<'a>(&'a SlowDisk);
        impl Drop for AtLast<'_> {
            fn drop(&mut self) {
                [Call::Create, Call::Append, Call::Commit].into_iter().for_each(|call| self.0.open_up(call));
            }
        }
        AtLast(self)
    }

    /// Returns once somebody waits in this call.
    fn wait_for(&self, call: Call) {
        self.until(|held| held.waiting.contains(&call));
    }

    fn until(&self, sure: impl Fn(&Held) -> bool) {
        let held = self.held.0.lock().unwrap();
        drop(self.held.1.wait_while(held, |held| !sure(held)).unwrap());
    }

    fn appends(&self) -> u64 {
        self.held.0.lock().unwrap().appends
    }

    fn read(&self) -> u64 {
        self.held.0.lock().unwrap().read
    }

    fn pass(&self, call: Call) {
        let mut held = self.held.0.lock().unwrap();
        held.waiting.insert(call);
        self.held.1.notify_all();
        held = self.held.1.wait_while(held, |held| held.closed.contains(&call)).unwrap();
        held.waiting.remove(&call);
        held.appends += u64::from(call == Call::Append);
        self.held.1.notify_all();
    }
}

struct SlowFile {
    file: Box<dyn AppendFile>,
    slow: SlowDisk,
    published: bool,
}

impl AppendFile for SlowFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.published {
            self.slow.pass(Call::Append);
        }
        self.file.append(bytes)
    }

    fn sync(&mut self, site: &'static str) -> io::Result<()> {
        if !self.published {
            self.slow.pass(Call::Commit);
        }
        self.file.sync(site)
    }
}

/// A published file, whose readers are noticed.
struct ReadOf(Box<dyn ReadFile>, SlowDisk);

impl ReadFile for ReadOf {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.1.held.0.lock().unwrap().read += buf.len() as u64;
        self.0.read_at(buf, offset)
    }
}

impl Disk for SlowDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn AppendFile>> {
        let published = path.extension().is_some_and(|extension| extension == "parquet");
        if published {
            self.pass(Call::Create);
        }
        let file = self.disk.create(path)?;
        if published || path.extension().is_some_and(|extension| extension == "journal") {
            return Ok(Box::new(SlowFile { file, slow: self.clone(), published }));
        }
        Ok(file)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn ReadFile>> {
        let file = self.disk.open(path)?;
        let published = path.extension().is_some_and(|extension| extension == "parquet");
        Ok(if published { Box::new(ReadOf(file, self.clone())) } else { file })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_dir(path)
    }

    fn link(&self, existing: &Path, new: &Path) -> io::Result<()> {
        self.disk.link(existing, new)
    }

    fn symlink(&self, target: &Path, link: &Path) -> io::Result<()> {
        self.disk.symlink(target, link)
    }

    fn read_link(&self, link: &Path) -> io::Result<PathBuf> {
        self.disk.read_link(link)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.disk.list(dir)
    }

    fn sync_dir(&self, dir: &Path, site: &'static str) -> io::Result<()> {
        self.disk.sync_dir(dir, site)
    }

    fn lock(&self, path: &Path, holder: &str) -> io::Result<Box<dyn Lock>> {
        self.disk.lock(path, holder)
    }
}

fn open(disk: &SlowDisk, config: Config) -> Store {
    let builder = Store::builder(Config { compression: Compression::None, ..config }).table(bars());
    builder.disk(Arc::new(disk.clone())).open(Path::new("/data/store")).unwrap()
}

#[test]
fn a_disk_that_stands_still_bounds_the_memory_and_says_so() {
    let flush_bytes = 70_000;
    let disk = SlowDisk::default();
    let store = open(&disk, Config { flush_bytes, ..Config::default() });
    assert_eq!(store.pressure(), 0.0);
    let mut kept = 0;
    let mut commit = || {
        let rows = bars_of((0..100).map(|n| ("A".to_owned(), kept + n, 1.0, None)));
        let done = store.commit(Changes::new().upsert("us_daily", rows));
        kept += if done.is_ok() { 100 } else { 0 };
        done.map(|_| store.pressure())
    };
    while !store.needs_publish() {
        assert!(commit().unwrap() < 1.0);
    }
    disk.close(Call::Append);
    std::thread::scope(|scope| {
        let _at_last = disk.at_last();
        let publishing = scope.spawn(|| store.publish());
        disk.wait_for(Call::Append);
        // Commits go on while the disk stands still; the pressure rises, and at one they are refused.
        let (mut last, mut calls) = (store.pressure(), 0);
        let error = loop {
            match commit() {
                Ok(pressure) => assert!(pressure >= last, "{pressure} < {last}"),
                Err(error) => break error,
            }
            last = store.pressure();
            calls += 1;
            assert!(calls < 10_000, "there is no bound");
        };
        assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Full, true));
        assert!(store.pressure() >= 1.0);
        // The rows being published count too; one commit may go over, and columns grow by doubling.
        let memory = store.stats().memory_bytes;
        assert!(memory <= flush_bytes * 4 + 120_000, "{memory}");
        assert_eq!(commit().unwrap_err().kind(), ErrorKind::Full);
        disk.open_up(Call::Append);
        publishing.join().unwrap().unwrap();
    });
    assert!(store.pressure() < 1.0);
    store.publish().unwrap();
    assert!(commit().is_ok() && store.pressure() < 0.5);
    let rows = collect(store.scan("us_daily", &Scan::new()).unwrap()).0;
    assert_eq!(rows.len() as i64, kept);
    drop(store);
    assert!(verify_on(&disk.disk, Path::new("/data/store")).unwrap().is_sound());
}

/// A publish is about to write a file when a commit begins to sync.
fn publish_while_a_commit_syncs(commits_first: Duration) -> u64 {
    let disk = SlowDisk::default();
    let store = open(&disk, Config { commits_first, ..Config::default() });
    store.commit(Changes::new().upsert("us_daily", bar("A", 1, 1.0, None))).unwrap();
    disk.close(Call::Create);
    std::thread::scope(|scope| {
        let _at_last = disk.at_last();
        scope.spawn(|| store.publish().unwrap());
        disk.wait_for(Call::Create);
        disk.close(Call::Commit);
        scope.spawn(|| store.commit(Changes::new().upsert("us_daily", bar("A", 2, 1.0, None))).unwrap());
        disk.wait_for(Call::Commit);
        disk.open_up(Call::Create);
        if commits_first.is_zero() {
            disk.until(|held| held.appends > 0);
        } else {
            // Long enough for the publish to come to its first write, if it were let.
            std::thread::sleep(Duration::from_millis(100));
        }
        let appends = disk.appends();
        disk.open_up(Call::Commit);
        appends
    })
}

#[test]
fn what_may_wait_waits_for_a_commit() {
    assert_eq!(publish_while_a_commit_syncs(Duration::from_secs(600)), 0);
    // The control: without precedence both write at once.
    assert!(publish_while_a_commit_syncs(Duration::ZERO) > 0);
}

/// So many files are written at once as the configuration says, and what is written is the same.
#[test]
fn files_are_written_by_as_many_threads_as_allowed() {
    let mut seen = Vec::new();
    for threads in [1, 4, 10] {
        let disk = SlowDisk::default();
        let store = open(&disk, Config { publish_threads: threads, ..Config::default() });
        let rows =
            (0..24).flat_map(|year| (0..50).map(move |day| ("A".to_owned(), year * 366 + day, 1.0, None)));
        store.commit(Changes::new().upsert("us_daily", bars_of(rows))).unwrap();
        let report = store.publish().unwrap();
        assert_eq!((report.tables[0].files_written, report.tables[0].rows), (24, 1200));
        seen.push(collect(store.scan("us_daily", &Scan::new()).unwrap()));
        // A disk that fails under several writers loses nothing.
        store.commit(Changes::new().upsert("us_daily", bar("A", 1, 2.0, None))).unwrap();
        disk.disk.fail_at(disk.disk.calls() + 4, io::ErrorKind::StorageFull);
        store.publish().unwrap_err();
        store.publish().unwrap();
        drop(store);
        assert!(verify_on(&disk.disk, Path::new("/data/store")).unwrap().is_sound());
    }
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]));
    assert!(Config { publish_threads: 11, ..Config::default() }.check().is_err());
}

/// A cache smaller than a row group, and rows that continue fifty series: which of them are new is known by the footer.
#[test]
fn series_that_grow_are_not_read_again() {
    let disk = SlowDisk::default();
    let store = open(&disk, Config { cache_bytes: 1, row_group_rows: 500, ..Config::default() });
    let day = |day: i64| bars_of((0..50).map(|at| (format!("S{at}"), day, 1.0, None)));
    for n in 0..200 {
        store.commit(Changes::new().upsert("us_daily", day(n))).unwrap();
    }
    store.publish().unwrap();
    let before = disk.read();
    for n in 200..220 {
        assert_eq!(
            store.commit(Changes::new().upsert("us_daily", day(n))).unwrap().table("us_daily").stored,
            50
        );
    }
    let read = disk.read() - before;
    assert!((1..100_000).contains(&read), "{read} bytes read to find 1000 rows new");
    // The control: what stands there already has to be looked at, and is found.
    let again = store.commit(Changes::new().upsert("us_daily", day(199))).unwrap().table("us_daily");
    assert_eq!((again.stored, again.duplicate), (0, 50));
    assert!(disk.read() - before - read > read, "rows that stand there were not looked at");
}
