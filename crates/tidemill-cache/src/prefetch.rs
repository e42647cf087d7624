//! Loading before anybody asks: the popular keys of last time at the start, and what follows a key when it is asked for.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::entry::Found;
use crate::error::Error;
use crate::memo::Memo;
use crate::quick::Quick;
use crate::store::{Key, Store, Value};
use crate::sync::{AtomicU64, Mutex, Ordering, lock};

mod predictor;

use predictor::Predictor;

/// Settings of a [`Prefetch`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PrefetchConfig {
    /// Whether what follows a key is brought when that key is asked for. Default false; what is popular is learned anyway.
    pub enable_prefetching: bool,
    /// Keys whose history is kept, some 200 bytes each. Default 10 000.
    pub max_keys: usize,
    /// Loads of a prefetch at once; further predictions are not followed. Default 8.
    pub max_running: usize,
    /// Loads a second while warming. Default 100.
    pub rate: u32,
    /// The share of what is brought that must be asked for; below, only one prediction of 32 is followed. Default 0.3.
    pub min_used: f64,
    /// What is not asked for within so many reads was brought in vain. Default 1000.
    pub horizon: u64,
}

impl Default for PrefetchConfig {
    fn default() -> Self {
        Self {
            enable_prefetching: false,
            max_keys: 10_000,
            max_running: 8,
            rate: 100,
            min_used: 0.3,
            horizon: 1000,
        }
    }
}

/// A [`Memo`] that learns what is asked for. A clone is the same one.
///
/// ```
/// use tidemill_cache::{Cache, Config, Memo, Prefetch, PrefetchConfig};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), tidemill_cache::Error> {
/// let cache: Cache<u32, u32> = Cache::builder(Config::default()).build()?;
/// let pages = Memo::new(cache, |page: u32| async move { Ok::<_, std::io::Error>(page * 2) });
/// let pages = Prefetch::new(pages, PrefetchConfig { enable_prefetching: true, ..PrefetchConfig::default() })?;
/// let mut reader = pages.reader();
/// for _ in 0..5 {
///     for page in 0..4 {
///         assert_eq!(reader.call(page).await?, page * 2);
///     }
/// }
/// assert_eq!(pages.popular(2).len(), 2);
/// println!("{:?}", pages.stats());
/// # Ok(()) }
/// ```
pub struct Prefetch<K: Key, V: Value, S: Store<K, V> = Quick<K, V>> {
    memo: Memo<K, V, S>,
    shared: Arc<Shared<K>>,
}

struct Shared<K> {
    config: PrefetchConfig,
    predictor: Mutex<Predictor<K>>,
    running: AtomicU64,
    prefetched: AtomicU64,
    failed: AtomicU64,
    warmed: AtomicU64,
}

/// What was brought before anybody asked, and whether it paid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PrefetchStats {
    /// Loads because of a prediction.
    pub prefetched: u64,
    /// Of those, asked for since.
    pub used: u64,
    /// Of those, not asked for within the horizon.
    pub wasted: u64,
    /// Loads that failed, of predictions and of warming.
    pub failed: u64,
    /// Keys loaded by warming.
    pub warmed: u64,
    /// Whether predictions are followed now (gauge).
    pub pays: bool,
}

impl<K: Key, V: Value, S: Store<K, V>> Prefetch<K, V, S> {
    /// # Errors
    /// `Config` for a setting out of its bounds.
    pub fn new(memo: Memo<K, V, S>, config: PrefetchConfig) -> Result<Self, Error> {
        let bad = |field, says: &str| Err(Error::config(field, says.to_owned()));
        if config.max_keys == 0 || config.max_keys > 1 << 24 {
            return bad("max_keys", "is not within 1 to 2^24");
        }
        if config.rate == 0 || config.max_running == 0 || config.horizon == 0 {
            return bad("rate", "`max_running` and `horizon` must be at least 1");
        }
        if !(0.0..=1.0).contains(&config.min_used) {
            return bad("min_used", "is not within 0 to 1");
        }
        let predictor = Mutex::new(Predictor::new(config.max_keys, config.horizon, config.min_used));
        let zero = || AtomicU64::new(0);
        let (running, prefetched, failed, warmed) = (zero(), zero(), zero(), zero());
        Ok(Self { memo, shared: Arc::new(Shared { config, predictor, running, prefetched, failed, warmed }) })
    }

    /// One stream of questions: what follows what is learned within it. Take one a session, a connection or a task.
    #[must_use]
    pub fn reader(&self) -> Reader<K, V, S> {
        Reader { prefetch: self.clone(), last: None }
    }

    /// The keys asked for most, the most popular first.
    #[must_use]
    pub fn popular(&self, most: usize) -> Vec<K> {
        lock(&self.shared.predictor).popular(most, None)
    }

    /// The keys asked for most in this hour of the day (0-23, UTC), the most popular first.
    #[must_use]
    pub fn predicted(&self, hour: usize, most: usize) -> Vec<K> {
        lock(&self.shared.predictor).popular(most, Some(hour))
    }

    /// Loads what is not there yet, one after another, at most `rate` a second. Returns how many were loaded; errors are counted.
    pub async fn warm(&self, keys: impl IntoIterator<Item = K>) -> u64 {
        let pause = Duration::from_secs(1) / self.shared.config.rate;
        let mut loaded = 0;
        for key in keys {
            if self.is_there(&key) {
                continue;
            }
            match self.memo.call(key).await {
                Ok(_) => loaded += 1,
                Err(_) => _ = self.shared.failed.fetch_add(1, Ordering::Relaxed),
            }
            tokio::time::sleep(pause).await;
        }
        self.shared.warmed.fetch_add(loaded, Ordering::Relaxed);
        loaded
    }

    /// Writes the most popular keys down, for the next start. `text` says how a key is written.
    ///
    /// # Errors
    /// `Io` of the file.
    pub fn save(&self, path: &Path, most: usize, text: impl Fn(&K) -> String) -> std::io::Result<()> {
        let keys: Vec<String> = self.popular(most).iter().map(text).collect();
        let new = path.with_extension("new");
        std::fs::write(&new, serde_json::to_vec(&Saved { version: 1, keys })?)?;
        std::fs::rename(new, path)
    }

    /// What [`save`](Self::save) wrote, the most popular first, for [`warm`](Self::warm); at most `max_keys`. What is no key is
    /// left out, and so is all of a file of another version.
    ///
    /// # Errors
    /// `Io` of the file, `InvalidData` when it is none of ours.
    pub fn saved(&self, path: &Path, parse: impl Fn(&str) -> Option<K>) -> std::io::Result<Vec<K>> {
        let most = self.shared.config.max_keys;
        // A key has some hundred bytes; a file of a thousand times as many is none of ours.
        if std::fs::metadata(path)?.len() > (most as u64).saturating_mul(100_000) {
            return Err(std::io::Error::new(
                std::io::ErrorKind::InvalidData,
                "the file is too long for saved keys",
            ));
        }
        let saved: Saved = serde_json::from_slice(&std::fs::read(path)?)?;
        let keys = saved.keys.iter().filter(|_| saved.version == 1);
        Ok(keys.filter_map(|key| parse(key)).take(most).collect())
    }

    /// What was counted.
    #[must_use]
    pub fn stats(&self) -> PrefetchStats {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let predictor = lock(&self.shared.predictor);
        PrefetchStats {
            prefetched: count(&self.shared.prefetched),
            used: predictor.used,
            wasted: predictor.wasted,
            failed: count(&self.shared.failed),
            warmed: count(&self.shared.warmed),
            pays: self.shared.config.enable_prefetching && predictor.pays(),
        }
    }

    /// The function and its cache.
    #[must_use]
    pub fn memo(&self) -> &Memo<K, V, S> {
        &self.memo
    }

    fn is_there(&self, key: &K) -> bool {
        matches!(self.memo.cache().memory().peek(key), Found::Fresh(_))
    }

    /// Beside the caller, unless enough are on their way.
    fn bring(&self, key: K) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let running = self.shared.running.fetch_add(1, Ordering::Relaxed);
        if running >= self.shared.config.max_running as u64 || self.is_there(&key) {
            self.shared.running.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        lock(&self.shared.predictor).bring(key.clone());
        let this = self.clone();
        runtime.spawn(async move {
            let counter = match this.memo.call(key.clone()).await {
                Ok(_) => &this.shared.prefetched,
                Err(_) => {
                    lock(&this.shared.predictor).give_up(&key);
                    &this.shared.failed
                }
            };
            counter.fetch_add(1, Ordering::Relaxed);
            this.shared.running.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

impl<K: Key, V: Value, S: Store<K, V>> Clone for Prefetch<K, V, S> {
    fn clone(&self) -> Self {
        Self { memo: self.memo.clone(), shared: Arc::clone(&self.shared) }
    }
}

/// One stream of questions to a [`Prefetch`].
pub struct Reader<K: Key, V: Value, S: Store<K, V> = Quick<K, V>> {
    prefetch: Prefetch<K, V, S>,
    last: Option<K>,
}

impl<K: Key, V: Value, S: Store<K, V>> Reader<K, V, S> {
    /// The answer for this key; what is likely to be asked for next is brought beside.
    ///
    /// # Errors
    /// As [`Cache::get_or_load`](crate::Cache::get_or_load).
    pub async fn call(&mut self, key: K) -> Result<V, Error> {
        let shared = &self.prefetch.shared;
        let next = lock(&shared.predictor).observe(&key, self.last.as_ref(), hour(SystemTime::now()));
        self.last = Some(key.clone());
        if let Some(next) = next.filter(|_| shared.config.enable_prefetching) {
            self.prefetch.bring(next);
        }
        self.prefetch.memo.call(key).await
    }
}

/// The popular keys of a process that ended.
#[derive(Serialize, Deserialize)]
struct Saved {
    version: u32,
    keys: Vec<String>,
}

/// Of the day, UTC.
fn hour(now: SystemTime) -> usize {
    let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    usize::try_from(seconds / 3600 % 24).unwrap_or(0)
}
