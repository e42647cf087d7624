//! Warming and prefetching: what was popular is there at the start, what follows is there before it is asked for.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tidemill_cache::{Cache, Capacity, Config, ErrorKind, Memo, Prefetch, PrefetchConfig};

use crate::MS;

fn pages(entries: u64, config: PrefetchConfig) -> (Prefetch<u64, u64>, Arc<AtomicU64>) {
    let loads = Arc::new(AtomicU64::new(0));
    let cache =
        Cache::builder(Config { capacity: Capacity::Entries(entries), ..Config::default() }).build().unwrap();
    let counted = Arc::clone(&loads);
    let memo = Memo::new(cache, move |page: u64| {
        counted.fetch_add(1, Ordering::Relaxed);
        async move { if page == 13 { Err(io::Error::other("no such page")) } else { Ok(page) } }
    });
    (Prefetch::new(memo, config).unwrap(), loads)
}

fn on() -> PrefetchConfig {
    PrefetchConfig { enable_prefetching: true, rate: 100_000, ..PrefetchConfig::default() }
}

#[tokio::test]
async fn what_follows_is_there_before_it_is_asked_for() {
    let (pages, _) = pages(1000, on());
    let mut reader = pages.reader();
    let mut hits = 0;
    for round in 0..50 {
        // The first of ten leads to the other nine, which nobody keeps for long.
        for page in 100..110 {
            hits += u64::from(round > 10 && pages.memo().cache().memory().get(&page).is_some());
            reader.call(page).await.unwrap();
            tokio::time::sleep(MS).await;
        }
        for page in 101..110 {
            pages.memo().cache().remove(&page).await;
        }
    }
    let stats = pages.stats();
    assert!(hits > 39 * 8 && stats.pays, "{hits} {stats:?}");
    assert!(stats.used > 300 && stats.wasted < 20 && stats.prefetched >= stats.used, "{stats:?}");
}

#[tokio::test]
async fn it_is_off_unless_it_is_switched_on() {
    let (pages, loads) = pages(2, PrefetchConfig::default());
    let mut reader = pages.reader();
    for _ in 0..100 {
        for page in 0..5 {
            reader.call(page).await.unwrap();
        }
    }
    tokio::time::sleep(MS).await;
    let stats = pages.stats();
    assert!(stats.prefetched == 0 && !stats.pays && loads.load(Ordering::Relaxed) <= 500, "{stats:?}");
}

#[tokio::test]
async fn the_popular_keys_of_last_time_are_there_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("popular.json");
    let (before, _) = pages(1000, on());
    let mut reader = before.reader();
    for at in 0..1000_u64 {
        _ = reader.call(if at % 3 == 0 { at } else { at % 20 }).await;
    }
    before.save(&path, 20, u64::to_string).unwrap();
    let (after, loads) = pages(1000, on());
    let keys = after.saved(&path, |key| key.parse().ok()).unwrap();
    assert_eq!(keys.len(), 20);
    assert_eq!(after.warm(keys).await, 19, "all but the one that fails");
    assert_eq!((loads.load(Ordering::Relaxed), after.stats().warmed, after.stats().failed), (20, 19, 1));
    assert_eq!(after.memo().cache().memory().get(&7), Some(7));
    assert_eq!(before.predicted(99, 5).len(), before.predicted(99 % 24, 5).len());
    std::fs::write(&path, r#"{"version": 2, "keys": ["1"]}"#).unwrap();
    assert!(after.saved(&path, |key| key.parse().ok()).unwrap().is_empty(), "another version's");
    std::fs::write(&path, "nonsense").unwrap();
    after.saved(&path, |key| key.parse().ok()).unwrap_err();
}

#[test]
fn settings_are_checked() {
    let cache: Cache<u64, u64> = Cache::builder(Config::default()).build().unwrap();
    let memo = Memo::new(cache, |page| async move { Ok::<_, io::Error>(page) });
    for bad in [
        PrefetchConfig { max_keys: 0, ..on() },
        PrefetchConfig { rate: 0, ..on() },
        PrefetchConfig { min_used: f64::NAN, ..on() },
    ] {
        assert_eq!(Prefetch::new(memo.clone(), bad).err().unwrap().kind(), ErrorKind::Config);
    }
}
