//! Writing through: the backend first, nothing on failure, and nothing that nobody can vouch for.

use std::io;
use std::sync::{Arc, Mutex};

use tidemill_cache::{Cache, Config};
use tokio::sync::{Barrier, Notify};

fn cache() -> Cache<u64, u64> {
    Cache::builder(Config::default()).build().unwrap()
}

#[tokio::test]
async fn the_backend_is_first_and_a_failed_write_changes_nothing() {
    let cache = cache();
    let seen = cache.clone();
    let good = move |key, value| async move {
        assert_eq!(seen.get(&key).await, None, "the cache comes after the backend");
        assert_eq!(value, 10);
        Ok::<_, io::Error>(())
    };
    cache.write_through(1, 10, good).await.unwrap();
    assert_eq!(cache.get(&1).await, Some(10));
    let bad = |_, _| async { Err(io::Error::other("planted")) };
    assert_eq!(cache.write_through(1, 11, bad).await.unwrap_err().to_string(), "planted");
    assert_eq!(cache.get(&1).await, Some(10));
}

#[tokio::test]
async fn a_write_that_is_dropped_leaves_the_key_absent() {
    let cache = cache();
    cache.insert(1, 10).await;
    let never = |_, _| std::future::pending::<Result<(), io::Error>>();
    let writing =
        tokio::time::timeout(std::time::Duration::from_millis(1), cache.write_through(1, 11, never));
    assert!(writing.await.is_err());
    assert_eq!(cache.get(&1).await, None);
}

#[tokio::test]
async fn a_load_that_began_before_a_write_is_not_published_after_it() {
    let (cache, begun, go) = (cache(), Arc::new(Notify::new()), Arc::new(Notify::new()));
    let load = tokio::spawn({
        let (cache, begun, go) = (cache.clone(), Arc::clone(&begun), Arc::clone(&go));
        async move {
            let old = |_| async move {
                begun.notify_one();
                go.notified().await;
                Ok::<_, io::Error>(1)
            };
            cache.get_or_load(&7, old).await.unwrap()
        }
    });
    begun.notified().await;
    cache.write_through(7, 2, |_, _| async { Ok::<_, io::Error>(()) }).await.unwrap();
    go.notify_one();
    assert_eq!(load.await.unwrap(), 1, "who asked before may get the older");
    assert_eq!(cache.get(&7).await, Some(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writes_that_overlap_never_leave_the_cache_behind_the_backend() {
    for _ in 0..200 {
        let (cache, backend) = (cache(), Arc::new(Mutex::new(0)));
        let start = Arc::new(Barrier::new(3));
        let writers: Vec<_> = (1..=3)
            .map(|value| {
                let (cache, backend, start) = (cache.clone(), Arc::clone(&backend), Arc::clone(&start));
                tokio::spawn(async move {
                    start.wait().await;
                    let write = |_, value| async move {
                        tokio::task::yield_now().await;
                        *backend.lock().unwrap() = value;
                        tokio::task::yield_now().await;
                        Ok::<_, io::Error>(())
                    };
                    cache.write_through(1, value, write).await.unwrap();
                })
            })
            .collect();
        for writer in writers {
            writer.await.unwrap();
        }
        let cached = cache.get(&1).await;
        assert!(cached.is_none() || cached == Some(*backend.lock().unwrap()), "{cached:?}");
    }
}
