//! The whole cache: memory first, then one flight through the tiers below and the loader.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::task::JoinSet;

use crate::builder::{Builder, CacheBuilder};
use crate::codec::Codec;
use crate::config::Config;
use crate::entry::Found;
use crate::error::Error;
use crate::flight::Board;
use crate::generation;
use crate::glob;
use crate::layer::Layer;
use crate::lifetime::millis;
use crate::memory::Memory;
use crate::namespace::Namespace;
use crate::quick::Quick;
use crate::stats::{CacheStats, LoadStats};
use crate::store::{Key, Store, Value};
use crate::sync::{AtomicU64, Mutex, Ordering, lock};
use crate::tier::Peers;
use crate::writers::{Writers, Writing};

/// Loads each key once, whoever asks at the same time, through every tier.
///
/// ```
/// use tidemill_cache::{Cache, Config};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), tidemill_cache::Error> {
/// let prices: Cache<String, f64> = Cache::builder(Config::default()).build()?;
/// let key = "AAPL".to_owned();
/// // A thousand callers at once would be one request.
/// let price = prices.get_or_load(&key, |symbol| async move {
///     println!("asking for {symbol}");
///     Ok::<_, std::io::Error>(189.5)
/// });
/// assert_eq!(price.await?, 189.5);
/// assert_eq!(prices.stats().loads.succeeded, 1);
/// prices.remove(&key).await;
/// # Ok(()) }
/// ```
///
/// A clone is the same cache.
pub struct Cache<K: Key, V: Value, S: Store<K, V> = Quick<K, V>>(Arc<Inner<K, V, S>>);

pub(crate) struct Inner<K: Key, V: Value, S: Store<K, V>> {
    pub(crate) memory: Memory<K, V, S>,
    pub(crate) board: Arc<Board<K, Landed<V>>>,
    pub(crate) layers: Vec<Layer>,
    pub(crate) codec: Option<Box<dyn Codec<K, V>>>,
    pub(crate) stale_ms: u64,
    pub(crate) stale_if_error_ms: u64,
    pub(crate) load_timeout: Duration,
    pub(crate) max_refreshes: usize,
    pub(crate) refreshes: Mutex<JoinSet<()>>,
    pub(crate) counts: Counts,
    pub(crate) writers: Writers<K>,
}

#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) succeeded: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) micros: AtomicU64,
    pub(crate) joined: AtomicU64,
    pub(crate) taken_over: AtomicU64,
    pub(crate) refreshed: AtomicU64,
    pub(crate) stale_on_error: AtomicU64,
    pub(crate) unpublished: AtomicU64,
}

/// What a flight brought.
#[derive(Clone)]
pub(crate) struct Landed<V> {
    pub(crate) result: Result<V, Error>,
    pub(crate) generation: u64,
}

impl<K: Key, V: Value> Cache<K, V> {
    /// From a [`Config`], or from what [`Memory::builder`] was told.
    #[must_use]
    pub fn builder<S: Store<K, V>>(memory: impl Into<Builder<K, V, S>>) -> CacheBuilder<K, V, S> {
        CacheBuilder::new(memory.into())
    }
}

impl<K: Key, V: Value, S: Store<K, V>> Cache<K, V, S> {
    pub(crate) fn new(
        config: &Config,
        memory: Memory<K, V, S>,
        layers: Vec<Layer>,
        codec: Option<Box<dyn Codec<K, V>>>,
    ) -> Self {
        let cache = Self(Arc::new(Inner {
            memory,
            board: Board::new(),
            layers,
            codec,
            stale_ms: millis(config.stale),
            stale_if_error_ms: millis(config.stale_if_error),
            load_timeout: config.load_timeout,
            max_refreshes: config.max_refreshes,
            refreshes: Mutex::new(JoinSet::new()),
            counts: Counts::default(),
            writers: Writers::new(),
        }));
        let weak: Weak<Inner<K, V, S>> = Arc::downgrade(&cache.0);
        cache.0.layers.iter().for_each(|layer| layer.listen(weak.clone()));
        cache
    }

    pub(crate) fn inner(&self) -> &Inner<K, V, S> {
        &self.0
    }

    /// The first tier, for whatever needs no waiting: resizing, lives, a look without a load.
    #[must_use]
    pub fn memory(&self) -> &Memory<K, V, S> {
        &self.0.memory
    }

    /// The value: from memory, from a tier below, or from `load`, which runs at most once a key at a time.
    ///
    /// A caller that is dropped while it loads hands over to one that waits. A value past its life by less than
    /// [`Config::stale`] is returned at once while one load runs beside. The life of what is loaded begins with the load.
    ///
    /// # Errors
    /// `Load` with the loader's error, or `TimedOut`; every caller that waited gets the same. While a value is past
    /// its life by less than [`Config::stale_if_error`], that one is returned instead.
    pub async fn get_or_load<F, R, E>(&self, key: &K, load: F) -> Result<V, Error>
    where
        F: FnOnce(K) -> R + Send + 'static,
        R: Future<Output = Result<V, E>> + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'static,
    {
        match self.0.memory.look(key, self.0.stale_ms) {
            Found::Fresh(value) => Ok(value),
            Found::Stale { value, .. } => {
                self.0.refresh(key, load);
                Ok(value)
            }
            Found::Missing => self.0.fly(key, load).await,
        }
    }

    /// The value from memory or a tier below; `None` where only a load would help. Waits for no load of others.
    pub async fn get(&self, key: &K) -> Option<V> {
        if let Some(value) = self.0.memory.get(key) {
            return Some(value);
        }
        if self.0.layers.is_empty() {
            return None;
        }
        let lead = self.0.board.try_lead(key)?;
        let (found, _) = self.0.read(key, false).await;
        let (value, birth) = found?;
        let landed = Landed { result: Ok(value.clone()), generation: birth.generation };
        lead.land(landed, || self.0.memory.put(key.clone(), value.clone(), birth.ttl, birth));
        Some(value)
    }

    /// Puts a value into every tier, the lowest first. A load that runs for the key publishes nothing any more.
    pub async fn insert(&self, key: K, value: V) {
        let born = self.0.memory.birth();
        if let Some(bytes) = self.0.key_bytes(&key) {
            let life = self.0.memory.life_of(&key, &value);
            for layer in self.0.layers.iter().rev() {
                match (life, self.0.record(&key, &value, Duration::ZERO, layer.generation())) {
                    (Some(_), Some(record)) => layer.write(&bytes, record, None).await,
                    _ => layer.remove(&bytes).await,
                }
            }
        }
        self.0.board.forget(&key, || self.0.memory.put(key.clone(), value, None, born));
    }

    /// Writes through: the backend first, then every tier. A write that fails changes nothing here; one that is dropped, or that
    /// overlaps with another of its key, leaves the key absent, for nobody knows what the backend has.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use tidemill_cache::{Cache, Config};
    ///
    /// let prices: Cache<String, f64> = Cache::builder(Config::default()).build()?;
    /// let save = |symbol: String, price: f64| async move {
    ///     println!("saving {symbol} at {price}");
    ///     Ok::<_, std::io::Error>(())
    /// };
    /// prices.write_through("AAPL".to_owned(), 189.5, save).await?;
    /// assert_eq!(prices.get(&"AAPL".to_owned()).await, Some(189.5));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The backend's own. When it may have written all the same, [`remove`](Self::remove) the key.
    pub async fn write_through<F, R, E>(&self, key: K, value: V, write: F) -> Result<(), E>
    where
        F: FnOnce(K, V) -> R + Send,
        R: Future<Output = Result<(), E>> + Send,
    {
        let writing = Writing::begin(self, key.clone());
        match write(key, value.clone()).await {
            Ok(()) => {
                writing.done(Some(value)).await;
                Ok(())
            }
            Err(error) => {
                writing.refused();
                Err(error)
            }
        }
    }

    /// Takes the key out of every tier, the lowest first. When it returns, nobody who asks this process gets the old value,
    /// and no load that began before publishes one; processes that share a tier follow when its push reaches them.
    pub async fn remove(&self, key: &K) {
        if let Some(bytes) = self.0.key_bytes(key) {
            for layer in self.0.layers.iter().rev() {
                layer.remove(&bytes).await;
            }
        }
        self.0.board.forget(key, || self.0.memory.remove(key));
    }

    /// Takes every key that matches out of every tier, in steps: `*` is any bytes, `?` one byte, and a backslash takes the
    /// next byte as it is. Loads that began before publish nothing. It walks all keys: a tag is the cheaper way.
    ///
    /// # Errors
    /// `Config` without a `codec`, which says what a key looks like, or with a pattern of more than 4096 bytes.
    pub async fn remove_matching(&self, pattern: &str) -> Result<(), Error> {
        let Some(codec) = &self.0.codec else {
            return Err(Error::config("codec", "is needed to match keys: give the builder one".to_owned()));
        };
        if pattern.len() > 4096 {
            return Err(Error::config("pattern", format!("{} bytes are more than 4096", pattern.len())));
        }
        for layer in self.0.layers.iter().rev() {
            layer.remove_matching(pattern.as_bytes()).await;
        }
        let test = |key: &K| glob::matches(pattern.as_bytes(), &codec.key(key));
        // First those who might still publish, then what is published.
        for key in self.0.board.keys().iter().filter(|key| test(key)) {
            self.0.board.forget(key, || {});
        }
        for key in self.0.memory.keys_that(test) {
            self.0.board.forget(&key, || self.0.memory.remove(&key));
        }
        Ok(())
    }

    /// Makes every entry with this tag absent, in every tier, whatever their number.
    pub async fn invalidate_tag(&self, tag: &(impl std::hash::Hash + ?Sized)) {
        let hash = generation::hash(tag);
        for layer in self.0.layers.iter().rev() {
            layer.invalidate_tag(hash).await;
        }
        self.0.memory.invalidate_tag(tag);
    }

    /// Makes every entry of this namespace absent, in every tier, whatever their number.
    ///
    /// # Errors
    /// `Config`: the builder was not told of it.
    pub async fn invalidate_namespace(&self, namespace: Namespace) -> Result<(), Error> {
        let hash = self.0.memory.struck_by(namespace)?;
        for layer in self.0.layers.iter().rev() {
            layer.invalidate_tag(hash).await;
        }
        self.0.memory.invalidate_tag_hash(hash);
        Ok(())
    }

    /// Makes everything absent, in every tier.
    pub async fn invalidate_all(&self) {
        for layer in self.0.layers.iter().rev() {
            layer.invalidate_all().await;
        }
        self.0.memory.invalidate_all();
    }

    /// What was counted, per tier.
    #[must_use]
    pub fn stats(&self) -> CacheStats {
        let (inner, count) = (&self.0, |counter: &AtomicU64| counter.load(Ordering::Relaxed));
        let counts = &inner.counts;
        CacheStats {
            memory: inner.memory.stats(),
            loads: LoadStats {
                succeeded: count(&counts.succeeded),
                failed: count(&counts.failed),
                time: Duration::from_micros(count(&counts.micros)),
                joined: count(&counts.joined),
                taken_over: count(&counts.taken_over),
                refreshed: count(&counts.refreshed),
                stale_on_error: count(&counts.stale_on_error),
                unpublished: count(&counts.unpublished),
                running: inner.board.len(),
            },
            tiers: inner.layers.iter().map(Layer::stats).collect(),
        }
    }

    /// Waits until the loads that run beside stale answers have ended, and gives up those that have not at the deadline.
    /// The cache goes on: it can be closed again.
    pub async fn close(&self, deadline: Duration) -> Report {
        let mut refreshes = std::mem::take(&mut *lock(&self.0.refreshes));
        let mut report = Report::default();
        let all = async {
            while refreshes.join_next().await.is_some() {
                report.ended += 1;
            }
        };
        if tokio::time::timeout(deadline, all).await.is_err() {
            report.given_up = refreshes.len();
            refreshes.shutdown().await;
        }
        report
    }
}

/// How [`Cache::close`] went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Refreshes that came to their end.
    pub ended: usize,
    /// Refreshes that were given up at the deadline.
    pub given_up: usize,
}

/// What another process changed is no longer ours, nor is a load of it that runs.
impl<K: Key, V: Value, S: Store<K, V>> Peers for Inner<K, V, S> {
    fn changed(&self, key: &[u8]) {
        match self.codec.as_ref().and_then(|codec| codec.parse_key(key)) {
            Some(key) => _ = self.board.forget(&key, || self.memory.remove(&key)),
            None => self.changed_everything(),
        }
    }

    fn changed_tag(&self, tag: u32) {
        self.memory.invalidate_tag_hash(tag);
    }

    fn changed_everything(&self) {
        self.memory.invalidate_all();
    }
}

impl<K: Key, V: Value, S: Store<K, V>> Clone for Cache<K, V, S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K: Key, V: Value, S: Store<K, V>> fmt::Debug for Cache<K, V, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("stats", &self.stats()).finish_non_exhaustive()
    }
}
