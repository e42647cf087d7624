//! The default store: quick_cache (S3-FIFO with a memory of keys seen lately), which resizes live.

use std::borrow::Borrow;
use std::hash::Hash;
use std::sync::Arc;

use quick_cache::{Lifecycle, OptionsBuilder, Weighter, sync::Cache};

use crate::entry::{Cause, Listener, Timed};
use crate::store::{EvictionSink, Key, Store, Value};

/// Entries of a shard, at most about: a shrink holds its lock while it evicts a part of them.
const SHARD: usize = 1 << 15;
/// Entries that one step of a shrink evicts from a shard, about: half a millisecond.
const STEP: u64 = 10_000;

/// Entries in quick_cache's shards: hits take a shard's read lock and write one counter of the entry.
pub struct Quick<K, V>(
    Cache<K, Timed<V>, ByWeight, foldhash::fast::RandomState, Watch<K, V>>,
    EvictionSink<K, V>,
);

impl<K: Key, V: Value> Store<K, V> for Quick<K, V> {
    const NAME: &'static str = "quick_cache";

    fn with_capacity(capacity: u64, entries: usize, sink: EvictionSink<K, V>) -> Self {
        let mut options = OptionsBuilder::new();
        if entries > 8 * SHARD {
            options.shards(entries / SHARD);
        }
        let options = options.estimated_items_capacity(entries).weight_capacity(capacity).build();
        let Ok(options) = options else { unreachable!("both of the options it needs are given") };
        let watch = Watch(sink.clone());
        Self(Cache::with_options(options, ByWeight, foldhash::fast::RandomState::default(), watch), sink)
    }

    #[inline]
    fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<Timed<V>>
    where
        K: Borrow<Q>,
    {
        self.0.get(key)
    }

    fn insert(&self, key: K, entry: Timed<V>) {
        if entry.mark.weight() <= self.0.shard_capacity() {
            self.0.insert(key, entry);
            return;
        }
        // Too heavy for its shard: it leaves at once, and with it what it would have replaced.
        self.0.remove(&key);
        self.1.count();
        if let Some(listener) = self.1.listener() {
            listener(key, entry.value, Cause::Capacity);
        }
    }

    fn remove_if<Q: Hash + Eq + ?Sized>(
        &self,
        key: &Q,
        test: impl Fn(&Timed<V>) -> bool,
    ) -> Option<(K, Timed<V>)>
    where
        K: Borrow<Q>,
    {
        self.0.remove_if(key, test)
    }

    fn scan(&self, mut visit: impl FnMut(K, Timed<V>)) {
        // Its iterator takes a read lock for a few entries at a time.
        self.0.iter().for_each(|(key, entry)| visit(key, entry));
    }

    fn entries(&self) -> u64 {
        self.0.len() as u64
    }

    fn weight(&self) -> u64 {
        self.0.weight()
    }

    fn capacity(&self) -> u64 {
        self.0.capacity()
    }

    fn set_capacity(&self, capacity: u64) -> bool {
        // From what is inside, not from the old bound: room that nobody uses costs no step.
        let (weight, shards) = (self.0.weight(), self.0.num_shards() as u64);
        let average = weight.div_ceil(self.entries().max(1)).max(1);
        let step = average.saturating_mul(STEP * shards);
        let mut bound = weight.min(self.0.capacity());
        while bound > capacity.saturating_add(step) {
            bound -= step;
            self.0.set_capacity(bound);
        }
        self.0.set_capacity(capacity);
        true
    }
}

#[derive(Clone)]
struct ByWeight;

impl<K, V> Weighter<K, Timed<V>> for ByWeight {
    #[inline]
    fn weight(&self, _key: &K, entry: &Timed<V>) -> u64 {
        entry.mark.weight()
    }
}

/// Counts evictions under the shard's lock and tells of them, and drops them, outside it.
struct Watch<K, V>(EvictionSink<K, V>);

impl<K, V> Clone for Watch<K, V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K, V> Lifecycle<K, Timed<V>> for Watch<K, V> {
    type RequestState = Evicted<K, V>;

    fn before_evict(&self, evicted: &mut Evicted<K, V>, _key: &K, _entry: &mut Timed<V>) {
        evicted.for_room = true;
    }

    fn on_evict(&self, evicted: &mut Evicted<K, V>, key: K, entry: Timed<V>) {
        // What is replaced comes here too, against quick_cache's word, but not through `before_evict`.
        if !std::mem::take(&mut evicted.for_room) {
            evicted.replaced = Some((key, entry));
            return;
        }
        self.0.count();
        if self.0.listener.is_none() && entry.tags.is_none() && !std::mem::needs_drop::<(K, V)>() {
            return;
        }
        if evicted.listener.is_none() {
            evicted.listener = self.0.listener.clone();
        }
        match &evicted.first {
            None => evicted.first = Some((key, entry)),
            Some(_) => evicted.rest.push((key, entry)),
        }
    }
}

/// What one call evicted; most evict one entry.
struct Evicted<K, V> {
    /// The next that comes was evicted for its room.
    for_room: bool,
    /// Kept until the lock is gone, for dropping it may take long.
    replaced: Option<(K, Timed<V>)>,
    first: Option<(K, Timed<V>)>,
    rest: Vec<(K, Timed<V>)>,
    listener: Option<Arc<Listener<K, V>>>,
}

impl<K, V> Default for Evicted<K, V> {
    fn default() -> Self {
        Self { for_room: false, replaced: None, first: None, rest: Vec::new(), listener: None }
    }
}

impl<K, V> Drop for Evicted<K, V> {
    fn drop(&mut self) {
        let Some(listener) = &self.listener else { return };
        for (key, entry) in self.first.take().into_iter().chain(self.rest.drain(..)) {
            listener(key, entry.value, Cause::Capacity);
        }
    }
}
