//! Building a memory cache: its settings, and what only code can say about its keys and values.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use crate::cache::Cache;
use crate::clock::Clock;
use crate::codec::Codec;
use crate::config::{Capacity, Config};
use crate::entry::{Cause, ENTRY_BYTES, Listener};
use crate::error::Error;
use crate::generation::Tags;
use crate::layer::Layer;
use crate::memory::Memory;
use crate::namespace::{Declared, Namespace};
use crate::quick::Quick;
use crate::store::{Key, Store, Value};
use crate::tier::Tier;

/// Makes a [`Memory`].
pub struct Builder<K: Key, V: Value, S: Store<K, V> = Quick<K, V>> {
    config: Config,
    rules: Rules<K, V>,
    clock: Clock,
    store: PhantomData<fn() -> S>,
}

type Weigher<K, V> = dyn Fn(&K, &V) -> u64 + Send + Sync;
type Tagger<K, V> = dyn Fn(&K, &V, &mut Tags) + Send + Sync;
type NamespaceOf<K, V> = dyn Fn(&K, &V) -> Namespace + Send + Sync;
type TtlOf<K, V> = dyn Fn(&K, &V) -> Option<Duration> + Send + Sync;
type IsNegative<V> = dyn Fn(&V) -> bool + Send + Sync;

/// What only code can say.
pub(crate) struct Rules<K, V> {
    in_bytes: bool,
    weigher: Option<Box<Weigher<K, V>>>,
    tags: Option<Box<Tagger<K, V>>>,
    declared: Declared,
    namespace: Option<Box<NamespaceOf<K, V>>>,
    ttl: Option<Box<TtlOf<K, V>>>,
    negative: Option<Box<IsNegative<V>>>,
    pub(crate) listener: Option<Arc<Listener<K, V>>>,
}

impl<K: Key, V: Value> Builder<K, V> {
    pub(crate) fn new(config: Config) -> Self {
        let in_bytes = matches!(config.capacity, Capacity::Bytes(_));
        let rules = Rules {
            in_bytes,
            weigher: None,
            tags: None,
            declared: Declared::default(),
            namespace: None,
            ttl: None,
            negative: None,
            listener: None,
        };
        Self { config, rules, clock: Clock::system(), store: PhantomData }
    }
}

impl<K: Key, V: Value, S: Store<K, V>> Builder<K, V, S> {
    /// The bytes of a key and value, needed for a capacity in bytes; asked once an insert.
    /// [`ENTRY_BYTES`] come on top.
    #[must_use]
    pub fn weigher(mut self, weigher: impl Fn(&K, &V) -> u64 + Send + Sync + 'static) -> Self {
        self.rules.weigher = Some(Box::new(weigher));
        self
    }

    /// The tags of an entry, by which [`invalidate_tag`](Memory::invalidate_tag) finds it. Asked once an insert.
    #[must_use]
    pub fn tags(mut self, tags: impl Fn(&K, &V, &mut Tags) + Send + Sync + 'static) -> Self {
        self.rules.tags = Some(Box::new(tags));
        self
    }

    /// The cache's namespaces, and which of them an entry belongs to; asked once an insert. An entry of another one is not kept.
    /// With namespaces an entry may have one tag less.
    #[must_use]
    pub fn namespaces(
        mut self,
        declared: impl IntoIterator<Item = Namespace>,
        of: impl Fn(&K, &V) -> Namespace + Send + Sync + 'static,
    ) -> Self {
        self.rules.declared = Declared::new(declared);
        self.rules.namespace = Some(Box::new(of));
        self
    }

    /// A lifetime of a value's own (zero: for ever), or `None` for the config's. Asked once an insert.
    #[must_use]
    pub fn ttl_of(mut self, ttl: impl Fn(&K, &V) -> Option<Duration> + Send + Sync + 'static) -> Self {
        self.rules.ttl = Some(Box::new(ttl));
        self
    }

    /// Which values say that there is none: they live for the config's `negative_ttl`. For `V = Option<T>` that is
    /// `Option::is_none`.
    #[must_use]
    pub fn negative(mut self, negative: impl Fn(&V) -> bool + Send + Sync + 'static) -> Self {
        self.rules.negative = Some(Box::new(negative));
        self
    }

    /// Told of each entry that leaves and why, outside any lock, on the thread that made it leave. Being replaced is
    /// no leaving.
    #[must_use]
    pub fn on_evict(mut self, listener: impl Fn(K, V, Cause) + Send + Sync + 'static) -> Self {
        self.rules.listener = Some(Arc::new(listener));
        self
    }

    /// Another clock than the machine's.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Another store than [`Quick`].
    #[must_use]
    pub fn store<T: Store<K, V>>(self) -> Builder<K, V, T> {
        Builder { config: self.config, rules: self.rules, clock: self.clock, store: PhantomData }
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// `Config`: a setting out of its bounds, a capacity in bytes without a `weigher`, or two namespaces of one generation.
    pub fn build(self) -> Result<Memory<K, V, S>, Error> {
        self.config.check()?;
        if self.rules.in_bytes && self.rules.weigher.is_none() {
            return Err(Error::config("capacity", "is in bytes: give the builder a `weigher`".to_owned()));
        }
        // A tier that processes share has 4096 generations.
        self.rules.declared.check(self.config.tag_slots.min(4096))?;
        Ok(Memory::new(&self.config, self.rules, self.clock))
    }
}

impl<K: Key, V: Value> From<Config> for Builder<K, V> {
    fn from(config: Config) -> Self {
        Self::new(config)
    }
}

/// Makes a [`Cache`].
pub struct CacheBuilder<K: Key, V: Value, S: Store<K, V> = Quick<K, V>> {
    memory: Builder<K, V, S>,
    tiers: Vec<Arc<dyn Tier>>,
    codec: Option<Box<dyn Codec<K, V>>>,
}

impl<K: Key, V: Value, S: Store<K, V>> CacheBuilder<K, V, S> {
    pub(crate) fn new(memory: Builder<K, V, S>) -> Self {
        Self { memory, tiers: Vec::new(), codec: None }
    }

    /// How keys and values become bytes for the tiers: [`Json`](crate::Json), or your own.
    #[must_use]
    pub fn codec(mut self, codec: impl Codec<K, V>) -> Self {
        self.codec = Some(Box::new(codec));
        self
    }

    /// A tier below those given before.
    #[must_use]
    pub fn tier(mut self, tier: impl Tier) -> Self {
        self.tiers.push(Arc::new(tier));
        self
    }

    /// Checks the settings. Tiers may tell what other processes invalidate from now on.
    ///
    /// # Errors
    /// `Config`: a setting out of its bounds, a capacity in bytes without a `weigher`, a tier without a `codec`.
    pub fn build(self) -> Result<Cache<K, V, S>, Error> {
        if !self.tiers.is_empty() && self.codec.is_none() {
            return Err(Error::config(
                "codec",
                "a tier needs one: give the builder `Json` or your own".to_owned(),
            ));
        }
        let (config, clock) = (self.memory.config.clone(), self.memory.clock.clone());
        let memory = self.memory.build()?;
        let layer = |tier| Layer::new(tier, clock.clone(), config.tier_timeout, config.tier_rest);
        let layers = self.tiers.into_iter().map(layer).collect();
        Ok(Cache::new(&config, memory, layers, self.codec))
    }
}

impl<K, V> Rules<K, V> {
    pub(crate) fn has_tags(&self) -> bool {
        self.tags.is_some() || self.namespace.is_some()
    }

    /// The hash that strikes a namespace.
    pub(crate) fn struck_by(&self, namespace: Namespace) -> Result<u32, Error> {
        self.declared.find(namespace)
    }

    /// `None` when it has none.
    pub(crate) fn tags(&self, key: &K, value: &V) -> Option<Tags> {
        if !self.has_tags() {
            return None;
        }
        let mut tags = Tags::default();
        if let Some(namespace) = self.namespace.as_ref().map(|of| of(key, value)) {
            tags.add_hash(self.declared.has(namespace).then(|| namespace.hash()));
        }
        if let Some(rule) = &self.tags {
            rule(key, value, &mut tags);
        }
        Some(tags).filter(|tags| !tags.is_empty())
    }

    pub(crate) fn ttl(&self, key: &K, value: &V) -> Option<Duration> {
        self.ttl.as_ref().and_then(|rule| rule(key, value))
    }

    pub(crate) fn is_negative(&self, value: &V) -> bool {
        self.negative.as_ref().is_some_and(|rule| rule(value))
    }

    pub(crate) fn weigh(&self, key: &K, value: &V) -> u64 {
        let own = self.weigher.as_ref().map_or(1, |weigher| weigher(key, value));
        if self.in_bytes { own.saturating_add(u64::from(ENTRY_BYTES)) } else { 1 }
    }
}
