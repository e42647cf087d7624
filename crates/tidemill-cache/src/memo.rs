//! An async function that remembers: its arguments are the key.

use std::pin::Pin;
use std::sync::Arc;

use crate::cache::Cache;
use crate::error::Error;
use crate::quick::Quick;
use crate::store::{Key, Store, Value};

type Source = Box<dyn std::error::Error + Send + Sync>;
type Called<V> = Pin<Box<dyn Future<Output = Result<V, Source>> + Send>>;
type Function<K, V> = dyn Fn(K) -> Called<V> + Send + Sync;

/// A `Result`, taken apart for the attribute `cached`.
pub trait Fallible {
    /// Of its `Ok`.
    type Value;
}

impl<V, E> Fallible for Result<V, E> {
    type Value = V;
}

/// An async function behind a cache: called once a key at a time, and not at all while its last answer lives.
///
/// ```
/// use tidemill_cache::{Cache, Config, Memo};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), tidemill_cache::Error> {
/// let cache: Cache<(String, u32), f64> = Cache::builder(Config::default()).build()?;
/// let mean = Memo::new(cache, |(symbol, days): (String, u32)| async move {
///     Ok::<_, std::io::Error>(f64::from(days) * symbol.len() as f64)
/// });
/// assert_eq!(mean.call(("AAPL".to_owned(), 20)).await?, 80.0);
/// assert_eq!(mean.call(("AAPL".to_owned(), 20)).await?, 80.0);
/// assert_eq!(mean.cache().stats().loads.succeeded, 1);
/// # Ok(()) }
/// ```
///
/// A clone is the same function with the same cache.
pub struct Memo<K: Key, V: Value, S: Store<K, V> = Quick<K, V>> {
    cache: Cache<K, V, S>,
    function: Arc<Function<K, V>>,
}

impl<K: Key, V: Value, S: Store<K, V>> Memo<K, V, S> {
    /// Several arguments are a tuple.
    pub fn new<F, R, E>(cache: Cache<K, V, S>, function: F) -> Self
    where
        F: Fn(K) -> R + Send + Sync + 'static,
        R: Future<Output = Result<V, E>> + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>> + 'static,
    {
        let function: Arc<Function<K, V>> = Arc::new(move |key| {
            let answer = function(key);
            Box::pin(async move { answer.await.map_err(Into::into) })
        });
        Self { cache, function }
    }

    /// The answer for these arguments.
    ///
    /// # Errors
    /// As [`Cache::get_or_load`].
    pub async fn call(&self, key: K) -> Result<V, Error> {
        let function = Arc::clone(&self.function);
        self.cache.get_or_load(&key, move |key| function(key)).await
    }

    /// The cache behind it.
    #[must_use]
    pub fn cache(&self) -> &Cache<K, V, S> {
        &self.cache
    }
}

impl<K: Key, V: Value, S: Store<K, V>> Clone for Memo<K, V, S> {
    fn clone(&self) -> Self {
        Self { cache: self.cache.clone(), function: Arc::clone(&self.function) }
    }
}
