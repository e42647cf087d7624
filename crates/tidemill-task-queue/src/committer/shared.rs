//! What the committer shares with its callers: counts, and who waits for the end of a task.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::id::TaskId;
use crate::stats::Stats;

/// What the committer shares with its callers.
#[derive(Default)]
pub(crate) struct Shared {
    stats: Mutex<Stats>,
    waiting: AtomicUsize,
    waiters: Mutex<HashMap<TaskId, Vec<oneshot::Sender<()>>>>,
}

impl Shared {
    /// Locked by the committer once a transaction, and by whoever reads.
    pub(crate) fn stats(&self) -> MutexGuard<'_, Stats> {
        self.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Told once when a task ends in this process.
    pub(crate) fn watch(&self, id: TaskId) -> oneshot::Receiver<()> {
        let (tell, told) = oneshot::channel();
        let mut waiters = self.waiters.lock().unwrap_or_else(PoisonError::into_inner);
        let list = waiters.entry(id).or_default();
        list.retain(|waiter| !waiter.is_closed());
        list.push(tell);
        self.waiting.store(waiters.len(), Ordering::Release);
        told
    }

    /// Forgets waiters that have left.
    pub(crate) fn unwatch(&self, id: TaskId) {
        let mut waiters = self.waiters.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(list) = waiters.get_mut(&id) {
            list.retain(|waiter| !waiter.is_closed());
            if list.is_empty() {
                waiters.remove(&id);
            }
        }
        self.waiting.store(waiters.len(), Ordering::Release);
    }

    pub(super) fn tell(&self, id: TaskId) {
        if self.waiting.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut waiters = self.waiters.lock().unwrap_or_else(PoisonError::into_inner);
        for waiter in waiters.remove(&id).into_iter().flatten() {
            _ = waiter.send(());
        }
        self.waiting.store(waiters.len(), Ordering::Release);
    }
}
