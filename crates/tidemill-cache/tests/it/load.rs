//! Loading: one flight a key, who takes over, what an invalidation does to a load that runs, stale answers.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tidemill_cache::{Cache, Clock, Config, ErrorKind, ManualClock, Memory};
use tokio::sync::{Notify, Semaphore};

use crate::{MS, SECOND};

/// A backend that counts its loads and holds each until it is let go.
#[derive(Clone)]
struct Backend {
    value: Arc<AtomicU64>,
    loads: Arc<AtomicU64>,
    gate: Arc<Semaphore>,
}

impl Backend {
    fn new(value: u64) -> Self {
        Self { value: Arc::new(value.into()), loads: Arc::default(), gate: Arc::new(Semaphore::new(0)) }
    }

    fn open(value: u64) -> Self {
        let backend = Self::new(value);
        backend.gate.add_permits(Semaphore::MAX_PERMITS / 2);
        backend
    }

    /// Reads first and waits then, so that what it returns may be old.
    async fn load(self, _key: u64) -> Result<u64, io::Error> {
        self.loads.fetch_add(1, Ordering::Relaxed);
        let value = self.value.load(Ordering::Relaxed);
        self.gate.acquire().await.unwrap().forget();
        if value == u64::MAX { Err(io::Error::other("the backend is down")) } else { Ok(value) }
    }

    fn loads(&self) -> u64 {
        self.loads.load(Ordering::Relaxed)
    }

    fn set(&self, value: u64) {
        self.value.store(value, Ordering::Relaxed);
    }

    async fn asked(&self, times: u64) {
        while self.loads() < times {
            tokio::task::yield_now().await;
        }
    }
}

fn cache(config: Config) -> (Cache<u64, u64>, ManualClock) {
    let (clock, hand) = Clock::manual();
    let memory = Memory::builder(config)
        .clock(clock)
        .tags(|key, _, tags| tags.add(if *key < 10 { "low" } else { "high" }));
    (Cache::builder(memory).build().unwrap(), hand)
}

async fn ask(cache: &Cache<u64, u64>, backend: &Backend) -> Result<u64, tidemill_cache::Error> {
    let backend = backend.clone();
    cache.get_or_load(&1, move |key| backend.load(key)).await
}

fn task(
    cache: &Cache<u64, u64>,
    backend: &Backend,
) -> tokio::task::JoinHandle<Result<u64, tidemill_cache::Error>> {
    let (cache, backend) = (cache.clone(), backend.clone());
    tokio::spawn(async move { ask(&cache, &backend).await })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_callers_are_one_load() {
    let (cache, _) = cache(Config::default());
    let backend = Backend::new(7);
    let tasks: Vec<_> = (0..1000).map(|_| task(&cache, &backend)).collect();
    backend.asked(1).await;
    backend.gate.add_permits(1000);
    for task in tasks {
        assert_eq!(task.await.unwrap().unwrap(), 7);
    }
    assert_eq!(backend.loads(), 1);
    let loads = cache.stats().loads;
    assert_eq!((loads.succeeded, loads.failed, loads.running), (1, 0, 0));
}

#[tokio::test]
async fn an_error_reaches_every_waiter_and_is_not_kept() {
    let (cache, _) = cache(Config::default());
    let backend = Backend::new(u64::MAX);
    let tasks: Vec<_> = (0..10).map(|_| task(&cache, &backend)).collect();
    backend.asked(1).await;
    tokio::task::yield_now().await;
    backend.gate.add_permits(100);
    for task in tasks {
        let error = task.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Load);
        assert_eq!(error.load_error::<io::Error>().unwrap().to_string(), "the backend is down");
    }
    assert_eq!(backend.loads(), 1);
    backend.set(8);
    assert_eq!(ask(&cache, &backend).await.unwrap(), 8);
}

#[tokio::test]
async fn a_cancelled_leader_hands_over() {
    let (cache, _) = cache(Config::default());
    let backend = Backend::new(7);
    let leader = task(&cache, &backend);
    backend.asked(1).await;
    let waiters: Vec<_> = (0..3).map(|_| task(&cache, &backend)).collect();
    tokio::task::yield_now().await;
    leader.abort();
    backend.asked(2).await;
    backend.gate.add_permits(10);
    for waiter in waiters {
        assert_eq!(waiter.await.unwrap().unwrap(), 7);
    }
    assert_eq!((backend.loads(), cache.stats().loads.taken_over), (2, 1));
}

#[tokio::test]
async fn a_panicking_loader_hands_over() {
    let (cache, _) = cache(Config::default());
    let started = Arc::new(Notify::new());
    let (inside, first) = (Arc::clone(&started), cache.clone());
    let leader = tokio::spawn(async move {
        let load = move |_| async move {
            inside.notify_one();
            tokio::task::yield_now().await;
            panic!("planted");
            #[expect(unreachable_code, reason = "it says the type")]
            Ok::<u64, io::Error>(0)
        };
        first.get_or_load(&1, load).await
    });
    started.notified().await;
    let backend = Backend::open(7);
    assert_eq!(ask(&cache, &backend).await.unwrap(), 7);
    assert!(leader.await.unwrap_err().is_panic());
}

/// In every way of invalidating: who began before is given the old value, nobody after.
#[tokio::test]
async fn a_load_is_not_published_over_a_later_invalidation() {
    for way in 0..4 {
        let (cache, _) = cache(Config::default());
        let backend = Backend::new(1);
        let early = task(&cache, &backend);
        backend.asked(1).await;
        backend.set(2);
        match way {
            0 => cache.remove(&1).await,
            1 => cache.invalidate_tag("low").await,
            2 => cache.invalidate_all().await,
            _ => cache.insert(1, 2).await,
        }
        let late = task(&cache, &backend);
        tokio::task::yield_now().await;
        backend.gate.add_permits(10);
        assert_eq!(early.await.unwrap().unwrap(), 1, "way {way}");
        assert_eq!(late.await.unwrap().unwrap(), 2, "way {way}: who asks after it waits for no older load");
        assert_eq!(ask(&cache, &backend).await.unwrap(), 2, "way {way}");
    }
}

#[tokio::test]
async fn another_tags_invalidation_costs_no_load() {
    let (cache, _) = cache(Config::default());
    let backend = Backend::new(1);
    let early = task(&cache, &backend);
    backend.asked(1).await;
    cache.invalidate_tag("high").await;
    let late = task(&cache, &backend);
    tokio::task::yield_now().await;
    backend.gate.add_permits(10);
    assert_eq!((early.await.unwrap().unwrap(), late.await.unwrap().unwrap(), backend.loads()), (1, 1, 1));
}

#[tokio::test]
async fn a_stale_value_is_given_while_one_caller_refreshes() {
    let (cache, hand) = cache(Config { ttl: SECOND, stale: 10 * SECOND, ..Config::default() });
    cache.insert(1, 1).await;
    hand.advance(2 * SECOND);
    let backend = Backend::new(2);
    for _ in 0..10 {
        assert_eq!(ask(&cache, &backend).await.unwrap(), 1, "nobody waits");
    }
    backend.asked(1).await;
    backend.gate.add_permits(10);
    assert_eq!(cache.close(Duration::from_secs(60)).await.ended, 1);
    assert_eq!(ask(&cache, &backend).await.unwrap(), 2);
    assert_eq!((backend.loads(), cache.stats().loads.refreshed), (1, 1));
    assert_eq!(cache.stats().memory.stale_hits, 10);
}

#[tokio::test(start_paused = true)]
async fn close_gives_up_what_does_not_end() {
    let (cache, hand) = cache(Config { ttl: SECOND, stale: 10 * SECOND, ..Config::default() });
    cache.insert(1, 1).await;
    hand.advance(2 * SECOND);
    let backend = Backend::new(2);
    ask(&cache, &backend).await.unwrap();
    backend.asked(1).await;
    assert_eq!(cache.close(SECOND).await.given_up, 1);
    assert_eq!(cache.stats().loads.running, 0, "its flight is over");
}

#[tokio::test]
async fn a_stale_value_stands_in_for_an_error_up_to_the_cap() {
    let (cache, hand) = cache(Config { ttl: SECOND, stale_if_error: 10 * SECOND, ..Config::default() });
    cache.insert(1, 1).await;
    let backend = Backend::open(u64::MAX);
    hand.advance(2 * SECOND);
    assert_eq!(ask(&cache, &backend).await.unwrap(), 1);
    assert_eq!((backend.loads(), cache.stats().loads.stale_on_error), (1, 1), "it was tried");
    hand.advance(9 * SECOND);
    assert!(ask(&cache, &backend).await.is_err(), "never past the cap");
}

#[tokio::test(start_paused = true)]
async fn a_load_that_takes_too_long_is_an_error_of_its_own() {
    let (cache, _) = cache(Config { load_timeout: 500 * MS, ..Config::default() });
    let backend = Backend::new(1);
    let error = ask(&cache, &backend).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::TimedOut, true));
}

/// The life begins with the load: a slow one brings what is old already.
#[tokio::test]
async fn a_life_begins_with_its_load() {
    let (cache, hand) = cache(Config { ttl: 10 * SECOND, ..Config::default() });
    let backend = Backend::new(1);
    let slow = task(&cache, &backend);
    backend.asked(1).await;
    hand.advance(4 * SECOND);
    backend.gate.add_permits(1);
    slow.await.unwrap().unwrap();
    hand.advance(6 * SECOND - MS);
    assert_eq!(cache.get(&1).await, Some(1));
    hand.advance(MS);
    assert_eq!(cache.get(&1).await, None);
}
