//! moka behind the same trait: TinyLFU with a window. It cannot resize, and puts its evictions off.

use std::borrow::Borrow;
use std::hash::Hash;
use std::sync::Arc;

use moka::notification::RemovalCause;
use moka::ops::compute::{CompResult, Op};
use moka::sync::Cache;

use crate::entry::{Cause, Timed};
use crate::store::{EvictionSink, Key, Store, Value};

/// Entries in moka, whose maintenance runs within calls of `get` and `insert`. Needs the feature `l1-moka`.
pub struct Moka<K: Key, V: Value>(Cache<K, Arc<(K, Timed<V>)>, foldhash::fast::RandomState>);

impl<K: Key, V: Value> Store<K, V> for Moka<K, V> {
    const NAME: &'static str = "moka";

    fn with_capacity(capacity: u64, _entries: usize, evictions: EvictionSink<K, V>) -> Self {
        let cache = Cache::builder()
            .max_capacity(capacity)
            .weigher(|_: &K, entry: &Arc<(K, Timed<V>)>| {
                u32::try_from(entry.1.mark.weight()).unwrap_or(u32::MAX)
            })
            .eviction_listener(move |key: Arc<K>, entry: Arc<(K, Timed<V>)>, cause| {
                if cause != RemovalCause::Size {
                    return;
                }
                evictions.count();
                if let Some(listener) = evictions.listener() {
                    listener(K::clone(&key), entry.1.value.clone(), Cause::Capacity);
                }
            });
        Self(cache.build_with_hasher(foldhash::fast::RandomState::default()))
    }

    fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<Timed<V>>
    where
        K: Borrow<Q>,
    {
        self.0.get(key).map(|entry| entry.1.clone())
    }

    fn insert(&self, key: K, entry: Timed<V>) {
        self.0.insert(key.clone(), Arc::new((key, entry)));
    }

    fn remove_if<Q: Hash + Eq + ?Sized>(
        &self,
        key: &Q,
        test: impl Fn(&Timed<V>) -> bool,
    ) -> Option<(K, Timed<V>)>
    where
        K: Borrow<Q>,
    {
        let owned = self.0.get(key)?.0.clone();
        let done = self.0.entry(owned).and_compute_with(|entry| match entry {
            Some(entry) if test(&entry.value().1) => Op::Remove,
            _ => Op::Nop,
        });
        match done {
            CompResult::Removed(entry) => Some(Arc::unwrap_or_clone(entry.into_value())),
            _ => None,
        }
    }

    fn scan(&self, mut visit: impl FnMut(K, Timed<V>)) {
        self.0.iter().for_each(|(_, entry)| {
            let (key, entry) = Arc::unwrap_or_clone(entry);
            visit(key, entry);
        });
    }

    fn entries(&self) -> u64 {
        self.0.entry_count()
    }

    fn weight(&self) -> u64 {
        self.0.weighted_size()
    }

    fn capacity(&self) -> u64 {
        self.0.policy().max_capacity().unwrap_or(u64::MAX)
    }

    fn set_capacity(&self, capacity: u64) -> bool {
        capacity == self.capacity()
    }

    fn settle(&self) {
        // One run does a batch of what is put off.
        (0..8).for_each(|_| self.0.run_pending_tasks());
    }
}
