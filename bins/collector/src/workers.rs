//! How many requests are prepared at once: a number that lasts, and the pool of the pass that runs now.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tidemill_worker_pool::Pool;

/// The number of workers, which may change while a pass runs.
#[derive(Debug)]
pub struct Workers {
    wanted: AtomicUsize,
    most: usize,
    /// Items of the pass that were not handed out yet.
    left: AtomicUsize,
    pool: Mutex<Option<Pool>>,
}

/// The pool is the one that [`Workers::set`] resizes, until this is dropped.
#[derive(Debug)]
pub struct OnDuty(Arc<Workers>);

impl Workers {
    /// `workers` now, never more than `most`.
    pub fn new(workers: usize, most: usize) -> Self {
        let most = most.max(1);
        let wanted = AtomicUsize::new(workers.clamp(1, most));
        Self { wanted, most, left: AtomicUsize::new(0), pool: Mutex::default() }
    }

    /// How many there are to be.
    pub fn get(&self) -> usize {
        self.wanted.load(Ordering::Relaxed)
    }

    /// How many there ever are.
    pub fn most(&self) -> usize {
        self.most
    }

    /// Changes their number, in the pass that runs and in those to come. Who is too many ends what it does first.
    pub fn set(&self, workers: usize) {
        let pool = self.lock();
        self.wanted.store(workers.clamp(1, self.most), Ordering::Relaxed);
        if let Some(pool) = &*pool {
            self.resize(pool);
        }
    }

    /// A pass begins with this pool.
    pub fn employ(self: &Arc<Self>, pool: &Pool) -> OnDuty {
        let mut employed = self.lock();
        self.resize(pool);
        *employed = Some(pool.clone());
        OnDuty(Arc::clone(self))
    }

    /// So many items of the pass were not handed out yet.
    pub fn see_left(&self, left: usize) {
        self.left.store(left, Ordering::Relaxed);
    }

    /// Items that wait for a worker; none between passes.
    pub fn waiting(&self) -> Option<usize> {
        let pool = self.lock();
        let stats = pool.as_ref()?.stats();
        Some(self.left.load(Ordering::Relaxed) + stats.waiting)
    }

    fn resize(&self, pool: &Pool) {
        // A pool that closes changes its size no more, and needs not.
        if let Err(error) = pool.resize(self.get()) {
            tracing::debug!(%error, "the number of workers is that of the next pass");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Pool>> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for OnDuty {
    fn drop(&mut self) {
        *self.0.lock() = None;
        self.0.see_left(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_number_lasts_from_pass_to_pass_and_stays_within_its_bounds() {
        let workers = Arc::new(Workers::new(4, 8));
        assert_eq!((workers.get(), workers.waiting()), (4, None));
        let pool = || {
            let bounds = tidemill_worker_pool::Config { workers: 1, max_workers: 8, ..Default::default() };
            Pool::builder(bounds).build().unwrap()
        };
        let first = pool();
        let duty = workers.employ(&first);
        workers.see_left(7);
        assert_eq!((first.stats().target, workers.waiting()), (4, Some(7)));
        workers.set(100);
        assert_eq!((first.stats().target, workers.get()), (8, 8));
        drop(duty);
        workers.set(0);
        assert_eq!((first.stats().target, workers.get(), workers.waiting()), (8, 1, None));
        let second = pool();
        let _duty = workers.employ(&second);
        assert_eq!((second.stats().target, workers.waiting()), (1, Some(0)));
    }
}
