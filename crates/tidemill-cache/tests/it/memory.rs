//! The memory tier: lives, sizes, tags, listeners, statistics.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidemill_cache::{Capacity, Cause, Clock, Config, ENTRY_BYTES, ErrorKind, Found, Memory, Tags};

use crate::{MS, SECOND, memory, with};

#[test]
fn a_value_ends_with_its_life() {
    let (cache, hand) = memory(100);
    cache.insert(1, 10);
    hand.advance(10 * SECOND - MS);
    assert_eq!(cache.get(&1), Some(10));
    hand.advance(MS);
    assert_eq!(cache.get(&1), None);
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.misses, stats.evictions.expired, stats.entries), (1, 1, 1, 0));
}

#[test]
fn a_changed_life_is_that_of_the_entries_inside_too() {
    let (cache, hand) = memory(100);
    cache.insert(1, 10);
    cache.insert_with_ttl(2, 20, 12 * SECOND);
    cache.scale_ttl(1.5);
    assert_eq!(cache.ttl(), Some(15 * SECOND));
    hand.advance(14 * SECOND);
    assert_eq!(cache.get(&1), Some(10), "15 s now");
    assert_eq!(cache.get(&2), None, "its own 12 s");
    cache.set_ttl(5 * SECOND);
    assert_eq!(cache.get(&1), None, "retroactive downwards too");
}

#[test]
fn stale_values_are_told_from_fresh_ones_and_capped() {
    let config = Config { ttl: SECOND, stale: SECOND, stale_if_error: 3 * SECOND, ..Config::default() };
    assert_eq!(config.stale_cap(), 3 * SECOND);
    let (cache, hand) = with(config);
    cache.insert(1, 10);
    hand.advance(2 * SECOND);
    assert_eq!(cache.get(&1), None);
    assert_eq!(cache.get_stale(&1, SECOND), Found::Missing);
    assert_eq!(cache.get_stale(&1, 2 * SECOND), Found::Stale { value: 10, for_ms: 1000 });
    assert_eq!(cache.stats().stale_hits, 1);
    hand.advance(2 * SECOND);
    assert_eq!(cache.get_stale(&1, Duration::MAX), Found::Missing, "never past the cap");
}

#[test]
fn without_a_ttl_nothing_ends() {
    let (cache, hand) = with(Config { ttl: Duration::ZERO, ..Config::default() });
    cache.insert(1, 10);
    cache.insert_with_ttl(2, 20, SECOND);
    hand.advance(Duration::from_secs(1 << 30));
    assert_eq!((cache.get(&1), cache.get(&2)), (Some(10), None));
    cache.set_ttl(SECOND);
    assert_eq!(cache.get(&1), Some(10));
}

#[test]
fn values_have_lives_of_their_own() {
    let (clock, hand) = Clock::manual();
    let config = Config { ttl: 10 * SECOND, negative_ttl: SECOND, ..Config::default() };
    let cache: Memory<u64, Option<u64>> = Memory::builder(config)
        .clock(clock)
        .negative(Option::is_none)
        .ttl_of(|key, _| (*key == 3).then_some(2 * SECOND))
        .build()
        .unwrap();
    (1..4).for_each(|key| cache.insert(key, (key != 2).then_some(key)));
    assert_eq!(cache.get(&2), Some(None), "known not to be");
    hand.advance(SECOND);
    assert_eq!((cache.get(&2), cache.get(&3)), (None, Some(Some(3))));
    hand.advance(SECOND);
    assert_eq!((cache.get(&3), cache.get(&1)), (None, Some(Some(1))));
}

#[test]
fn a_negative_life_of_nothing_keeps_nothing() {
    let config = Config { negative_ttl: Duration::ZERO, ..Config::default() };
    let cache: Memory<u64, Option<u64>> = Memory::builder(config).negative(Option::is_none).build().unwrap();
    cache.insert(1, Some(1));
    cache.insert(1, None);
    assert_eq!(cache.get(&1), None, "nor does the older value stay");
}

#[test]
fn jitter_spreads_the_ends() {
    let (cache, hand) = with(Config {
        ttl: 10 * SECOND,
        ttl_jitter: 0.5,
        capacity: Capacity::Entries(10_000),
        ..Config::default()
    });
    (0..1000).for_each(|key| cache.insert(key, key));
    hand.advance(5 * SECOND - MS);
    let alive = |cache: &Memory<u64, u64>| (0..1000).filter(|key| cache.get(key).is_some()).count();
    assert_eq!(alive(&cache), 1000);
    hand.advance(2 * SECOND + 500 * MS);
    assert!((400..600).contains(&alive(&cache)), "half of them");
    hand.advance(2 * SECOND + 500 * MS);
    assert_eq!(alive(&cache), 0, "never longer than the ttl");
}

#[test]
fn a_resize_evicts_and_counts() {
    let (cache, _) = memory(100_000);
    (0..100_000).for_each(|key| cache.insert(key, key));
    let before = cache.stats();
    cache.resize(0.7).unwrap();
    let stats = cache.stats();
    assert!(stats.capacity.abs_diff(70_000) < 64 && stats.entries <= stats.capacity, "{stats:?}");
    let gone = stats.since(&before).evictions.capacity;
    assert_eq!(before.entries - stats.entries, gone);
    cache.resize(2.0).unwrap();
    assert!(cache.capacity().abs_diff(140_000) < 128);
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(cache.resize(bad).unwrap_err().kind(), ErrorKind::Config);
    }
    assert_eq!(cache.set_capacity(0).unwrap_err().kind(), ErrorKind::Config);
}

#[cfg(feature = "l1-moka")]
#[test]
fn moka_says_that_it_cannot_resize() {
    let cache: Memory<u64, u64, tidemill_cache::Moka<u64, u64>> =
        Memory::builder(Config::default()).store().build().unwrap();
    cache.insert(1, 10);
    assert_eq!(cache.get(&1), Some(10));
    cache.scale_ttl(1.5);
    let error = cache.resize(0.7).unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Unsupported, false));
}

#[test]
fn bytes_are_the_weighers_and_our_own() {
    let config = Config { capacity: Capacity::Bytes(100_000), ..Config::default() };
    let refused = Memory::<u64, u64>::builder(config.clone()).build().map(drop).unwrap_err();
    assert!(refused.to_string().contains("weigher"), "{refused}");
    let cache: Memory<u64, String> =
        Memory::builder(config).weigher(|_, value: &String| value.len() as u64).build().unwrap();
    cache.insert(1, "x".repeat(936));
    assert_eq!(cache.stats().weight, 936 + u64::from(ENTRY_BYTES));
    (2..1000).for_each(|key| cache.insert(key, "x".repeat(936)));
    let stats = cache.stats();
    assert!(stats.weight <= stats.capacity && stats.entries > 80, "{stats:?}");
    let _: Option<String> = (1..1000).find_map(|key| cache.get(&key));
    assert_eq!(cache.stats().saved, 1000);
}

#[test]
fn who_leaves_is_told_with_the_cause() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let write = Arc::clone(&told);
    let (clock, hand) = Clock::manual();
    let config = Config { capacity: Capacity::Entries(8), ttl: SECOND, ..Config::default() };
    let cache: Memory<u64, u64> = Memory::builder(config)
        .clock(clock)
        .tags(|key, _, tags| tags.add(if *key % 2 == 0 { "even" } else { "odd" }))
        .on_evict(move |key, value, cause| write.lock().unwrap().push((key, value, cause)))
        .build()
        .unwrap();
    let told = || std::mem::take(&mut *told.lock().unwrap());
    cache.insert(1, 10);
    cache.insert(1, 11);
    assert_eq!(told(), [], "replaced, not gone");
    assert_eq!(cache.remove(&1), Some(11));
    assert_eq!(told(), [(1, 11, Cause::Removed)]);
    cache.insert(2, 20);
    cache.insert(3, 30);
    cache.invalidate_tag("even");
    assert_eq!((cache.get(&2), cache.get(&3)), (None, Some(30)));
    assert_eq!(told(), [(2, 20, Cause::Invalidated)]);
    hand.advance(SECOND);
    assert_eq!(cache.purge(), 1);
    assert_eq!(told(), [(3, 30, Cause::Expired)]);
    (0..9).for_each(|key| cache.insert(key, key));
    assert!(matches!(told()[..], [(_, _, Cause::Capacity)]));
    let by_cause = cache.stats().evictions;
    assert_eq!((by_cause.removed, by_cause.invalidated, by_cause.expired, by_cause.capacity), (1, 1, 1, 1));
}

#[test]
fn a_listener_may_use_the_cache() {
    type Shared = Arc<Memory<u64, u64>>;
    let slot: Arc<Mutex<Option<Shared>>> = Arc::default();
    let inside = Arc::clone(&slot);
    let config = Config { capacity: Capacity::Entries(8), ..Config::default() };
    let cache = Memory::builder(config)
        .on_evict(move |key: u64, _, _| {
            let cache = inside.lock().unwrap().clone();
            if let Some(cache) = cache {
                cache.get(&key);
                cache.remove(&(key + 1));
            }
        })
        .build()
        .unwrap();
    let cache = Arc::new(cache);
    *slot.lock().unwrap() = Some(Arc::clone(&cache));
    (0..1000).for_each(|key| cache.insert(key, key));
    cache.resize(0.5).unwrap();
    slot.lock().unwrap().take();
}

#[test]
fn too_many_tags_are_not_kept() {
    let cache: Memory<u64, u64> = Memory::builder(Config::default())
        .tags(|_, value, tags: &mut Tags| (0..*value).for_each(|n| tags.add(&n)))
        .build()
        .unwrap();
    cache.insert(1, 16);
    assert_eq!(cache.get(&1), Some(16));
    cache.insert(1, 17);
    assert_eq!(cache.get(&1), None, "what could not be found again by its tags is not there");
}

#[test]
fn purging_meets_everybody() {
    let (cache, hand) = memory(10_000);
    (0..5000).for_each(|key| cache.insert_with_ttl(key, key, if key % 2 == 0 { SECOND } else { 9 * SECOND }));
    hand.advance(2 * SECOND);
    assert_eq!((cache.purge(), cache.stats().entries), (2500, 2500));
    cache.invalidate_all();
    assert_eq!((cache.purge(), cache.stats().entries), (2500, 0));
}
