//! Tiers that are asked, filled, spared and believed or not; with a tier of our own that fails when it is told to.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidemill_cache::{
    Answer, Cache, Claim, Clock, Config, ErrorKind, Json, ManualClock, Memory, Read, Record, Tier, TierError,
};

use crate::SECOND;

/// A tier in memory that several caches share, as several processes share a server.
#[derive(Clone, Default)]
struct Shared(Arc<World>);

#[derive(Default)]
struct World {
    slots: Mutex<HashMap<Vec<u8>, Slot>>,
    claims: AtomicU64,
    down: AtomicBool,
    reads: AtomicU64,
}

enum Slot {
    Claimed(Claim),
    Value(Record),
}

impl Shared {
    fn answer<T: Send + 'static>(
        &self,
        done: impl FnOnce(&mut HashMap<Vec<u8>, Slot>) -> T,
    ) -> Answer<'_, T> {
        let answer = if self.0.down.load(Ordering::Relaxed) {
            Err(TierError::from(io::Error::other("planted")))
        } else {
            Ok(done(&mut self.0.slots.lock().unwrap()))
        };
        Box::pin(std::future::ready(answer))
    }

    fn down(&self, down: bool) {
        self.0.down.store(down, Ordering::Relaxed);
    }

    fn has(&self, key: &str) -> bool {
        matches!(self.0.slots.lock().unwrap().get(key.as_bytes()), Some(Slot::Value(_)))
    }
}

impl Tier for Shared {
    fn name(&self) -> &'static str {
        "shared"
    }

    fn read<'a>(&'a self, key: &'a [u8], claim: bool) -> Answer<'a, Read> {
        self.0.reads.fetch_add(1, Ordering::Relaxed);
        let fresh = Claim(u128::from(self.0.claims.fetch_add(1, Ordering::Relaxed)));
        self.answer(|slots| match slots.get(key) {
            Some(Slot::Value(record)) => Read::Found(record.clone()),
            Some(Slot::Claimed(_)) => Read::Claimed,
            None if claim => {
                slots.insert(key.to_vec(), Slot::Claimed(fresh));
                Read::Absent(Some(fresh))
            }
            None => Read::Absent(None),
        })
    }

    fn write<'a>(&'a self, key: &'a [u8], record: Record, claim: Option<Claim>) -> Answer<'a, bool> {
        self.answer(|slots| {
            let mine = match (claim, slots.get(key)) {
                (None, _) => true,
                (Some(claim), Some(Slot::Claimed(there))) => claim == *there,
                _ => false,
            };
            if mine {
                slots.insert(key.to_vec(), Slot::Value(record));
            }
            mine
        })
    }

    fn release<'a>(&'a self, key: &'a [u8], claim: Claim) -> Answer<'a, ()> {
        self.answer(|slots| {
            if matches!(slots.get(key), Some(Slot::Claimed(there)) if *there == claim) {
                slots.remove(key);
            }
        })
    }

    fn remove<'a>(&'a self, key: &'a [u8]) -> Answer<'a, ()> {
        self.answer(|slots| drop(slots.remove(key)))
    }

    fn remove_matching<'a>(&'a self, pattern: &'a [u8]) -> Answer<'a, u64> {
        assert_eq!(pattern, b"1*");
        self.answer(|slots| {
            let before = slots.len();
            slots.retain(|key, _| !key.starts_with(b"1"));
            (before - slots.len()) as u64
        })
    }

    fn invalidate_tag(&self, _tag: u32) -> Answer<'_, ()> {
        self.answer(HashMap::clear)
    }

    fn invalidate_all(&self) -> Answer<'_, ()> {
        self.answer(HashMap::clear)
    }

    fn generation(&self) -> u64 {
        0
    }
}

type Loads = Arc<AtomicU64>;

fn cache(tiers: &[&Shared], config: Config) -> (Cache<u64, String>, ManualClock) {
    let (clock, hand) = Clock::manual();
    let mut builder = Cache::builder(Memory::builder(config).clock(clock)).codec(Json);
    for tier in tiers {
        builder = builder.tier((*tier).clone());
    }
    (builder.build().unwrap(), hand)
}

async fn ask(cache: &Cache<u64, String>, loads: &Loads, value: &'static str) -> String {
    let loads = Arc::clone(loads);
    let load = move |_| async move {
        loads.fetch_add(1, Ordering::Relaxed);
        Ok::<_, io::Error>(value.to_owned())
    };
    cache.get_or_load(&1, load).await.unwrap()
}

#[tokio::test]
async fn a_tier_needs_a_codec() {
    let refused = Cache::<u64, u64>::builder(Config::default()).tier(Shared::default()).build().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Config);
    assert!(refused.to_string().contains("codec"), "{refused}");
}

#[tokio::test]
async fn what_one_loads_the_other_finds() {
    let (shared, loads) = (Shared::default(), Loads::default());
    let (one, _) = cache(&[&shared], Config::default());
    let (other, _) = cache(&[&shared], Config::default());
    assert_eq!(ask(&one, &loads, "a").await, "a");
    assert_eq!(ask(&other, &loads, "b").await, "a");
    assert_eq!(loads.load(Ordering::Relaxed), 1);
    let tier = &other.stats().tiers[0];
    assert_eq!((tier.name, tier.hits, tier.misses), ("shared", 1, 0));
}

#[tokio::test]
async fn a_find_below_fills_what_is_above() {
    let (upper, lower, loads) = (Shared::default(), Shared::default(), Loads::default());
    let (only_lower, _) = cache(&[&lower], Config::default());
    ask(&only_lower, &loads, "a").await;
    let (both, _) = cache(&[&upper, &lower], Config::default());
    assert_eq!(both.get(&1).await.as_deref(), Some("a"));
    assert!(!upper.has("1"), "a look claims nothing");
    both.memory().remove(&1);
    assert_eq!(ask(&both, &loads, "b").await, "a");
    assert!(upper.has("1"));
}

#[tokio::test]
async fn a_removal_and_a_write_reach_every_tier() {
    let (upper, lower, loads) = (Shared::default(), Shared::default(), Loads::default());
    let (cache, _) = cache(&[&upper, &lower], Config::default());
    cache.insert(1, "a".to_owned()).await;
    assert!(upper.has("1") && lower.has("1"));
    cache.remove(&1).await;
    assert!(!upper.has("1") && !lower.has("1"));
    assert_eq!(ask(&cache, &loads, "b").await, "b");
}

/// Two processes' caches on one tier; the tier's claims are the fence.
#[tokio::test]
async fn another_process_removal_ends_a_claim() {
    let (shared, loads) = (Shared::default(), Loads::default());
    let (one, _) = cache(&[&shared], Config::default());
    let (other, _) = cache(&[&shared], Config::default());
    let (begun, go) = (Arc::new(tokio::sync::Notify::new()), Arc::new(tokio::sync::Notify::new()));
    let slow = {
        let (one, begun, go) = (one.clone(), Arc::clone(&begun), Arc::clone(&go));
        tokio::spawn(async move {
            let load = move |_| async move {
                begun.notify_one();
                go.notified().await;
                Ok::<_, io::Error>("old".to_owned())
            };
            one.get_or_load(&1, load).await.unwrap()
        })
    };
    begun.notified().await;
    other.remove(&1).await;
    go.notify_one();
    assert_eq!(slow.await.unwrap(), "old", "who began before gets it");
    assert!(!shared.has("1"), "and nobody else");
    assert_eq!(one.stats().tiers[0].writes_refused, 1);
    assert_eq!(ask(&other, &loads, "new").await, "new");
}

#[tokio::test(start_paused = true)]
async fn while_another_process_loads_one_waits_for_it() {
    let (shared, loads) = (Shared::default(), Loads::default());
    let (one, _) = cache(&[&shared], Config::default());
    let (other, _) = cache(&[&shared], Config::default());
    let slow = tokio::spawn(async move {
        let load = |_| async {
            tokio::time::sleep(SECOND).await;
            Ok::<_, io::Error>("a".to_owned())
        };
        one.get_or_load(&1, load).await.unwrap()
    });
    tokio::task::yield_now().await;
    assert_eq!(ask(&other, &loads, "b").await, "a");
    assert_eq!(slow.await.unwrap(), "a");
    assert_eq!(loads.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_failed_load_gives_its_claim_back() {
    let shared = Shared::default();
    let (one, _) = cache(&[&shared], Config::default());
    let error = one.get_or_load(&1, |_| async { Err(io::Error::other("down")) }).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Load);
    assert!(shared.0.slots.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_tier_that_fails_is_no_error_and_is_spared() {
    let (shared, loads) = (Shared::default(), Loads::default());
    let (cache, hand) = cache(&[&shared], Config { tier_rest: SECOND, ..Config::default() });
    shared.down(true);
    for n in 0..20 {
        assert_eq!(ask(&cache, &loads, "a").await, "a");
        cache.memory().remove(&1);
        assert_eq!(loads.load(Ordering::Relaxed), n + 1);
    }
    let tier = cache.stats().tiers[0];
    assert!(tier.open && tier.failures == 5 && tier.skipped >= 15, "{tier:?}");
    shared.down(false);
    hand.advance(SECOND);
    ask(&cache, &loads, "a").await;
    assert!(shared.has("1") && !cache.stats().tiers[0].open);
}

/// What a tier was not there to be told, it is told before it is asked about that key again.
#[tokio::test]
async fn a_removal_that_did_not_arrive_is_owed() {
    let (shared, loads) = (Shared::default(), Loads::default());
    let (cache, hand) = cache(&[&shared], Config::default());
    ask(&cache, &loads, "old").await;
    shared.down(true);
    cache.remove(&1).await;
    shared.down(false);
    hand.advance(SECOND);
    assert_eq!(ask(&cache, &loads, "new").await, "new");
    // The control: another process, which was not told, believes what the tier holds now.
    assert!(shared.has("1"));
    for all in [false, true] {
        shared.down(true);
        if all {
            cache.invalidate_all().await
        } else {
            cache.invalidate_tag("any").await
        }
        shared.down(false);
        cache.memory().remove(&1);
        hand.advance(SECOND);
        let before = loads.load(Ordering::Relaxed);
        ask(&cache, &loads, "newer").await;
        assert_eq!(loads.load(Ordering::Relaxed), before + 1, "all: {all}");
    }
}

#[tokio::test]
async fn bytes_that_are_no_value_are_loaded_anew() {
    let (shared, loads) = (Shared::default(), Loads::default());
    let record = Record {
        bytes: b"{".to_vec(),
        age: Duration::ZERO,
        life: None,
        own: false,
        tags: Vec::new(),
        generation: 0,
    };
    shared.write(b"1", record, None).await.unwrap();
    let (cache, _) = cache(&[&shared], Config::default());
    assert_eq!(ask(&cache, &loads, "a").await, "a");
}

/// A value is as old as its load, whichever tier it comes from.
#[tokio::test]
async fn an_age_is_kept_through_the_tiers() {
    let shared = Shared::default();
    let record = |age: u64, own: Option<u64>| Record {
        bytes: br#""a""#.to_vec(),
        age: Duration::from_secs(age),
        life: Some(Duration::from_secs(own.unwrap_or(300))),
        own: own.is_some(),
        tags: Vec::new(),
        generation: 0,
    };
    let (cache, hand) = cache(&[&shared], Config::default());
    shared.write(b"1", record(200, None), None).await.unwrap();
    shared.write(b"2", record(5, Some(20)), None).await.unwrap();
    assert!(cache.get(&1).await.is_some() && cache.get(&2).await.is_some());
    shared.0.slots.lock().unwrap().clear();
    hand.advance(15 * SECOND);
    assert_eq!(cache.get(&2).await, None, "its own 20 s");
    assert!(cache.get(&1).await.is_some());
    hand.advance(85 * SECOND);
    assert_eq!(cache.get(&1).await, None, "the cache's 300 s, 200 of which had passed");
}

/// A tier gives what was fresh when it was written; whoever lives by shorter lives now loads anew.
#[tokio::test]
async fn a_shorter_life_is_kept_against_a_tier() {
    let (shared, loads) = (Shared::default(), Loads::default());
    let (one, _) = cache(&[&shared], Config::default());
    ask(&one, &loads, "old").await;
    let (other, _) = cache(&[&shared], Config::default());
    if let Some(Slot::Value(record)) = shared.0.slots.lock().unwrap().get_mut(&b"1"[..]) {
        record.age = 200 * SECOND;
    }
    other.memory().set_ttl(100 * SECOND);
    assert_eq!(ask(&other, &loads, "new").await, "new");
}

#[tokio::test]
async fn a_pattern_reaches_every_tier_and_the_loads_that_run() {
    let shared = Shared::default();
    let (cache, _) = cache(&[&shared], Config::default());
    for key in [1, 12, 21] {
        cache.insert(key, "old".to_owned()).await;
    }
    let (begun, go) = (Arc::new(tokio::sync::Notify::new()), Arc::new(tokio::sync::Notify::new()));
    let slow = {
        let (cache, begun, go) = (cache.clone(), Arc::clone(&begun), Arc::clone(&go));
        tokio::spawn(async move {
            let load = move |_| async move {
                begun.notify_one();
                go.notified().await;
                Ok::<_, io::Error>("old".to_owned())
            };
            cache.get_or_load(&13, load).await.unwrap()
        })
    };
    begun.notified().await;
    cache.remove_matching("1*").await.unwrap();
    go.notify_one();
    assert_eq!(slow.await.unwrap(), "old");
    for (key, there) in [(1, false), (12, false), (13, false), (21, true)] {
        assert_eq!(cache.get(&key).await.is_some(), there, "{key}");
        assert_eq!(shared.has(&key.to_string()), there, "{key}");
    }
    let error = cache.remove_matching(&"x".repeat(5000)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
}
