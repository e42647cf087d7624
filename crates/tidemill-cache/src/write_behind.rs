//! Write-behind: a change is acknowledged when the journal has it, and reaches the backend in batches later.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{Notify, Semaphore, mpsc, oneshot, watch};

use crate::cache::Cache;
use crate::error::Error;
use crate::quick::Quick;
use crate::store::{Key, Store, Value};
use crate::sync::{AtomicU64, Mutex, Ordering, lock};
use crate::writers::Writing;

mod committer;
mod config;
mod flusher;
mod frame;
mod pending;

use committer::{Commit, Committer};
use config::UNIT;
pub use config::WriteBehindConfig;
use flusher::Flusher;
use frame::Bytes;
use pending::Pending;

/// One change, as the backend is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change<K, V> {
    /// The key has this value now.
    Put(K, V),
    /// The key is gone.
    Remove(K),
}

/// Why a batch was not written.
#[derive(Debug)]
pub enum Failure {
    /// Try the whole batch again, after a pause.
    Retry(Box<dyn std::error::Error + Send + Sync>),
    /// The change at this place can never be written: it is given up and counted, the others are tried again.
    Reject {
        /// Its place in the batch.
        at: usize,
        /// Why.
        error: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// What [`Backend::write`] returns.
pub type Written<'a> = Pin<Box<dyn Future<Output = Result<(), Failure>> + Send + 'a>>;

/// Where the values live.
pub trait Backend<K, V>: Send + Sync + 'static {
    /// Writes these changes, at most one a key. A batch may come again, whole or in part, after a failure or a restart: writing the
    /// same twice must be as good as once.
    fn write<'a>(&'a self, changes: &'a [Change<K, V>]) -> Written<'a>;
}

/// Told of each change that is given up, and why.
type OnReject<K, V> = dyn Fn(Change<K, V>, Box<dyn std::error::Error + Send + Sync>) + Send + Sync;

/// Acknowledges changes when its journal has them, and writes them to the backend in batches. Needs the feature `disk`.
///
/// **Promise.** What was acknowledged reaches the backend, also when the process is killed: the next [`open`](Self::open) goes on
/// with it. Of several changes of a key the backend sees the last; it may see one twice. Through [`get`](Self::get) and
/// [`get_or_load`](Self::get_or_load) this process reads what it has written, whether the backend has it yet or not: a cache
/// that forgets a value asks what waits before it asks the backend. Other processes see what the backend has.
///
/// **Bounds.** `max_pending` bytes wait; beyond, a writer waits up to `patience` and is told `Full`.
pub struct WriteBehind<K: Key, V: Value, S: Store<K, V> = Quick<K, V>> {
    cache: Cache<K, V, S>,
    shared: Arc<Shared<K, V>>,
    commits: mpsc::Sender<Commit<K, V>>,
    patience: Duration,
    units: usize,
    tasks: Mutex<Option<[tokio::task::JoinHandle<()>; 2]>>,
}

struct Shared<K, V> {
    pending: Mutex<Pending<K, V>>,
    room: Semaphore,
    /// There is something to write.
    news: Notify,
    /// How much has been written, for those who wait for it.
    progress: watch::Sender<u64>,
    closing: watch::Sender<bool>,
    reject: Option<Box<OnReject<K, V>>>,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    accepted: AtomicU64,
    recovered: AtomicU64,
    written: AtomicU64,
    coalesced: AtomicU64,
    batches: AtomicU64,
    failures: AtomicU64,
    rejected: AtomicU64,
    full: AtomicU64,
}

/// What a [`WriteBehind`] has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct WriteBehindStats {
    /// Changes acknowledged.
    pub accepted: u64,
    /// Changes that an earlier process had acknowledged and not written.
    pub recovered: u64,
    /// Changes that the backend took.
    pub written: u64,
    /// Changes that a later one of their key replaced before the backend saw them.
    pub coalesced: u64,
    /// Calls of the backend that succeeded.
    pub batches: u64,
    /// Calls of the backend that failed and were tried again.
    pub failures: u64,
    /// Changes that the backend can never take.
    pub rejected: u64,
    /// Writers who were told that there is no room.
    pub full: u64,
    /// Keys whose last change waits (gauge).
    pub pending: usize,
}

/// How a [`WriteBehind::close`] went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteBehindReport {
    /// Keys whose last change the next open will write.
    pub left: usize,
}

impl<K: Key, V: Value, S: Store<K, V>> WriteBehind<K, V, S> {
    /// Opens the journal, takes up what an earlier process left, and begins to write it. The cache needs a codec.
    ///
    /// # Errors
    /// `Config`; `Disk` when the journal cannot be used, or holds what this codec cannot read.
    pub async fn open(
        cache: Cache<K, V, S>,
        config: &WriteBehindConfig,
        backend: impl Backend<K, V>,
    ) -> Result<Self, Error> {
        Self::open_with(cache, config, backend, None::<fn(_, _)>).await
    }

    /// As [`open`](Self::open), and tells `reject` of each change that the backend can never take.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_with(
        cache: Cache<K, V, S>,
        config: &WriteBehindConfig,
        backend: impl Backend<K, V>,
        reject: Option<
            impl Fn(Change<K, V>, Box<dyn std::error::Error + Send + Sync>) + Send + Sync + 'static,
        >,
    ) -> Result<Self, Error> {
        config.check()?;
        if cache.inner().codec.is_none() {
            return Err(Error::config("codec", "is needed to keep changes: give the builder one".to_owned()));
        }
        let units = config.units();
        let shared = Arc::new(Shared {
            pending: Mutex::new(Pending::new()),
            room: Semaphore::new(units),
            news: Notify::new(),
            progress: watch::Sender::new(0),
            closing: watch::Sender::new(false),
            reject: reject.map(|reject| Box::new(reject) as Box<OnReject<K, V>>),
            counts: Counts::default(),
        });
        let (committer, left) = Committer::open(config, Arc::clone(&shared))?;
        let (commits, wanted) = mpsc::channel(1024);
        let trims = committer.trims();
        for (frame, change) in left {
            Self::take_up(&cache, &shared, frame, change).await?;
        }
        let flusher = Flusher::new(config, Arc::clone(&shared), backend, trims);
        let tasks = Mutex::new(Some([tokio::spawn(committer.run(wanted)), tokio::spawn(flusher.run())]));
        Ok(Self { cache, shared, commits, patience: config.patience, units, tasks })
    }

    /// What was acknowledged before: as if it were now.
    async fn take_up(
        cache: &Cache<K, V, S>,
        shared: &Shared<K, V>,
        frame: u64,
        change: Bytes,
    ) -> Result<(), Error> {
        let codec = cache.inner().codec.as_ref();
        let key = codec.and_then(|codec| codec.parse_key(&change.key));
        let value = change.value.as_ref().map(|bytes| codec.and_then(|codec| codec.decode(bytes)));
        let (Some(key), false) = (key, matches!(value, Some(None))) else {
            let says =
                "the journal holds a change that this codec cannot read: open it with the one that wrote it";
            return Err(Error::config("codec", says.to_owned()));
        };
        let value = value.flatten();
        // A tier below may have what is older.
        match value.clone() {
            Some(value) => cache.insert(key.clone(), value).await,
            None => cache.remove(&key).await,
        }
        // Its room is taken for as long as there is any: what is acknowledged has a place even when the bound was made smaller.
        let wanted = units_of(&change);
        let cost = shared.room.try_acquire_many(wanted).map_or(0, |room| {
            room.forget();
            wanted
        });
        let freed = lock(&shared.pending).add(key, value, frame, cost);
        shared.give_back(freed);
        shared.counts.recovered.fetch_add(1, Ordering::Relaxed);
        shared.news.notify_one();
        Ok(())
    }

    /// Puts a value in: when it returns, the journal has it and every tier.
    ///
    /// # Errors
    /// `Full` (retryable) when there is no room for `patience`; `Disk` when the journal refused it: it may be written or not, and the
    /// cache has forgotten the key; `Config` for a value that has no bytes or more than fit; `Closed`.
    pub async fn put(&self, key: K, value: V) -> Result<(), Error> {
        self.change(key, Some(value)).await
    }

    /// Takes a key out, here and in the backend.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub async fn remove(&self, key: K) -> Result<(), Error> {
        self.change(key, None).await
    }

    async fn change(&self, key: K, value: Option<V>) -> Result<(), Error> {
        let bytes = self.bytes(&key, value.as_ref())?;
        let cost = units_of(&bytes);
        if cost as usize > self.units {
            return Err(Error::config("max_pending", "is less than this key and value".to_owned()));
        }
        let full = || {
            self.shared.counts.full.fetch_add(1, Ordering::Relaxed);
            Error::full(self.patience)
        };
        let room = tokio::time::timeout(self.patience, self.shared.room.acquire_many(cost)).await;
        let room = room.map_err(|_| full())?.map_err(|_| Error::closed())?;
        let writing = Writing::begin(&self.cache, key.clone());
        let (reply, answer) = oneshot::channel();
        let commit = Commit { key, value: value.clone(), bytes, cost, reply };
        self.commits.send(commit).await.map_err(|_| Error::closed())?;
        // From now on the room is the change's, whatever becomes of this caller.
        room.forget();
        answer.await.map_err(|_| Error::closed())??;
        self.shared.counts.accepted.fetch_add(1, Ordering::Relaxed);
        writing.done(value).await;
        Ok(())
    }

    fn bytes(&self, key: &K, value: Option<&V>) -> Result<Bytes, Error> {
        let Some(codec) = self.cache.inner().codec.as_ref() else { return Err(Error::closed()) };
        let encoded = value.map(|value| codec.encode(value));
        if matches!(encoded, Some(None)) {
            return Err(Error::config("codec", "has no bytes for this value".to_owned()));
        }
        let bytes = Bytes { key: codec.key(key), value: encoded.flatten() };
        if bytes.len() > committer::MAX_CHANGE {
            return Err(Error::config("value", format!("has more than {} bytes", committer::MAX_CHANGE)));
        }
        Ok(bytes)
    }

    /// The value, from what waits or from a tier; nothing is loaded.
    pub async fn get(&self, key: &K) -> Option<V> {
        let waits = lock(&self.shared.pending).get(key).map(|value| value.cloned());
        match waits {
            Some(value) => value,
            None => self.cache.get(key).await,
        }
    }

    /// The value: from what waits, from a tier, or from `load`, which asks the backend. After a removal it waits until the
    /// backend knows of it.
    ///
    /// # Errors
    /// As [`Cache::get_or_load`].
    pub async fn get_or_load<F, R, E>(&self, key: &K, load: F) -> Result<V, Error>
    where
        F: FnOnce(K) -> R + Send + 'static,
        R: Future<Output = Result<V, E>> + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'static,
    {
        if let Some(Some(value)) = lock(&self.shared.pending).get(key) {
            return Ok(value.clone());
        }
        let shared = Arc::clone(&self.shared);
        // Asked again within the flight: a change that comes later takes the flight off the board.
        let load = move |key: K| async move {
            if let Some(value) = shared.settled(&key).await {
                return Ok(value);
            }
            load(key).await.map_err(Into::into)
        };
        self.cache.get_or_load::<_, _, Box<dyn std::error::Error + Send + Sync>>(key, load).await
    }

    /// The cache in front; what waits is not in it for long.
    #[must_use]
    pub fn cache(&self) -> &Cache<K, V, S> {
        &self.cache
    }

    /// Until everything that was acknowledged before is with the backend; `false`: not before the deadline.
    pub async fn flush(&self, deadline: Duration) -> bool {
        let mut progress = self.shared.progress.subscribe();
        let all = async {
            while lock(&self.shared.pending).len() > 0 {
                self.shared.news.notify_one();
                if progress.changed().await.is_err() {
                    return;
                }
            }
        };
        tokio::time::timeout(deadline, all).await.is_ok()
    }

    /// Takes nothing more, writes what waits until the deadline, and closes the journal, which keeps what is left.
    ///
    /// # Errors
    /// `Disk` when the journal could not be closed; nothing that was acknowledged is lost by that.
    pub async fn close(&self, deadline: Duration) -> Result<WriteBehindReport, Error> {
        self.shared.room.close();
        self.flush(deadline).await;
        self.shared.closing.send_replace(true);
        let tasks = lock(&self.tasks).take();
        for task in tasks.into_iter().flatten() {
            task.await.map_err(|error| Error::journal(error.into()))?;
        }
        Ok(WriteBehindReport { left: lock(&self.shared.pending).len() })
    }

    /// What was counted.
    #[must_use]
    pub fn stats(&self) -> WriteBehindStats {
        let (count, counts) = (|counter: &AtomicU64| counter.load(Ordering::Relaxed), &self.shared.counts);
        WriteBehindStats {
            accepted: count(&counts.accepted),
            recovered: count(&counts.recovered),
            written: count(&counts.written),
            coalesced: count(&counts.coalesced),
            batches: count(&counts.batches),
            failures: count(&counts.failures),
            rejected: count(&counts.rejected),
            full: count(&counts.full),
            pending: lock(&self.shared.pending).len(),
        }
    }
}

impl<K: Key, V: Value, S: Store<K, V>> Drop for WriteBehind<K, V, S> {
    /// Without a close, what waits is written by the next open.
    fn drop(&mut self) {
        for task in lock(&self.tasks).take().into_iter().flatten() {
            task.abort();
        }
    }
}

impl<K: Key, V: Value> Shared<K, V> {
    fn give_back(&self, units: u32) {
        self.room.add_permits(units as usize);
    }

    /// The value that waits; when a removal waits, nothing, once the backend knows of it.
    async fn settled(&self, key: &K) -> Option<V> {
        let mut progress = self.progress.subscribe();
        loop {
            match lock(&self.pending).get(key) {
                None => return None,
                Some(Some(value)) => return Some(value.clone()),
                Some(None) => {}
            }
            self.news.notify_one();
            // The writer has gone: what is asked now is another owner's.
            progress.changed().await.ok()?;
        }
    }
}

/// Until it is being closed.
async fn closed(closing: &mut watch::Receiver<bool>) {
    _ = closing.wait_for(|closing| *closing).await;
}

fn units_of(change: &Bytes) -> u32 {
    u32::try_from(change.len() / UNIT + 1).unwrap_or(u32::MAX)
}
