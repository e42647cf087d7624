//! One worker: takes jobs in batches, polls them itself, and decides what comes after each attempt.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::task::coop::consume_budget;
use tokio::time::{Sleep, sleep, sleep_until};

use crate::error::{Error, ErrorKind, Final, JobError};
use crate::event::EventKind;
use crate::memory::{Scope, in_use};
use crate::panic::message;
use crate::queue::{Taken, Waits, nanos};
use crate::shared::{Delayed, Phase, Shared};
use crate::tally::{End, Tally};
use crate::task::Work;
use crate::ticks::Ticks;

/// The longest that a worker keeps jobs in hand which another could run, in nanoseconds.
const IN_HAND: u64 = 50_000;

pub(crate) struct Worker {
    shared: Arc<Shared>,
    id: u64,
    /// The last reading of the pool's clock: the end of one job is the start of the next.
    now: u64,
    /// When that was read.
    ticks: Ticks,
    batch: VecDeque<Taken<Work>>,
    /// The job that awaits something.
    current: Option<Work>,
    tally: Tally,
    /// What the job in hand does to the heap, when that is asked and counted.
    heap: Option<Box<Scope>>,
    /// Jobs that it ran.
    jobs: u64,
    /// It ran its jobs, or one that took too much: another takes its place.
    worn: bool,
    left: bool,
}

/// How one attempt ended.
enum Verdict {
    Done,
    Failed(JobError),
    TimedOut(Duration),
    Panicked(String),
    Cancelled,
}

impl Worker {
    pub(crate) fn new(shared: Arc<Shared>, id: u64) -> Self {
        let now = shared.now();
        let asked = shared.config.recycle_bytes > 0 && in_use().is_some();
        let heap = asked.then(Box::default);
        Self {
            shared,
            id,
            now,
            ticks: Ticks::now(),
            batch: VecDeque::new(),
            current: None,
            tally: Tally::default(),
            heap,
            jobs: 0,
            worn: false,
            left: false,
        }
    }

    pub(crate) async fn work(mut self) {
        while poll_fn(|cx| self.take(cx)).await {
            while let Some((work, wait, began)) = poll_fn(|cx| Poll::Ready(self.burst(cx))).await {
                self.give_back();
                let (work, verdict) = self.drive(work, began).await;
                self.now = self.shared.now();
                self.conclude(&work, verdict, wait, self.now.saturating_sub(began));
                let_go(work);
            }
            consume_budget().await;
        }
    }

    /// Fills the batch; ready with false when the worker has to leave.
    fn take(&mut self, cx: &Context<'_>) -> Poll<bool> {
        let shared = &self.shared;
        self.now = shared.now();
        self.ticks = Ticks::now();
        let (mut state, others) = shared.enter(self.id);
        self.tally.settle(shared, &mut state);
        if state.live > state.target || state.phase >= Phase::Closed {
            self.left = true;
            state.bury(self.id);
            let wake = shared.inbox.leave(self.id, state.queue.ready() > 0);
            let gone = state.live == 0 && state.phase >= Phase::Closed;
            drop(state);
            if gone {
                shared.progress.send_replace(Phase::Gone);
            }
            if let Some(waker) = wake {
                waker.wake();
            }
            return Poll::Ready(false);
        }
        if self.worn {
            // A new worker in the place of this one, and in its task: nothing of this one is left.
            self.worn = false;
            self.jobs = 0;
            self.batch = VecDeque::new();
            self.tally = Tally::default();
            self.heap = self.heap.take().map(|_| Box::default());
            state.recycled += 1;
        }
        if !state.delayed.is_empty() {
            shared.promote(&mut state, self.now);
        }
        loop {
            let workers = state.target;
            let fair = state.queue.ready().div_ceil(2 * workers).clamp(1, shared.config.batch);
            while self.batch.len() < fair {
                let Some(work) = state.queue.pop(self.now, workers) else { break };
                self.batch.push_back(work);
            }
            if !self.batch.is_empty() {
                let next = if others && state.queue.ready() > 0 { shared.inbox.next_idle() } else { None };
                drop(state);
                if let Some(waker) = next {
                    waker.wake();
                }
                return Poll::Ready(true);
            }
            if state.phase == Phase::Closing && state.is_drained() && shared.inbox.shut_if_empty() {
                state.phase = Phase::Closed;
                let idle = shared.inbox.wake(usize::MAX);
                drop(state);
                shared.progress.send_replace(Phase::Closed);
                shared.alarm.notify_one();
                idle.into_iter().for_each(Waker::wake);
                // Leave by the one door above.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if shared.inbox.rest(self.id, cx.waker()) {
                return Poll::Pending;
            }
            // Jobs came since it looked.
            shared.sort_in(&mut state);
        }
    }

    /// Runs what is in hand until a job awaits something: that job, how long it waited, and when it began.
    fn burst(&mut self, cx: &mut Context<'_>) -> Option<(Work, u64, u64)> {
        let first = self.now;
        while let Some(Taken { job: work, .. }) = self.batch.pop_front() {
            let began = self.now;
            let wait = began.saturating_sub(work.since());
            if self.begin(&work, wait, cx).is_pending() {
                return Some((work, wait, began));
            }
            let_go(work);
            if !self.batch.is_empty() && self.now.saturating_sub(first) > IN_HAND {
                self.give_back();
            }
        }
        None
    }

    /// Starts a job and polls it once; ready when that was all.
    fn begin(&mut self, work: &Work, wait: u64, cx: &mut Context<'_>) -> Poll<()> {
        self.tally.started += 1;
        let began = self.now;
        let header = work.header();
        if !header.claim() {
            // Its handle has been told; only the counts have not.
            self.tally.push(work, Some(End::Error(ErrorKind::Cancelled)), wait, 0);
            return Poll::Ready(());
        }
        if let Some((at, limit)) = header.deadline()
            && began > at
        {
            self.end(work, Error::timed_out(header.attempt(), limit), wait, 0);
            return Poll::Ready(());
        }
        if self.shared.listener.is_some() {
            self.shared.tell(work, EventKind::Started { waited: Duration::from_nanos(wait) });
        }
        let first = catch_unwind(AssertUnwindSafe(|| {
            // SAFETY: it was claimed.
            within(&self.heap, || unsafe { work.start(cx) })
        }));
        let verdict = match first {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(Ok(()))) => Verdict::Done,
            Ok(Poll::Ready(Err(error))) => Verdict::Failed(error),
            Err(payload) => Verdict::Panicked(message(&*payload)),
        };
        // Jobs of less than 2 us share a reading: the sum of their times is right, and that of each within 2 us.
        if !self.ticks.is_fresh() {
            self.now = self.shared.now();
        }
        self.conclude(work, verdict, wait, self.now.saturating_sub(began));
        Poll::Ready(())
    }

    /// Goes on with an attempt that awaits something, until it ends, is cancelled or runs out of time.
    async fn drive(&mut self, work: Work, began: u64) -> (Work, Verdict) {
        let job = work.clone();
        let header = job.header();
        self.current = Some(work);
        let limit = header.limit(began);
        let mut alarm = limit.map(|(at, _)| Box::pin(sleep_until(self.shared.instant(at))));
        let mut cancelled = pin!(header.cancelled());
        let mut grace: Option<Pin<Box<Sleep>>> = None;
        let time = self.shared.config.cancel_grace;
        let heap = self.heap.take();
        let verdict = poll_fn(|cx| {
            // SAFETY: this worker claimed the job and has not ended it.
            match catch_unwind(AssertUnwindSafe(|| within(&heap, || unsafe { job.poll(cx) }))) {
                Ok(Poll::Pending) => {}
                Ok(Poll::Ready(Ok(()))) => return Poll::Ready(Verdict::Done),
                Ok(Poll::Ready(Err(error))) => return Poll::Ready(Verdict::Failed(error)),
                Err(payload) => return Poll::Ready(Verdict::Panicked(message(&*payload))),
            }
            if grace.is_none() && cancelled.as_mut().poll(cx).is_ready() {
                if time.is_zero() {
                    return Poll::Ready(Verdict::Cancelled);
                }
                grace = Some(Box::pin(sleep(time)));
            }
            if grace.as_mut().is_some_and(|grace| grace.as_mut().poll(cx).is_ready()) {
                return Poll::Ready(Verdict::Cancelled);
            }
            if let (Some(alarm), Some((_, limit))) = (&mut alarm, limit)
                && alarm.as_mut().poll(cx).is_ready()
            {
                return Poll::Ready(Verdict::TimedOut(limit));
            }
            Poll::Pending
        })
        .await;
        self.heap = heap;
        match self.current.take() {
            Some(work) => (work, verdict),
            None => unreachable!("only this function sets and takes it"),
        }
    }

    /// What comes after an attempt.
    #[inline]
    fn conclude(&mut self, work: &Work, verdict: Verdict, wait: u64, run: u64) {
        let header = work.header();
        self.weigh(work);
        match verdict {
            Verdict::Done => {
                self.tally.push(work, Some(End::Done), wait, run);
                if self.shared.listener.is_some() {
                    self.shared.tell(work, EventKind::Done { ran: Duration::from_nanos(run) });
                }
            }
            Verdict::Panicked(message) => {
                self.end(work, Error::panicked(header.attempt(), message), wait, run)
            }
            Verdict::Cancelled => self.end(work, Error::cancelled(), wait, run),
            Verdict::Failed(_) | Verdict::TimedOut(_) if header.life.is_cancelled() => {
                self.end(work, Error::cancelled(), wait, run);
            }
            Verdict::Failed(error) if !error.is_retriable() => {
                self.end(work, Error::failed(header.attempt(), Final::Fatal, error), wait, run);
            }
            Verdict::Failed(error) => match self.again(work, error.retry_after(), wait, run) {
                Ok(()) => {}
                Err(Some(reason)) => {
                    self.end(work, Error::failed(header.attempt(), reason, error), wait, run)
                }
                Err(None) => self.end(work, Error::cancelled(), wait, run),
            },
            Verdict::TimedOut(limit) => match self.again(work, None, wait, run) {
                Ok(()) => {}
                Err(Some(_)) => self.end(work, Error::timed_out(header.attempt(), limit), wait, run),
                Err(None) => self.end(work, Error::cancelled(), wait, run),
            },
        }
    }

    /// Whether another worker should take the place of this one.
    #[inline]
    fn weigh(&mut self, work: &Work) {
        let config = &self.shared.config;
        self.jobs += 1;
        self.worn |= self.jobs == config.recycle_after;
        let Some(heap) = &self.heap else { return };
        let peak = heap.peak();
        heap.reset();
        if peak > config.recycle_bytes {
            self.worn = true;
            self.shared.tell(work, EventKind::Memory { peak });
        }
    }

    /// Plans another attempt; says why there is none, `None` for a cancel.
    fn again(
        &mut self,
        work: &Work,
        after: Option<Duration>,
        wait: u64,
        run: u64,
    ) -> Result<(), Option<Final>> {
        let shared = &*self.shared;
        let header = work.header();
        let retry = header.retry();
        let attempt = header.attempt();
        if attempt > retry.max {
            return Err(Some(if retry.max == 0 { Final::NoRetry } else { Final::Exhausted }));
        }
        if after.is_some_and(|after| after > shared.config.max_retry_after) {
            return Err(Some(Final::After));
        }
        // SAFETY: this worker owns the job until it delays it.
        unsafe { work.stop() };
        let mut state = shared.lock();
        if state.phase >= Phase::Closed {
            // The close has collected what was delayed already; nobody would find this one.
            return Err(Some(Final::Closed));
        }
        let delay = retry.delay(attempt, after, state.random.next());
        let due = self.now.saturating_add(nanos(delay));
        if header.deadline().is_some_and(|(at, _)| due > at) {
            return Err(Some(Final::Deadline));
        }
        if !state.purse.spend(Duration::from_nanos(self.now)) {
            return Err(Some(Final::Budget));
        }
        if !header.life.delay() {
            return Err(None);
        }
        state.delayed.push(Reverse(Delayed { due, work: work.clone() }));
        shared.occupy(&mut state);
        self.tally.push(work, None, wait, run);
        self.tally.settle(shared, &mut state);
        drop(state);
        shared.alarm.notify_one();
        if shared.listener.is_some() {
            shared.tell(work, EventKind::Retrying { delay });
        }
        Ok(())
    }

    fn end(&mut self, work: &Work, error: Error, wait: u64, run: u64) {
        let kind = error.kind();
        self.tally.push(work, Some(End::Error(kind)), wait, run);
        // SAFETY: this worker owns the job, and lets it go here.
        unsafe { work.fail(error) };
        if self.shared.listener.is_some() {
            self.shared.tell(work, EventKind::Ended { error: kind, ran: Duration::from_nanos(run) });
        }
    }

    /// Puts what is in hand back in front of the queue, for others to run.
    fn give_back(&mut self) {
        let shared = &*self.shared;
        let mut state = shared.lock();
        self.tally.settle(shared, &mut state);
        if state.phase >= Phase::Closed {
            // The close has emptied the queue already; what is in hand ends with this worker.
            return;
        }
        let wakers = shared.inbox.wake(self.batch.len());
        while let Some(work) = self.batch.pop_back() {
            state.queue.put_back(work);
        }
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Drop for Worker {
    /// Runs when the worker is aborted: at the deadline of a drain, or with its runtime.
    fn drop(&mut self) {
        if self.left {
            return;
        }
        let shared = &*self.shared;
        let mut state = shared.lock();
        self.tally.settle(shared, &mut state);
        let current = self.current.take();
        for (work, running) in
            current.into_iter().map(|w| (w, true)).chain(self.batch.drain(..).map(|taken| (taken.job, false)))
        {
            state.queue.release(work.group(), 1);
            if !running && !work.header().life.seize() {
                state.queue.counts(work.group(), work.priority()).cancelled += 1;
                continue;
            }
            let info = shared.info(&state, &work);
            if running {
                state.unfinished.push(info)
            } else {
                state.returned.push(info)
            }
            state.queue.counts(work.group(), work.priority()).returned += 1;
            drop(state);
            let what = if running { "the job was stopped" } else { "the job did not run" };
            // SAFETY: this worker claimed it before, or seized it now.
            unsafe { work.fail(Error::closed(what)) };
            let_go(work);
            state = shared.lock();
        }
        state.bury(self.id);
        let wake = shared.inbox.leave(self.id, state.queue.ready() > 0);
        let gone = state.live == 0 && state.phase >= Phase::Closed;
        drop(state);
        if let Some(waker) = wake {
            waker.wake();
        }
        if gone {
            shared.progress.send_replace(Phase::Gone);
        }
    }
}

/// Polls a job, and counts its heap when asked.
#[inline]
fn within<R>(heap: &Option<Box<Scope>>, poll: impl FnOnce() -> R) -> R {
    match heap {
        Some(heap) => heap.within(poll),
        None => poll(),
    }
}

/// Drops what may be the last reference; a result that nobody took may panic on the way.
#[inline]
fn let_go(work: Work) {
    drop(catch_unwind(AssertUnwindSafe(|| drop(work))));
}
