//! Write-behind: batches, the last change of a key, reads of what waits, room, failures, restarts.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidemill_cache::{
    Backend, Cache, Capacity, Change, Config, ErrorKind, Failure, Json, WriteBehind, WriteBehindConfig,
    Written,
};

use crate::{MS, SECOND};

/// A backend in memory that fails when it is told to.
#[derive(Clone, Default)]
struct Store(Arc<World>);

#[derive(Default)]
struct World {
    rows: Mutex<HashMap<u64, String>>,
    batches: Mutex<Vec<usize>>,
    down: AtomicBool,
    refuses: AtomicU64,
}

impl Backend<u64, String> for Store {
    fn write<'a>(&'a self, changes: &'a [Change<u64, String>]) -> Written<'a> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            if self.0.down.load(Ordering::Relaxed) {
                return Err(Failure::Retry("planted".into()));
            }
            let refuses = self.0.refuses.load(Ordering::Relaxed);
            let is_refused =
                |change: &Change<u64, String>| matches!(change, Change::Put(key, _) if *key == refuses);
            if let Some(at) = changes.iter().position(is_refused).filter(|_| refuses > 0) {
                return Err(Failure::Reject { at, error: "no such symbol".into() });
            }
            self.0.batches.lock().unwrap().push(changes.len());
            let mut rows = self.0.rows.lock().unwrap();
            for change in changes {
                match change {
                    Change::Put(key, value) => drop(rows.insert(*key, value.clone())),
                    Change::Remove(key) => drop(rows.remove(key)),
                }
            }
            Ok(())
        })
    }
}

impl Store {
    fn down(&self, down: bool) {
        self.0.down.store(down, Ordering::Relaxed);
    }

    fn row(&self, key: u64) -> Option<String> {
        self.0.rows.lock().unwrap().get(&key).cloned()
    }

    async fn load(self, key: u64) -> Result<String, io::Error> {
        self.row(key).ok_or_else(|| io::Error::other("no row"))
    }
}

fn settings(dir: &Path) -> WriteBehindConfig {
    let (first_pause, longest_pause) = (MS, 5 * MS);
    let dir = dir.to_owned();
    WriteBehindConfig {
        dir,
        sync: false,
        linger: MS,
        first_pause,
        longest_pause,
        ..WriteBehindConfig::default()
    }
}

/// A cache that forgets at once.
fn forgetful() -> Cache<u64, String> {
    let config = Config { capacity: Capacity::Entries(1), ..Config::default() };
    Cache::builder(config).codec(Json).build().unwrap()
}

async fn open(config: &WriteBehindConfig, store: &Store) -> WriteBehind<u64, String> {
    loop {
        match WriteBehind::open(forgetful(), config, store.clone()).await {
            Ok(open) => return open,
            // Its last owner may still be in a write.
            Err(error) if error.kind() == ErrorKind::Disk => tokio::time::sleep(MS).await,
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn changes_reach_the_backend_in_batches() {
    let (dir, store) = (tempfile::tempdir().unwrap(), Store::default());
    let behind = open(&settings(dir.path()), &store).await;
    store.down(true);
    for key in 0..1000 {
        behind.put(key % 600, format!("value {key}")).await.unwrap();
    }
    behind.remove(5).await.unwrap();
    assert_eq!(behind.get(&599).await.as_deref(), Some("value 599"), "what waits is read");
    assert_eq!(behind.get(&5).await, None);
    store.down(false);
    assert!(behind.flush(60 * SECOND).await);
    let stats = behind.stats();
    assert!(stats.batches < 20 && stats.failures > 0, "{stats:?}");
    assert_eq!((stats.accepted, stats.pending, stats.coalesced), (1001, 0, 401), "{stats:?}");
    assert_eq!((store.row(5), store.row(6).as_deref()), (None, Some("value 606")));
    assert!(store.0.batches.lock().unwrap().iter().all(|batch| *batch <= 256));
    assert_eq!(behind.close(60 * SECOND).await.unwrap().left, 0);
    assert_eq!(behind.put(1, String::new()).await.unwrap_err().kind(), ErrorKind::Closed);
}

#[tokio::test]
async fn a_cache_that_forgets_never_asks_the_backend_for_what_waits() {
    let (dir, store) = (tempfile::tempdir().unwrap(), Store::default());
    let behind = open(&settings(dir.path()), &store).await;
    behind.put(1, "old".to_owned()).await.unwrap();
    assert!(behind.flush(60 * SECOND).await);
    store.down(true);
    behind.put(1, "new".to_owned()).await.unwrap();
    for other in 100..200 {
        behind.put(other, "evicts".to_owned()).await.unwrap();
    }
    let load = || {
        let store = store.clone();
        move |key| store.load(key)
    };
    assert_eq!(behind.get_or_load(&1, load()).await.unwrap(), "new");
    behind.remove(2).await.unwrap();
    let removed = behind.get_or_load(&2, load());
    let later = async {
        tokio::time::sleep(5 * MS).await;
        store.down(false);
    };
    assert_eq!(tokio::join!(removed, later).0.unwrap_err().to_string(), "the load failed: no row");
    assert!(behind.flush(60 * SECOND).await);
    assert_eq!(behind.get_or_load(&1, load()).await.unwrap(), "new");
}

#[tokio::test]
async fn what_a_dead_process_acknowledged_is_written_by_the_next() {
    let (dir, store) = (tempfile::tempdir().unwrap(), Store::default());
    store.down(true);
    let behind = open(&settings(dir.path()), &store).await;
    for key in 0..50 {
        behind.put(key, "first".to_owned()).await.unwrap();
    }
    behind.remove(3).await.unwrap();
    drop(behind);
    let behind = open(&settings(dir.path()), &store).await;
    assert_eq!(behind.stats().recovered, 51);
    assert_eq!(behind.get(&4).await.as_deref(), Some("first"));
    store.down(false);
    let report = behind.close(60 * SECOND).await.unwrap();
    let rows = store.0.rows.lock().unwrap().len();
    assert_eq!((report.left, rows, store.row(3)), (0, 49, None));
    drop(behind);
    assert_eq!(open(&settings(dir.path()), &store).await.stats().recovered, 0, "what is written is let go");
}

#[tokio::test]
async fn who_writes_faster_than_the_backend_waits_and_is_told() {
    let (dir, store) = (tempfile::tempdir().unwrap(), Store::default());
    let config = WriteBehindConfig { max_pending: 1 << 16, patience: 20 * MS, ..settings(dir.path()) };
    let behind = open(&config, &store).await;
    store.down(true);
    let mut taken = 0;
    let full = loop {
        match behind.put(taken, "x".repeat(1000)).await {
            Ok(()) => taken += 1,
            Err(error) => break error,
        }
    };
    assert!(full.kind() == ErrorKind::Full && full.is_retryable(), "{full}");
    assert!((40..=66).contains(&taken), "{taken} of 64 KiB");
    assert_eq!(behind.put(0, "y".repeat(70_000)).await.unwrap_err().kind(), ErrorKind::Config, "never fits");
    store.down(false);
    assert!(behind.flush(60 * SECOND).await);
    behind.put(taken, "x".repeat(1000)).await.unwrap();
}

#[tokio::test]
async fn what_the_backend_can_never_take_is_given_up_and_told() {
    let (dir, store, told) =
        (tempfile::tempdir().unwrap(), Store::default(), Arc::new(Mutex::new(Vec::new())));
    store.0.refuses.store(7, Ordering::Relaxed);
    let tell = Arc::clone(&told);
    let reject = move |change, error: Box<dyn std::error::Error + Send + Sync>| {
        tell.lock().unwrap().push((change, error.to_string()));
    };
    let behind = WriteBehind::open_with(forgetful(), &settings(dir.path()), store.clone(), Some(reject))
        .await
        .unwrap();
    for key in 1..20 {
        behind.put(key, key.to_string()).await.unwrap();
    }
    assert!(behind.flush(60 * SECOND).await);
    let expected = (Change::Put(7, "7".to_owned()), "no such symbol".to_owned());
    assert_eq!(*told.lock().unwrap(), [expected]);
    assert_eq!((behind.stats().rejected, store.0.rows.lock().unwrap().len()), (1, 18));
}

#[tokio::test]
async fn a_callers_end_is_not_its_changes() {
    let (dir, store) = (tempfile::tempdir().unwrap(), Store::default());
    let behind = open(&settings(dir.path()), &store).await;
    for key in 0..100 {
        // Dropped at any point: the change is made or not, and the room comes back either way.
        _ = tokio::time::timeout(Duration::from_micros(key * 10), behind.put(key, "x".to_owned())).await;
        assert!(matches!(behind.get(&key).await.as_deref(), None | Some("x")));
    }
    assert!(behind.flush(60 * SECOND).await);
    behind.close(60 * SECOND).await.unwrap();
}

#[test]
fn settings_are_checked() {
    let written: WriteBehindConfig =
        serde_json::from_str(r#"{"max_pending": "1MB", "linger": "5ms", "sync": false}"#).unwrap();
    assert_eq!((written.max_pending, written.linger), (1_000_000, 5 * MS));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let bad = WriteBehindConfig { batch: 0, ..WriteBehindConfig::default() };
    let opened = runtime.block_on(WriteBehind::open(forgetful(), &bad, Store::default()));
    assert!(opened.err().unwrap().to_string().contains("batch"));
    let cache: Cache<u64, String> = Cache::builder(Config::default()).build().unwrap();
    let opened = runtime.block_on(WriteBehind::open(cache, &WriteBehindConfig::default(), Store::default()));
    assert!(opened.err().unwrap().to_string().contains("codec"));
}
