//! What keeps the entries of a [`Memory`](crate::Memory), as a trait, so that the policy can be another's.

use std::borrow::Borrow;
use std::hash::Hash;
use std::sync::Arc;

use crate::entry::{Listener, Timed};
use crate::sync::{AtomicU64, Ordering};

/// What can be a key.
pub trait Key: Hash + Eq + Clone + Send + Sync + 'static {}
impl<K: Hash + Eq + Clone + Send + Sync + 'static> Key for K {}

/// What can be a value. Each hit clones it: wrap what is dear to clone in an [`Arc`].
pub trait Value: Clone + Send + Sync + 'static {}
impl<V: Clone + Send + Sync + 'static> Value for V {}

/// A bounded map with an eviction policy, of which [`Mark::weight`](crate::Mark::weight) is the weight. It knows nothing of time.
///
/// Judged by [`conformance`](crate::conformance).
pub trait Store<K: Key, V: Value>: Sized + Send + Sync + 'static {
    /// Its name in errors.
    const NAME: &'static str;

    /// An empty one for `capacity` of weight; `entries` is an estimate. Entries that leave for their room go to `evictions`.
    fn with_capacity(capacity: u64, entries: usize, evictions: EvictionSink<K, V>) -> Self;

    /// A clone of the entry; counts as a use.
    fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<Timed<V>>
    where
        K: Borrow<Q>;

    /// Adds or replaces an entry.
    fn insert(&self, key: K, entry: Timed<V>);

    /// Takes the entry out if it passes `test`, in one step.
    fn remove_if<Q: Hash + Eq + ?Sized>(
        &self,
        key: &Q,
        test: impl Fn(&Timed<V>) -> bool,
    ) -> Option<(K, Timed<V>)>
    where
        K: Borrow<Q>;

    /// Every entry that is there for the whole of the call, once; others maybe. Holds no lock for long.
    fn scan(&self, visit: impl FnMut(K, Timed<V>));

    /// Entries.
    fn entries(&self) -> u64;

    /// The sum of their weights.
    fn weight(&self) -> u64;

    /// The bound of [`weight`](Self::weight).
    fn capacity(&self) -> u64;

    /// Changes the bound and evicts what is over it, in steps that block nobody for long. `false`: it cannot.
    fn set_capacity(&self, capacity: u64) -> bool;

    /// Does now what it puts off, if anything.
    fn settle(&self) {}
}

/// Where a store sends what it evicts.
pub struct EvictionSink<K, V> {
    pub(crate) count: Arc<AtomicU64>,
    pub(crate) listener: Option<Arc<Listener<K, V>>>,
}

impl<K, V> EvictionSink<K, V> {
    /// One that nobody reads, for tests of a store.
    #[must_use]
    pub fn deaf() -> Self {
        Self { count: Arc::new(AtomicU64::new(0)), listener: None }
    }

    /// One entry left for its room.
    pub fn count(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    /// Who wants to be told, if anybody; call it outside any lock.
    #[must_use]
    pub fn listener(&self) -> Option<&Arc<Listener<K, V>>> {
        self.listener.as_ref()
    }
}

impl<K, V> Clone for EvictionSink<K, V> {
    fn clone(&self) -> Self {
        Self { count: Arc::clone(&self.count), listener: self.listener.clone() }
    }
}
