//! The memory tier beside a naive model: a map that keeps everything and forgets by the book.

use std::collections::HashMap;
use std::time::Duration;

use proptest::prelude::*;
use tidemill_cache::{Capacity, Clock, Config, Found, Memory};

const TTL_MS: u64 = 1000;
const STALE_MS: u64 = 300;

#[derive(Clone, Debug)]
enum Step {
    Insert(u64),
    InsertWithTtl(u64, u64),
    Get(u64),
    GetStale(u64, u64),
    Remove(u64),
    Wait(u64),
    Scale(f64),
    InvalidateTag(u64),
    InvalidateAll,
    Resize(f64),
    Purge,
}

fn step() -> impl Strategy<Value = Step> {
    let key = || 0_u64..12;
    prop_oneof![
        4 => key().prop_map(Step::Insert),
        2 => (key(), 1_u64..2000).prop_map(|(key, ttl)| Step::InsertWithTtl(key, ttl)),
        6 => key().prop_map(Step::Get),
        2 => (key(), 0_u64..500).prop_map(|(key, stale)| Step::GetStale(key, stale)),
        1 => key().prop_map(Step::Remove),
        4 => (1_u64..700).prop_map(Step::Wait),
        1 => (0.25_f64..2.0).prop_map(Step::Scale),
        1 => (0_u64..3).prop_map(Step::InvalidateTag),
        1 => Just(Step::InvalidateAll),
        1 => (0.3_f64..3.0).prop_map(Step::Resize),
        1 => Just(Step::Purge),
    ]
}

/// What the book says of an entry.
struct Kept {
    value: u64,
    written: u64,
    ttl: u64,
    own: bool,
}

struct Model {
    kept: HashMap<u64, Kept>,
    now: u64,
    scale: f64,
}

impl Model {
    /// Milliseconds past its life; negative within it.
    fn past(&self, key: u64) -> Option<(u64, i64)> {
        let kept = self.kept.get(&key)?;
        let ttl = if kept.own { kept.ttl as f64 } else { kept.ttl as f64 * self.scale };
        Some((kept.value, (self.now - kept.written) as i64 - ttl as i64))
    }
}

/// Takes the dead out of both; a millisecond of rounding is given to the cache.
fn bury(cache: &Memory<u64, u64>, model: &mut Model) {
    cache.purge();
    let keys: Vec<u64> = model.kept.keys().copied().collect();
    for key in keys {
        if model.past(key).is_some_and(|(_, past)| past >= STALE_MS as i64 - 1) {
            cache.remove(&key);
            model.kept.remove(&key);
        }
    }
}

proptest! {
    /// A cache may forget for its room's sake, and never gives what the book says is gone, old or another's.
    /// With room for all it forgets nothing.
    #[test]
    fn nothing_is_given_that_the_book_forbids(steps in proptest::collection::vec(step(), 1..80), roomy: bool) {
        let (clock, hand) = Clock::manual();
        let config = Config {
            capacity: Capacity::Entries(if roomy { 1000 } else { 6 }),
            ttl: Duration::from_millis(TTL_MS),
            stale: Duration::from_millis(STALE_MS),
            ..Config::default()
        };
        let cache: Memory<u64, u64> =
            Memory::builder(config).clock(clock).tags(|key, _, tags| tags.add(&(key % 3))).build().unwrap();
        let mut model = Model { kept: HashMap::new(), now: 0, scale: 1.0 };
        let mut capacity = cache.capacity();
        for (number, step) in steps.into_iter().enumerate() {
            let value = number as u64;
            let written = model.now;
            match step {
                Step::Insert(key) => {
                    cache.insert(key, value);
                    model.kept.insert(key, Kept { value, written, ttl: TTL_MS, own: false });
                }
                Step::InsertWithTtl(key, ttl) => {
                    cache.insert_with_ttl(key, value, Duration::from_millis(ttl));
                    model.kept.insert(key, Kept { value, written, ttl, own: true });
                }
                Step::Get(key) => {
                    let got = cache.get(&key);
                    let book = model.past(key).filter(|(_, past)| *past < 0).map(|(value, _)| value);
                    // A scale is kept to 1/65536, so the very millisecond may differ.
                    let edge = model.past(key).is_some_and(|(_, past)| past.abs() <= 1);
                    prop_assert!(edge || got == book || (got.is_none() && !roomy), "{got:?} and not {book:?}");
                }
                Step::GetStale(key, stale) => {
                    let edges = [0, stale.min(STALE_MS) as i64];
                    let book = model.past(key);
                    if book.is_some_and(|(_, past)| edges.iter().any(|edge| (past - edge).abs() <= 1)) {
                        continue;
                    }
                    match (cache.get_stale(&key, Duration::from_millis(stale)), book) {
                        (Found::Fresh(got), Some((value, past))) => prop_assert!(got == value && past < 0),
                        (Found::Stale { value: got, for_ms }, Some((value, past))) => {
                            prop_assert!(got == value && past >= 0 && (for_ms as i64 - past).abs() <= 1);
                            prop_assert!(past < edges[1], "{past} ms past, asked for {stale}");
                        }
                        (Found::Missing, Some((_, past))) => prop_assert!(!roomy || past >= edges[1]),
                        (found, None) => prop_assert_eq!(found, Found::Missing),
                    }
                }
                Step::Remove(key) => {
                    cache.remove(&key);
                    model.kept.remove(&key);
                }
                Step::Wait(ms) => {
                    hand.advance(Duration::from_millis(ms));
                    model.now += ms;
                }
                Step::Scale(factor) => {
                    // A longer life raises nobody who was met dead, and whom nobody met may go either way.
                    bury(&cache, &mut model);
                    cache.scale_ttl(factor);
                    model.scale *= factor;
                    bury(&cache, &mut model);
                }
                Step::InvalidateTag(tag) => {
                    cache.invalidate_tag(&tag);
                    model.kept.retain(|key, _| key % 3 != tag);
                }
                Step::InvalidateAll => {
                    cache.invalidate_all();
                    model.kept.clear();
                }
                Step::Resize(factor) => {
                    let factor = if roomy { factor.max(1.0) } else { factor };
                    if capacity < 100_000 {
                        cache.resize(factor).unwrap();
                        capacity = cache.capacity();
                    }
                }
                Step::Purge => bury(&cache, &mut model),
            }
            prop_assert!(cache.stats().weight <= cache.capacity());
        }
    }
}
