//! The life of one job in one word: which phase it is in, and so who may touch what.
//!
//! `WAITING → RUNNING → ENDED`, and `RUNNING → DELAYED → WAITING` between two attempts. Whoever moves a job to
//! RUNNING owns it until they move it on: a worker to run it, a cancel or a close to end it. The owner alone touches
//! the job's stage; after ENDED its handle alone does.

use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

use crate::handle::Status;
use crate::sync::{AtomicU32, UnsafeCell};

const WAITING: u32 = 0;
const RUNNING: u32 = 1;
const DELAYED: u32 = 2;
const ENDED: u32 = 3;
const PHASE: u32 = 3;
/// Somebody asked to cancel.
const CANCEL: u32 = 1 << 2;
/// The handle left its waker, and does not touch it while this bit stands.
const WAKER: u32 = 1 << 3;
/// Somebody waits for a cancel.
const LISTENS: u32 = 1 << 4;
/// Where the mark begins that a life carries from its start.
const MARK: u32 = 8;

pub(crate) struct Life {
    word: AtomicU32,
    /// Attempts begun; only the owner writes it. It stands here to leave no gap.
    attempt: std::sync::atomic::AtomicU32,
    waker: UnsafeCell<Option<Waker>>,
}

// SAFETY: the waker is written by the one handle, only while WAKER is not set, and read by others only when it is.
unsafe impl Sync for Life {}

/// What a cancel met.
pub(crate) struct Cancel {
    /// It waited: the caller owns it now and has to end it.
    pub(crate) owned: bool,
    /// Somebody listens for it.
    pub(crate) listens: bool,
}

impl Life {
    #[inline]
    pub(crate) fn new(mark: u32) -> Self {
        Self {
            word: AtomicU32::new(WAITING | mark << MARK),
            attempt: std::sync::atomic::AtomicU32::new(0),
            waker: UnsafeCell::new(None),
        }
    }

    /// The lower 24 bits of what it was marked by.
    #[inline]
    pub(crate) fn mark(&self) -> u32 {
        self.word.load(Ordering::Relaxed) >> MARK
    }

    #[inline]
    pub(crate) fn attempt(&self) -> u32 {
        self.attempt.load(Ordering::Relaxed)
    }

    /// The owner begins another attempt.
    #[inline]
    pub(crate) fn count_attempt(&self) {
        self.attempt.store(self.attempt() + 1, Ordering::Relaxed);
    }

    pub(crate) fn status(&self) -> Status {
        match self.word.load(Ordering::Acquire) & PHASE {
            WAITING => Status::Waiting,
            RUNNING => Status::Running,
            DELAYED => Status::Delayed,
            _ => Status::Ended,
        }
    }

    #[inline]
    pub(crate) fn is_cancelled(&self) -> bool {
        self.word.load(Ordering::Relaxed) & CANCEL != 0
    }

    /// Takes a job that waits for a worker; true makes the caller its owner.
    #[inline]
    pub(crate) fn claim(&self) -> bool {
        self.step(|phase| (phase == WAITING).then_some(RUNNING)).is_some()
    }

    /// Takes a job that waits for anything.
    pub(crate) fn seize(&self) -> bool {
        self.step(|phase| (phase == WAITING || phase == DELAYED).then_some(RUNNING)).is_some()
    }

    /// The owner lets go until the next attempt; false when somebody cancelled it, who leaves its end to the owner.
    pub(crate) fn delay(&self) -> bool {
        let mut word = self.word.load(Ordering::Relaxed);
        while word & CANCEL == 0 {
            let next = word & !PHASE | DELAYED;
            match self.word.compare_exchange_weak(word, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(seen) => word = seen,
            }
        }
        false
    }

    /// A delayed job waits for a worker again; false when it was cancelled meanwhile.
    pub(crate) fn due(&self) -> bool {
        self.step(|phase| (phase == DELAYED).then_some(WAITING)).is_some()
    }

    /// Asks it to stop.
    pub(crate) fn cancel(&self) -> Cancel {
        let mut word = self.word.load(Ordering::Acquire);
        loop {
            let phase = word & PHASE;
            if phase == ENDED {
                return Cancel { owned: false, listens: false };
            }
            match self.word.compare_exchange_weak(
                word,
                word & !PHASE | RUNNING | CANCEL,
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => return Cancel { owned: phase != RUNNING, listens: word & LISTENS != 0 },
                Err(seen) => word = seen,
            }
        }
    }

    /// Says that somebody waits for a cancel; true when there was one already.
    pub(crate) fn listen(&self) -> bool {
        self.word.fetch_or(LISTENS, Ordering::AcqRel) & CANCEL != 0
    }

    /// The owner ends it, after it has written the result; wakes the handle.
    #[inline]
    pub(crate) fn end(&self) {
        if self.word.fetch_or(ENDED, Ordering::AcqRel) & WAKER != 0 {
            self.waker.with(|waker| {
                // SAFETY: WAKER was set when the job ended, and the handle changes the waker no more after that.
                if let Some(waker) = unsafe { &*waker } {
                    waker.wake_by_ref();
                }
            });
        }
    }

    /// Ready once it has ended. Only the one handle may call this, one call at a time.
    #[inline]
    pub(crate) fn poll_ended(&self, cx: &Context<'_>) -> Poll<()> {
        let word = self.word.load(Ordering::Acquire);
        if word & PHASE == ENDED {
            return Poll::Ready(());
        }
        if word & WAKER != 0 {
            // SAFETY: while WAKER is set nobody writes the waker.
            let same = self
                .waker
                .with(|waker| unsafe { &*waker }.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())));
            if same {
                return Poll::Pending;
            }
            if self.flag(|word| word & !WAKER).is_err() {
                return Poll::Ready(());
            }
        }
        // SAFETY: WAKER is not set, so that only this handle touches the waker.
        self.waker.with_mut(|waker| unsafe { *waker = Some(cx.waker().clone()) });
        if self.flag(|word| word | WAKER).is_err() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Changes a flag unless the job has ended.
    fn flag(&self, change: impl Fn(u32) -> u32) -> Result<(), ()> {
        let mut word = self.word.load(Ordering::Acquire);
        while word & PHASE != ENDED {
            match self.word.compare_exchange_weak(word, change(word), Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Ok(()),
                Err(seen) => word = seen,
            }
        }
        Err(())
    }

    /// Moves to another phase, all flags kept.
    #[inline]
    fn step(&self, next: impl Fn(u32) -> Option<u32>) -> Option<()> {
        let mut word = self.word.load(Ordering::Acquire);
        loop {
            let phase = next(word & PHASE)?;
            match self.word.compare_exchange_weak(
                word,
                word & !PHASE | phase,
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => return Some(()),
                Err(seen) => word = seen,
            }
        }
    }
}

/// Run by `cargo xtask loom`.
#[cfg(all(test, loom))]
mod loom_tests {
    use std::future::poll_fn;

    use loom::future::block_on;
    use loom::sync::Arc;
    use loom::thread;

    use super::*;
    use crate::sync::every_interleaving;

    /// A job as `Core` has it: the life, and a stage that only its owner touches. Loom reports every other access.
    struct Job {
        life: Life,
        stage: UnsafeCell<Option<u32>>,
    }

    // SAFETY: that is what these tests test.
    unsafe impl Sync for Job {}

    impl Job {
        fn new() -> Arc<Self> {
            Arc::new(Self { life: Life::new(0), stage: UnsafeCell::new(None) })
        }

        fn end(&self, result: u32) {
            // SAFETY: the caller owns the job; loom checks it.
            let last = self.stage.with_mut(|stage| unsafe { (*stage).replace(result) });
            assert_eq!(last, None, "it ends once");
            self.life.end();
        }

        async fn result(&self) -> u32 {
            poll_fn(|cx| self.life.poll_ended(cx)).await;
            // SAFETY: it has ended, and this is its handle; loom checks it.
            self.stage.with_mut(|stage| unsafe { (*stage).take() }).expect("an ended job has a result")
        }
    }

    const DONE: u32 = 1;
    const CANCELLED: u32 = 2;

    /// The worker's side, with one retry: claim, run, delay, due, claim, end.
    fn work(job: &Job, retries: u32) {
        for attempt in 0..=retries {
            if !job.life.claim() {
                return;
            }
            if attempt == retries {
                return job.end(DONE);
            }
            if !job.life.delay() {
                return job.end(CANCELLED);
            }
            if !job.life.due() {
                return;
            }
        }
    }

    #[test]
    fn loom_a_result_reaches_the_handle_that_waits() {
        every_interleaving(|| {
            let job = Job::new();
            let worker = thread::spawn({
                let job = Arc::clone(&job);
                move || work(&job, 0)
            });
            assert_eq!(block_on(job.result()), DONE);
            worker.join().unwrap();
        });
    }

    #[test]
    fn loom_a_cancel_and_a_worker_end_a_job_once() {
        every_interleaving(|| {
            let job = Job::new();
            let worker = thread::spawn({
                let job = Arc::clone(&job);
                move || work(&job, 1)
            });
            if job.life.cancel().owned {
                job.end(CANCELLED);
            }
            let result = block_on(job.result());
            assert!(result == DONE || result == CANCELLED);
            worker.join().unwrap();
        });
    }

    #[test]
    fn loom_a_close_and_a_cancel_and_a_worker_end_a_job_once() {
        every_interleaving(|| {
            let job = Job::new();
            let worker = thread::spawn({
                let job = Arc::clone(&job);
                move || work(&job, 0)
            });
            let close = thread::spawn({
                let job = Arc::clone(&job);
                move || {
                    if job.life.seize() {
                        job.end(3);
                    }
                }
            });
            if job.life.cancel().owned {
                job.end(CANCELLED);
            }
            assert_ne!(block_on(job.result()), 0);
            worker.join().unwrap();
            close.join().unwrap();
        });
    }

    #[test]
    fn loom_a_handle_that_moves_to_another_task_is_woken_there() {
        every_interleaving(|| {
            let job = Job::new();
            let worker = thread::spawn({
                let job = Arc::clone(&job);
                move || work(&job, 0)
            });
            // Once under one waker, then under another.
            let first = poll_fn(|cx| Poll::Ready(job.life.poll_ended(cx).is_ready()));
            let _ = block_on(first);
            assert_eq!(block_on(job.result()), DONE);
            worker.join().unwrap();
        });
    }

    #[test]
    fn loom_whoever_listens_hears_the_cancel() {
        every_interleaving(|| {
            let job = Job::new();
            assert!(job.life.claim());
            let listener = thread::spawn({
                let job = Arc::clone(&job);
                move || job.life.listen()
            });
            let cancel = job.life.cancel();
            let saw = listener.join().unwrap();
            assert!(saw || cancel.listens, "one of them sees the other");
        });
    }

    /// The control: what `Life` prevents is what loom finds.
    #[test]
    #[should_panic(expected = "Causality violation")]
    fn loom_finds_a_result_that_is_taken_too_early() {
        every_interleaving(|| {
            let job = Job::new();
            let worker = thread::spawn({
                let job = Arc::clone(&job);
                move || work(&job, 0)
            });
            // SAFETY: none, that is the point.
            let _ = job.stage.with_mut(|stage| unsafe { (*stage).take() });
            worker.join().unwrap();
        });
    }
}
