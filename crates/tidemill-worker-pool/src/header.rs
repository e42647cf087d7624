//! What a job is beside its closure and result: its life, number, times, and what only unusual jobs have.

use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use crate::context::Progress;
use crate::handle::Status;
use crate::job::Options;
use crate::life::Life;
use crate::priority::Priority;
use crate::queue::nanos;
use crate::retry::Retry;

/// The part of a job that has no type parameter.
pub(crate) struct Header {
    pub(crate) life: Life,
    id: AtomicU64,
    /// Since when it waits, in nanoseconds of the pool's clock.
    since: AtomicU64,
    /// Nanoseconds an attempt may take; the largest number for no limit.
    pub(crate) timeout: u64,
    /// Made on demand; once there, it stays.
    extra: AtomicPtr<Extra>,
}

/// What only jobs with options need, and those that await something, are cancelled or report progress.
pub(crate) struct Extra {
    options: Option<Options>,
    /// When the deadline is, in nanoseconds of the pool's clock.
    due: u64,
    pub(crate) cancelled: Notify,
    progress: OnceLock<watch::Sender<Progress>>,
}

impl Extra {
    #[inline]
    fn new(options: Option<Options>, due: u64) -> Self {
        Self { options, due, cancelled: Notify::new(), progress: OnceLock::new() }
    }

    pub(crate) fn progress(&self) -> &watch::Sender<Progress> {
        self.progress.get_or_init(watch::Sender::default)
    }
}

impl Header {
    /// Of a job of a group and priority that was accepted at `accepted`.
    #[inline]
    pub(crate) fn new(
        accepted: u64,
        group: u32,
        priority: Priority,
        timeout: u64,
        options: Option<Box<Options>>,
    ) -> Self {
        let extra = options.map_or(ptr::null_mut(), |options| {
            let due = options.deadline.map_or(u64::MAX, |limit| accepted.saturating_add(nanos(limit)));
            Box::into_raw(Box::new(Extra::new(Some(*options), due)))
        });
        Self {
            life: Life::new(group << 2 | priority.index() as u32),
            id: AtomicU64::new(0),
            since: AtomicU64::new(accepted),
            timeout,
            extra: AtomicPtr::new(extra),
        }
    }

    pub(crate) fn id(&self) -> u64 {
        self.id.load(Ordering::Relaxed)
    }

    /// Set once, under the pool's lock and before anybody else knows the job.
    #[inline]
    pub(crate) fn set_id(&self, id: u64) {
        self.id.store(id, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn since(&self) -> u64 {
        self.since.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn attempt(&self) -> u32 {
        self.life.attempt()
    }

    pub(crate) fn status(&self) -> Status {
        self.life.status()
    }

    #[inline]
    pub(crate) fn options(&self) -> Option<&Options> {
        self.get()?.options.as_ref()
    }

    #[inline]
    pub(crate) fn retry(&self) -> Retry {
        self.options().map_or(Retry::NONE, |options| options.retry)
    }

    /// The deadline as it was asked for, and when it is.
    #[inline]
    pub(crate) fn deadline(&self) -> Option<(u64, Duration)> {
        let extra = self.get()?;
        Some((extra.due, extra.options.as_ref()?.deadline?))
    }

    /// When an attempt that began at `began` has to end, and the limit that says so.
    pub(crate) fn limit(&self, began: u64) -> Option<(u64, Duration)> {
        let timeout = (self.timeout < u64::MAX)
            .then(|| (began.saturating_add(self.timeout), Duration::from_nanos(self.timeout)));
        match (timeout, self.deadline()) {
            (Some(timeout), Some(deadline)) => Some(timeout.min(deadline)),
            (one, other) => one.or(other),
        }
    }

    /// A worker takes the job; false when it was cancelled in the queue.
    #[inline]
    pub(crate) fn claim(&self) -> bool {
        let taken = self.life.claim();
        if taken {
            self.life.count_attempt();
        }
        taken
    }

    /// A delayed job waits again; false when it was cancelled meanwhile.
    pub(crate) fn due(&self, now: u64) -> bool {
        let due = self.life.due();
        if due {
            // Under the pool's lock, and no worker knows it yet.
            self.since.store(now, Ordering::Relaxed);
        }
        due
    }

    #[inline]
    fn get(&self) -> Option<&Extra> {
        // SAFETY: what stands there came from a box, is complete (Acquire) and stays until the header is dropped.
        unsafe { self.extra.load(Ordering::Acquire).as_ref() }
    }

    pub(crate) fn extra(&self) -> &Extra {
        if let Some(extra) = self.get() {
            return extra;
        }
        let new = Box::into_raw(Box::new(Extra::new(None, u64::MAX)));
        match self.extra.compare_exchange(ptr::null_mut(), new, Ordering::AcqRel, Ordering::Acquire) {
            // SAFETY: it came from a box and stays until the header is dropped.
            Ok(_) => unsafe { &*new },
            Err(other) => {
                // SAFETY: nobody else has seen ours.
                drop(unsafe { Box::from_raw(new) });
                // SAFETY: as in `get`.
                unsafe { &*other }
            }
        }
    }

    /// Ready once somebody asked to cancel.
    pub(crate) async fn cancelled(&self) {
        let notified = self.extra().cancelled.notified();
        let mut notified = std::pin::pin!(notified);
        notified.as_mut().enable();
        // In one word with the cancel itself: either we see it or it sees us.
        if !self.life.listen() {
            notified.await;
        }
    }

    /// Asks it to stop; true when it waited, so that the caller owns it and has to end it.
    pub(crate) fn request_cancel(&self) -> bool {
        let cancel = self.life.cancel();
        if cancel.listens {
            self.extra().cancelled.notify_waiters();
        }
        cancel.owned
    }
}

impl Drop for Header {
    fn drop(&mut self) {
        let extra = *self.extra.get_mut();
        if !extra.is_null() {
            // SAFETY: it came from a box and nobody else is left.
            drop(unsafe { Box::from_raw(extra) });
        }
    }
}
