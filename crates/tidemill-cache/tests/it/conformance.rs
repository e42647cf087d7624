//! The judge itself: it passes the stores that are right and catches those that are not.

use std::borrow::Borrow;
use std::hash::Hash;

use tidemill_cache::{EvictionSink, Key, Quick, Store, Timed, Value, conformance};

#[test]
fn quick_cache_passes() {
    assert_eq!(conformance::run::<Quick<u64, String>>().unwrap(), conformance::CASES);
}

#[cfg(feature = "l1-moka")]
#[test]
fn moka_passes() {
    assert_eq!(conformance::run::<tidemill_cache::Moka<u64, String>>().unwrap(), conformance::CASES);
}

/// What a planted mistake does to a store that is right.
trait Mistake: Send + Sync + 'static {
    const REMOVES_ANYWAY: bool = false;
    const FORGETS_TO_COUNT: bool = false;
    const NEVER_SHRINKS: bool = false;
}

struct Flawed<K: Key, V: Value, M> {
    inner: Quick<K, V>,
    mistake: std::marker::PhantomData<M>,
}

impl<K: Key, V: Value, M: Mistake> Store<K, V> for Flawed<K, V, M> {
    const NAME: &'static str = "flawed";

    fn with_capacity(capacity: u64, entries: usize, sink: EvictionSink<K, V>) -> Self {
        if !M::FORGETS_TO_COUNT {
            return Self {
                inner: Quick::with_capacity(capacity, entries, sink),
                mistake: Default::default(),
            };
        }
        let deaf = EvictionSink::deaf();
        Self { inner: Quick::with_capacity(capacity, entries, deaf), mistake: Default::default() }
    }

    fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<Timed<V>>
    where
        K: Borrow<Q>,
    {
        self.inner.get(key)
    }

    fn insert(&self, key: K, entry: Timed<V>) {
        self.inner.insert(key, entry);
    }

    fn remove_if<Q: Hash + Eq + ?Sized>(
        &self,
        key: &Q,
        test: impl Fn(&Timed<V>) -> bool,
    ) -> Option<(K, Timed<V>)>
    where
        K: Borrow<Q>,
    {
        self.inner.remove_if(key, |entry| M::REMOVES_ANYWAY || test(entry))
    }

    fn scan(&self, visit: impl FnMut(K, Timed<V>)) {
        self.inner.scan(visit);
    }

    fn entries(&self) -> u64 {
        self.inner.entries()
    }

    fn weight(&self) -> u64 {
        self.inner.weight()
    }

    fn capacity(&self) -> u64 {
        self.inner.capacity()
    }

    fn set_capacity(&self, capacity: u64) -> bool {
        M::NEVER_SHRINKS || self.inner.set_capacity(capacity)
    }
}

#[test]
fn planted_mistakes_are_caught() {
    struct Removes;
    impl Mistake for Removes {
        const REMOVES_ANYWAY: bool = true;
    }
    struct Forgets;
    impl Mistake for Forgets {
        const FORGETS_TO_COUNT: bool = true;
    }
    struct Stays;
    impl Mistake for Stays {
        const NEVER_SHRINKS: bool = true;
    }
    struct Nothing;
    impl Mistake for Nothing {}

    fn case<M: Mistake>() -> Option<&'static str> {
        conformance::run::<Flawed<u64, String, M>>().err().map(|failure| failure.case)
    }
    assert_eq!(case::<Nothing>(), None);
    assert_eq!(case::<Removes>(), Some("a removal is decided on the entry"));
    assert_eq!(case::<Forgets>(), Some("who leaves is counted and told once"));
    assert_eq!(case::<Stays>(), Some("a shrink keeps to the new capacity"));
}

/// The judge lets a store say more weight than there is; ours must be exact.
#[test]
fn the_default_stores_weight_is_exact() {
    use tidemill_cache::{Capacity, Config, Memory};
    let config = Config { capacity: Capacity::Bytes(100_000), ..Config::default() };
    let cache: Memory<u64, u64> = Memory::builder(config).weigher(|_, value| *value).build().unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let cache = &cache;
            scope.spawn(move || {
                for n in 0..5000 {
                    let key = (n * 7 + thread * 13) % 1000;
                    match n % 5 {
                        0 => _ = cache.remove(&key),
                        _ => cache.insert(key, key % 9),
                    }
                }
            });
        }
    });
    let mut sum = 0;
    cache.for_each(|_, value| sum += value + u64::from(tidemill_cache::ENTRY_BYTES));
    assert_eq!(cache.stats().weight, sum);
}
