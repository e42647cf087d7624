//! Where submitters leave jobs and workers that have none leave their wakers: a lock of its own, held for a few
//! instructions, so that handing in a job never waits for a worker that sorts the queue.
//!
//! A worker asks for it while it holds the pool's lock; submitters hold nothing else. A worker rests only if it finds
//! nothing here under the same lock under which a submitter would look for one that rests: no job is left lying.

use std::task::Waker;

use crate::sync::Mutex;

/// A submitter that finds so many jobs here sorts them in itself.
const FULL: usize = 128;

pub(crate) struct Inbox<J>(Mutex<Inner<J>>);

struct Inner<J> {
    jobs: Vec<J>,
    idle: Vec<(u64, Waker)>,
    /// A woken worker has not looked yet: it will take what came meanwhile, and wake the next if there is more.
    waking: bool,
    /// Takes nothing more.
    shut: bool,
    /// The number of the last job.
    last: u64,
}

/// What is left to do for who left a job.
pub(crate) struct Left {
    pub(crate) wake: Option<Waker>,
    /// The pool's lock has to be taken once, which sorts in what lies here.
    pub(crate) full: bool,
}

impl<J> Inbox<J> {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Inner { jobs: Vec::new(), idle: Vec::new(), waking: false, shut: false, last: 0 }))
    }

    /// Leaves a job, which `name` tells its number.
    ///
    /// # Errors
    /// It is shut: the job, back.
    #[inline]
    pub(crate) fn put(&self, job: J, name: impl FnOnce(&J, u64)) -> Result<Left, J> {
        self.0.with(|inner| {
            inner.last += 1;
            name(&job, inner.last);
            if inner.shut {
                return Err(job);
            }
            inner.jobs.push(job);
            let wake = if inner.waking { None } else { inner.next_idle() };
            Ok(Left { wake, full: inner.jobs.len() >= FULL })
        })
    }

    /// Takes all jobs; `into` is empty.
    pub(crate) fn take(&self, into: &mut Vec<J>) {
        self.0.with(|inner| std::mem::swap(&mut inner.jobs, into));
    }

    /// As [`take`](Self::take), by a worker that looks for work; says whether others rest.
    pub(crate) fn enter(&self, worker: u64, into: &mut Vec<J>) -> bool {
        self.0.with(|inner| {
            inner.waking = false;
            // A worker that was polled for another reason is no longer idle: who woke it later would wake a busy one.
            inner.idle.retain(|(id, _)| *id != worker);
            std::mem::swap(&mut inner.jobs, into);
            !inner.idle.is_empty()
        })
    }

    /// A worker that found nothing rests; false, and it does not, when jobs came meanwhile.
    pub(crate) fn rest(&self, worker: u64, waker: &Waker) -> bool {
        self.0.with(|inner| {
            if inner.jobs.is_empty() {
                inner.idle.push((worker, waker.clone()));
            }
            inner.jobs.is_empty()
        })
    }

    /// A worker leaves for good; whom to wake in its place when there is more to do.
    pub(crate) fn leave(&self, worker: u64, more: bool) -> Option<Waker> {
        self.0.with(|inner| {
            inner.idle.retain(|(id, _)| *id != worker);
            inner.waking = false;
            if more || !inner.jobs.is_empty() { inner.next_idle() } else { None }
        })
    }

    /// Takes nothing more from now on, if nothing lies here.
    pub(crate) fn shut_if_empty(&self) -> bool {
        self.0.with(|inner| {
            inner.shut |= inner.jobs.is_empty();
            inner.shut
        })
    }

    /// Takes nothing more from now on; hands out what lies here.
    pub(crate) fn shut(&self, into: &mut Vec<J>) {
        self.0.with(|inner| {
            inner.shut = true;
            std::mem::swap(&mut inner.jobs, into);
        });
    }

    /// Whom to wake for a job; they say when they look.
    pub(crate) fn next_idle(&self) -> Option<Waker> {
        self.0.with(Inner::next_idle)
    }

    /// Up to so many that rest, to be woken.
    pub(crate) fn wake(&self, most: usize) -> Vec<Waker> {
        self.0.with(|inner| {
            let keep = inner.idle.len() - most.min(inner.idle.len());
            inner.idle.split_off(keep).into_iter().map(|(_, waker)| waker).collect()
        })
    }

    /// How many workers rest.
    pub(crate) fn idle(&self) -> usize {
        self.0.with(|inner| inner.idle.len())
    }
}

impl<J> Inner<J> {
    fn next_idle(&mut self) -> Option<Waker> {
        let (_, waker) = self.idle.pop()?;
        self.waking = true;
        Some(waker)
    }
}
