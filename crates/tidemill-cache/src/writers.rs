//! Writes of one key that overlap: nobody knows whose came last, so the cache keeps neither's.

use std::collections::HashMap;
use std::hash::Hash;

use crate::cache::Cache;
use crate::store::{Key, Store, Value};
use crate::sync::{Mutex, lock};

/// The keys that are being written, and whether by several at once.
pub(crate) struct Writers<K>(Mutex<HashMap<K, Running, foldhash::fast::RandomState>>);

#[derive(Default)]
struct Running {
    count: u32,
    overlapped: bool,
}

impl<K: Hash + Eq + Clone> Writers<K> {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(HashMap::default()))
    }

    fn begin(&self, key: &K) {
        let mut keys = lock(&self.0);
        let running = keys.entry(key.clone()).or_default();
        running.count += 1;
        running.overlapped |= running.count > 1;
    }

    fn is_alone(&self, key: &K) -> bool {
        lock(&self.0).get(key).is_some_and(|running| !running.overlapped)
    }

    /// Whether this write was the only one of its key all the while.
    fn end(&self, key: &K) -> bool {
        let mut keys = lock(&self.0);
        let Some(running) = keys.get_mut(key) else { return false };
        let alone = !running.overlapped;
        running.count -= 1;
        if running.count == 0 {
            keys.remove(key);
        }
        alone
    }
}

/// One write of a key, from before the backend is told until the cache is. Dropped before its end, the key is forgotten: nobody
/// knows what the backend has.
pub(crate) struct Writing<K: Key, V: Value, S: Store<K, V>> {
    cache: Cache<K, V, S>,
    key: K,
    ended: bool,
}

impl<K: Key, V: Value, S: Store<K, V>> Writing<K, V, S> {
    pub(crate) fn begin(cache: &Cache<K, V, S>, key: K) -> Self {
        cache.inner().writers.begin(&key);
        Self { cache: cache.clone(), key, ended: false }
    }

    /// The backend has it; `None` when the key is gone there.
    pub(crate) async fn done(mut self, value: Option<V>) {
        // First what the cache does, then the end: a write that begins in between overlaps, and both remove.
        match value.filter(|_| self.cache.inner().writers.is_alone(&self.key)) {
            Some(value) => self.cache.insert(self.key.clone(), value).await,
            None => self.cache.remove(&self.key).await,
        }
        self.ended = true;
        if !self.cache.inner().writers.end(&self.key) {
            self.cache.remove(&self.key).await;
        }
    }

    /// The backend refused it: the cache is as it was.
    pub(crate) fn refused(mut self) {
        self.ended = true;
        self.cache.inner().writers.end(&self.key);
    }
}

impl<K: Key, V: Value, S: Store<K, V>> Drop for Writing<K, V, S> {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let inner = self.cache.inner();
        inner.writers.end(&self.key);
        inner.board.forget(&self.key, || inner.memory.remove(&self.key));
        if inner.layers.is_empty() {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (cache, key) = (self.cache.clone(), self.key.clone());
            runtime.spawn(async move { cache.remove(&key).await });
        }
    }
}
