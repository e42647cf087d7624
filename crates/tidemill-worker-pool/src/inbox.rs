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

    /// As [`put`](Self::put), for several; they are left where they are when it is shut.
    pub(crate) fn put_all(&self, jobs: &mut Vec<J>, name: impl Fn(&J, u64)) -> Option<Left> {
        self.0.with(|inner| {
            for job in &*jobs {
                inner.last += 1;
                name(job, inner.last);
            }
            if inner.shut {
                return None;
            }
            inner.jobs.append(jobs);
            let wake = if inner.waking { None } else { inner.next_idle() };
            Some(Left { wake, full: inner.jobs.len() >= FULL })
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

/// Run by `cargo xtask loom`.
#[cfg(all(test, loom))]
mod loom_tests {
    use std::future::poll_fn;
    use std::task::{Context, Poll, Wake};

    use loom::future::block_on;
    use loom::sync::{Arc, Mutex};
    use loom::thread;

    use super::*;
    use crate::sync::{every_interleaving, interleavings};

    const JOBS: u32 = 2;

    /// A pool as far as the inbox matters: the queue under its lock, and how many jobs were run.
    struct Pool {
        inbox: Inbox<u32>,
        state: Mutex<State>,
    }

    #[derive(Default)]
    struct State {
        queue: Vec<u32>,
        arrived: Vec<u32>,
        ran: u32,
    }

    impl Pool {
        fn new() -> Arc<Self> {
            Arc::new(Self { inbox: Inbox::new(), state: Mutex::default() })
        }

        fn submit(&self) {
            let left = self.inbox.put(1, |_, _| ()).ok().expect("it is open");
            left.wake.into_iter().for_each(Waker::wake);
        }

        /// As `Worker::take`, one job at a time, until all have run.
        fn work(
            &self,
            cx: &Context<'_>,
            worker: u64,
            rest: fn(&Inbox<u32>, u64, &Waker) -> bool,
        ) -> Poll<()> {
            loop {
                let mut state = self.state.lock().unwrap();
                let State { queue, arrived, ran } = &mut *state;
                let others = self.inbox.enter(worker, arrived);
                queue.append(arrived);
                if queue.pop().is_some() {
                    *ran += 1;
                    let next = if others && !queue.is_empty() { self.inbox.next_idle() } else { None };
                    next.into_iter().for_each(Waker::wake);
                    continue;
                }
                if *ran == JOBS {
                    self.inbox.wake(usize::MAX).into_iter().for_each(Waker::wake);
                    return Poll::Ready(());
                }
                if rest(&self.inbox, worker, cx.waker()) {
                    return Poll::Pending;
                }
            }
        }
    }

    fn submitters_and_workers(preemptions: Option<usize>, submitters: u32, workers: u64) {
        interleavings(preemptions, move || {
            let pool = Pool::new();
            let threads: Vec<_> = (1..workers)
                .map(|worker| {
                    let pool = Arc::clone(&pool);
                    thread::spawn(move || block_on(poll_fn(|cx| pool.work(cx, worker, Inbox::rest))))
                })
                .chain((0..submitters).map(|_| {
                    let pool = Arc::clone(&pool);
                    thread::spawn(move || (0..JOBS / submitters).for_each(|_| pool.submit()))
                }))
                .collect();
            block_on(poll_fn(|cx| pool.work(cx, 0, Inbox::rest)));
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            assert_eq!(pool.state.lock().unwrap().ran, JOBS);
        });
    }

    #[test]
    fn loom_no_job_is_left_lying_by_two_submitters() {
        submitters_and_workers(Some(4), 2, 1);
    }

    #[test]
    fn loom_no_job_is_left_lying_by_two_workers() {
        submitters_and_workers(Some(2), 1, 2);
    }

    /// Whether its worker was woken.
    struct Flag(std::sync::atomic::AtomicBool);

    impl Wake for Flag {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.store(true, std::sync::atomic::Ordering::SeqCst);
        }
    }

    /// One job and one worker that looks once: it has the job, or it is woken.
    fn one_look(rest: fn(&Inbox<u32>, u64, &Waker) -> bool) {
        every_interleaving(move || {
            let pool = Pool::new();
            let submitter = thread::spawn({
                let pool = Arc::clone(&pool);
                move || pool.submit()
            });
            let flag = std::sync::Arc::new(Flag(std::sync::atomic::AtomicBool::new(false)));
            let _ = pool.work(&Context::from_waker(&flag.clone().into()), 0, rest);
            submitter.join().unwrap();
            let woken = flag.0.load(std::sync::atomic::Ordering::SeqCst);
            assert!(pool.state.lock().unwrap().ran == 1 || woken, "the job lies there and the worker sleeps");
        });
    }

    #[test]
    fn loom_a_worker_that_rests_is_woken() {
        one_look(Inbox::rest);
    }

    /// The control: who looks first and rests then misses the job that comes in between.
    #[test]
    #[should_panic(expected = "the worker sleeps")]
    fn loom_finds_a_job_that_is_left_lying() {
        one_look(|inbox, worker, waker| {
            let empty = inbox.0.with(|inner| inner.jobs.is_empty());
            if empty {
                inbox.0.with(|inner| inner.idle.push((worker, waker.clone())));
            }
            empty
        });
    }

    #[test]
    fn loom_a_job_that_meets_the_end_is_taken_in_or_given_back() {
        every_interleaving(|| {
            let inbox = Arc::new(Inbox::new());
            let submitter = thread::spawn({
                let inbox = Arc::clone(&inbox);
                move || {
                    u32::from(inbox.put(1, |_, _| ()).is_err()) + inbox.put(1, |_, _| ()).err().unwrap_or(0)
                }
            });
            let mut taken = Vec::new();
            if !inbox.shut_if_empty() {
                inbox.shut(&mut taken);
            }
            let given_back = submitter.join().unwrap();
            assert_eq!(taken.len() as u32 + given_back, JOBS);
        });
    }
}
