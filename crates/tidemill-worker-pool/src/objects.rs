//! Things that are dear to make, lent out again and again: at most so many, each reset before the next use.

use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{Error, Final, JobError};

type Make<T> = Box<dyn Fn() -> Pin<Box<dyn Future<Output = Result<T, JobError>> + Send>> + Send + Sync>;
type Reset<T> = Box<dyn Fn(&mut T) -> bool + Send + Sync>;

/// A bounded pool of objects. Clones share it.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), tidemill_worker_pool::Error> {
/// use tidemill_worker_pool::Objects;
///
/// let buffers = Objects::new(8, || async { Ok(Vec::<u8>::with_capacity(1 << 16)) }, |buffer| {
///     buffer.clear();
///     buffer.capacity() <= 1 << 20
/// })?;
/// let mut buffer = buffers.get().await?;
/// buffer.extend_from_slice(b"row");
/// drop(buffer);
/// assert!(buffers.get().await?.is_empty());
/// assert_eq!(buffers.stats().made, 1);
/// # Ok(()) }
/// ```
pub struct Objects<T> {
    shared: Arc<Shared<T>>,
}

/// One object, lent. It goes back when dropped.
pub struct Object<T> {
    value: Option<T>,
    shared: Arc<Shared<T>>,
    /// Given back after the object, so that who gets the place finds it.
    permit: Option<OwnedSemaphorePermit>,
}

/// Counts of an [`Objects`] since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ObjectStats {
    /// Objects that lie idle (gauge).
    pub idle: usize,
    /// Objects that are lent (gauge).
    pub lent: usize,
    /// Made.
    pub made: u64,
    /// Lent again after a reset.
    pub reused: u64,
    /// Not kept, because the reset said so or panicked.
    pub discarded: u64,
}

struct Shared<T> {
    max: usize,
    make: Make<T>,
    reset: Reset<T>,
    places: Arc<Semaphore>,
    idle: Mutex<Vec<T>>,
    made: AtomicU64,
    reused: AtomicU64,
    discarded: AtomicU64,
}

impl<T: Send + 'static> Objects<T> {
    /// At most `max` objects exist at once. `make` makes one when none is idle; `reset` prepares one for the next user
    /// when it comes back, and says false to have it dropped instead.
    ///
    /// # Errors
    /// [`Config`](crate::ErrorKind::Config) unless `1 <= max <= 16777216`.
    pub fn new<F, Fut>(
        max: usize,
        make: F,
        reset: impl Fn(&mut T) -> bool + Send + Sync + 'static,
    ) -> Result<Self, Error>
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, JobError>> + Send + 'static,
    {
        if max == 0 || max > 1 << 24 {
            return Err(Error::config("max", format!("{max} is not within 1 to {}", 1 << 24)));
        }
        Ok(Self {
            shared: Arc::new(Shared {
                max,
                make: Box::new(move || Box::pin(make())),
                reset: Box::new(reset),
                places: Arc::new(Semaphore::new(max)),
                idle: Mutex::new(Vec::new()),
                made: AtomicU64::new(0),
                reused: AtomicU64::new(0),
                discarded: AtomicU64::new(0),
            }),
        })
    }

    /// Lends an object: the one that came back last, or a new one; waits while all are lent, first come, first served.
    ///
    /// # Errors
    /// [`Failed`](crate::ErrorKind::Failed) with the error of `make`.
    pub async fn get(&self) -> Result<Object<T>, Error> {
        let shared = &self.shared;
        let permit = Arc::clone(&shared.places).acquire_owned().await;
        let permit = permit.map_err(|_| Error::closed("the objects are gone"))?;
        if let Some(object) = self.idle(&permit) {
            return Ok(object.with(permit));
        }
        let value = (shared.make)().await.map_err(|error| Error::failed(1, Final::NoRetry, error))?;
        shared.made.fetch_add(1, Ordering::Relaxed);
        Ok(Object { value: Some(value), shared: Arc::clone(shared), permit: Some(permit) })
    }

    /// An idle object, if there is one now.
    #[must_use]
    pub fn try_get(&self) -> Option<Object<T>> {
        let permit = Arc::clone(&self.shared.places).try_acquire_owned().ok()?;
        Some(self.idle(&permit)?.with(permit))
    }

    /// Counts.
    #[must_use]
    pub fn stats(&self) -> ObjectStats {
        let shared = &self.shared;
        ObjectStats {
            idle: shared.idle().len(),
            lent: shared.max - shared.places.available_permits(),
            made: shared.made.load(Ordering::Relaxed),
            reused: shared.reused.load(Ordering::Relaxed),
            discarded: shared.discarded.load(Ordering::Relaxed),
        }
    }

    /// The permit bounds how many are out, so that one that is idle may be taken.
    fn idle(&self, _permit: &OwnedSemaphorePermit) -> Option<Object<T>> {
        let value = self.shared.idle().pop()?;
        self.shared.reused.fetch_add(1, Ordering::Relaxed);
        Some(Object { value: Some(value), shared: Arc::clone(&self.shared), permit: None })
    }
}

impl<T> Shared<T> {
    fn idle(&self) -> MutexGuard<'_, Vec<T>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Object<T> {
    fn with(mut self, permit: OwnedSemaphorePermit) -> Self {
        self.permit = Some(permit);
        self
    }

    /// Keeps it: the pool may make another in its place.
    #[must_use]
    pub fn into_inner(mut self) -> T {
        match self.value.take() {
            Some(value) => value,
            None => unreachable!("only this function and drop take it"),
        }
    }
}

impl<T> Deref for Object<T> {
    type Target = T;

    fn deref(&self) -> &T {
        match &self.value {
            Some(value) => value,
            None => unreachable!("it is there until it is dropped"),
        }
    }
}

impl<T> DerefMut for Object<T> {
    fn deref_mut(&mut self) -> &mut T {
        match &mut self.value {
            Some(value) => value,
            None => unreachable!("it is there until it is dropped"),
        }
    }
}

impl<T> Drop for Object<T> {
    fn drop(&mut self) {
        let Some(mut value) = self.value.take() else { return };
        let shared = &self.shared;
        // A reset that panics leaves nobody knows what: not for the next user.
        let kept = catch_unwind(AssertUnwindSafe(|| (shared.reset)(&mut value))).unwrap_or(false);
        if kept {
            shared.idle().push(value);
        } else {
            shared.discarded.fetch_add(1, Ordering::Relaxed);
            drop(catch_unwind(AssertUnwindSafe(|| drop(value))));
        }
    }
}

impl<T> Clone for Objects<T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<T> std::fmt::Debug for Objects<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Objects").field("max", &self.shared.max).finish_non_exhaustive()
    }
}

impl<T: std::fmt::Debug> std::fmt::Debug for Object<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        (**self).fmt(f)
    }
}
