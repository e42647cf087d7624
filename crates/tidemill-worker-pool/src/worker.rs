//! One worker: takes jobs in batches, polls them itself, and decides what comes after each attempt.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::task::coop::consume_budget;
use tokio::time::{Sleep, sleep, sleep_until};

use crate::error::{Error, ErrorKind, Final, JobError};
use crate::event::EventKind;
use crate::priority::Priority;
use crate::queue::nanos;
use crate::shared::{Delayed, Phase, Shared, State, Work};
use crate::task::{Attempt, Header, message};

/// The longest that a worker keeps jobs in hand which another could run, in nanoseconds.
const IN_HAND: u64 = 50_000;

pub(crate) struct Worker {
    shared: Arc<Shared>,
    id: u64,
    /// The last reading of the pool's clock: the end of one job is the start of the next.
    now: u64,
    batch: VecDeque<Work>,
    /// The job that awaits something.
    current: Option<Work>,
    tally: Tally,
    left: bool,
}

/// What happened since the last lock, so that counting takes no lock of its own.
#[derive(Default)]
struct Tally {
    entries: Vec<Entry>,
    started: usize,
}

struct Entry {
    group: u32,
    priority: Priority,
    /// `None`: there will be another attempt.
    end: Option<End>,
    retried: bool,
    wait: u64,
    run: u64,
}

#[derive(Clone, Copy)]
enum End {
    Done,
    Error(ErrorKind),
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
        Self { shared, id, now, batch: VecDeque::new(), current: None, tally: Tally::default(), left: false }
    }

    pub(crate) async fn work(mut self) {
        while poll_fn(|cx| self.take(cx)).await {
            let began = self.now;
            while let Some(work) = self.batch.pop_front() {
                self.run(work).await;
                if !self.batch.is_empty() && self.now.saturating_sub(began) > IN_HAND {
                    self.give_back();
                }
                consume_budget().await;
            }
        }
    }

    /// Fills the batch; ready with false when the worker has to leave.
    fn take(&mut self, cx: &Context<'_>) -> Poll<bool> {
        let shared = &*self.shared;
        self.now = shared.now();
        let mut state = shared.lock();
        state.waking = false;
        self.tally.settle(shared, &mut state);
        if state.live > state.target || state.phase >= Phase::Closed {
            self.left = true;
            let wake = state.leave(self.id);
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
        if !state.delayed.is_empty() {
            shared.promote(&mut state, self.now);
        }
        let workers = state.target;
        let fair = state.queue.ready().div_ceil(2 * workers).clamp(1, shared.config.batch);
        while self.batch.len() < fair {
            let Some(work) = state.queue.pop(self.now, workers) else { break };
            self.batch.push_back(work);
        }
        if !self.batch.is_empty() {
            let next = if state.queue.ready() > 0 { state.next_idle() } else { None };
            drop(state);
            if let Some(waker) = next {
                waker.wake();
            }
            return Poll::Ready(true);
        }
        if state.phase == Phase::Closing && state.is_drained() {
            state.phase = Phase::Closed;
            let idle = state.take_idle();
            drop(state);
            shared.progress.send_replace(Phase::Closed);
            shared.alarm.notify_one();
            idle.into_iter().for_each(|(_, waker)| waker.wake());
            // Leave by the one door above.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        match state.idle.iter_mut().find(|(id, _)| *id == self.id) {
            Some((_, waker)) => waker.clone_from(cx.waker()),
            None => state.idle.push((self.id, cx.waker().clone())),
        }
        Poll::Pending
    }

    async fn run(&mut self, work: Work) {
        self.tally.started += 1;
        let began = self.now;
        let wait = began.saturating_sub(work.since);
        let header = work.job.header();
        if !header.claim() {
            // Its handle has been told; only the counts have not.
            self.tally.push(&work, Some(End::Error(ErrorKind::Cancelled)), wait, 0);
            return;
        }
        if let Some(limit) = header.expired(began) {
            let error = Error::timed_out(header.attempt(), limit);
            return self.end(work, error, wait, 0);
        }
        if self.shared.listener.is_some() {
            self.shared.tell(&work, EventKind::Started { waited: Duration::from_nanos(wait) });
        }
        let job = Arc::clone(&work.job);
        let (work, verdict) = match catch_unwind(AssertUnwindSafe(|| job.start())) {
            Err(payload) => (work, Verdict::Panicked(message(&*payload))),
            Ok(None) => (work, Verdict::Cancelled),
            Ok(Some(mut attempt)) => {
                let first = poll_fn(|cx| Poll::Ready(poll_attempt(attempt.as_mut(), cx))).await;
                match first {
                    Poll::Ready(verdict) => (work, verdict),
                    Poll::Pending => {
                        self.give_back();
                        self.drive(attempt, work, began).await
                    }
                }
            }
        };
        self.now = self.shared.now();
        self.conclude(work, verdict, wait, self.now.saturating_sub(began));
    }

    /// Goes on with an attempt that awaits something, until it ends, is cancelled or runs out of time.
    async fn drive(&mut self, mut attempt: Attempt, work: Work, began: u64) -> (Work, Verdict) {
        let job = Arc::clone(&work.job);
        let header = job.header();
        self.current = Some(work);
        let limit = header.limit(began);
        let mut alarm = limit.map(|(at, _)| Box::pin(sleep_until(self.shared.instant(at))));
        let mut cancelled = pin!(header.cancelled());
        let mut grace: Option<Pin<Box<Sleep>>> = None;
        let time = self.shared.config.cancel_grace;
        let verdict = poll_fn(|cx| {
            if let Poll::Ready(verdict) = poll_attempt(attempt.as_mut(), cx) {
                return Poll::Ready(verdict);
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
        // What the job holds may panic when it is dropped.
        drop(catch_unwind(AssertUnwindSafe(|| drop(attempt))));
        match self.current.take() {
            Some(work) => (work, verdict),
            None => unreachable!("only this function sets and takes it"),
        }
    }

    /// What comes after an attempt.
    fn conclude(&mut self, work: Work, verdict: Verdict, wait: u64, run: u64) {
        let attempt = work.job.header().attempt();
        match verdict {
            Verdict::Done => {
                self.tally.push(&work, Some(End::Done), wait, run);
                if self.shared.listener.is_some() {
                    self.shared.tell(&work, EventKind::Done { ran: Duration::from_nanos(run) });
                }
            }
            Verdict::Panicked(message) => self.end(work, Error::panicked(attempt, message), wait, run),
            Verdict::Cancelled => self.end(work, Error::cancelled(), wait, run),
            Verdict::Failed(_) | Verdict::TimedOut(_) if work.job.header().is_cancelled() => {
                self.end(work, Error::cancelled(), wait, run);
            }
            Verdict::Failed(error) if !error.is_retriable() => {
                self.end(work, Error::failed(attempt, Final::Fatal, error), wait, run);
            }
            Verdict::Failed(error) => match self.again(&work, error.retry_after(), wait, run) {
                Ok(()) => {}
                Err(Some(reason)) => self.end(work, Error::failed(attempt, reason, error), wait, run),
                Err(None) => self.end(work, Error::cancelled(), wait, run),
            },
            Verdict::TimedOut(limit) => match self.again(&work, None, wait, run) {
                Ok(()) => {}
                Err(Some(_)) => self.end(work, Error::timed_out(attempt, limit), wait, run),
                Err(None) => self.end(work, Error::cancelled(), wait, run),
            },
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
        let header = work.job.header();
        let retry = header.retry();
        let attempt = header.attempt();
        if attempt > retry.max {
            return Err(Some(if retry.max == 0 { Final::NoRetry } else { Final::Exhausted }));
        }
        if after.is_some_and(|after| after > shared.config.max_retry_after) {
            return Err(Some(Final::After));
        }
        let mut state = shared.lock();
        let delay = retry.delay(attempt, after, state.random.next());
        let due = self.now.saturating_add(nanos(delay));
        if header.expired(due).is_some() {
            return Err(Some(Final::Deadline));
        }
        if !state.purse.spend(Duration::from_nanos(self.now)) {
            return Err(Some(Final::Budget));
        }
        if !header.delay() {
            return Err(None);
        }
        let again = Work { job: Arc::clone(&work.job), ..*work };
        state.delayed.push(Reverse(Delayed { due, work: again }));
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

    fn end(&mut self, work: Work, error: Error, wait: u64, run: u64) {
        let kind = error.kind();
        self.tally.push(&work, Some(End::Error(kind)), wait, run);
        work.job.fail(error);
        if self.shared.listener.is_some() {
            self.shared.tell(&work, EventKind::Ended { error: kind, ran: Duration::from_nanos(run) });
        }
    }

    /// Puts what is in hand back in front of the queue, for others to run.
    fn give_back(&mut self) {
        let shared = &*self.shared;
        let mut state = shared.lock();
        self.tally.settle(shared, &mut state);
        let mut wakers = Vec::new();
        while let Some(work) = self.batch.pop_back() {
            state.queue.put_back(work);
            wakers.extend(state.idle.pop());
        }
        drop(state);
        wakers.into_iter().for_each(|(_, waker)| waker.wake());
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
            current.into_iter().map(|w| (w, true)).chain(self.batch.drain(..).map(|w| (w, false)))
        {
            let info = shared.info(&state, &work);
            if running {
                state.unfinished.push(info)
            } else {
                state.returned.push(info)
            }
            state.queue.release(work.group);
            state.queue.counts(work.group, work.priority).returned += 1;
            drop(state);
            work.job.fail(Error::closed(if running { "the job was stopped" } else { "the job did not run" }));
            state = shared.lock();
        }
        drop(state.leave(self.id));
        let gone = state.live == 0 && state.phase >= Phase::Closed;
        drop(state);
        if gone {
            shared.progress.send_replace(Phase::Gone);
        }
    }
}

impl Tally {
    fn push(&mut self, work: &Work, end: Option<End>, wait: u64, run: u64) {
        let retried = work.job.header().attempt() > 1;
        self.entries.push(Entry { group: work.group, priority: work.priority, end, retried, wait, run });
    }

    /// Books everything into the shared counts and frees the places.
    fn settle(&mut self, shared: &Shared, state: &mut State) {
        for entry in self.entries.drain(..) {
            state.queue.release(entry.group);
            let counts = state.queue.counts(entry.group, entry.priority);
            counts.wait += Duration::from_nanos(entry.wait);
            counts.run += Duration::from_nanos(entry.run);
            counts.retried += u64::from(entry.retried);
            match entry.end {
                None => {}
                Some(End::Done) => counts.done += 1,
                Some(End::Error(ErrorKind::TimedOut)) => counts.timed_out += 1,
                Some(End::Error(ErrorKind::Panicked)) => counts.panicked += 1,
                Some(End::Error(ErrorKind::Cancelled)) => counts.cancelled += 1,
                Some(End::Error(_)) => counts.failed += 1,
            }
        }
        let started = std::mem::take(&mut self.started);
        if started > 0 {
            shared.free(state, started);
        }
    }
}

impl Header {
    /// When an attempt that began at `began` has to end, and the limit that says so.
    fn limit(&self, began: u64) -> Option<(u64, Duration)> {
        let timeout = (self.timeout < u64::MAX)
            .then(|| (began.saturating_add(self.timeout), Duration::from_nanos(self.timeout)));
        let deadline = self.options.as_ref().and_then(|options| options.deadline);
        let deadline = deadline.map(|limit| (self.accepted.saturating_add(nanos(limit)), limit));
        match (timeout, deadline) {
            (Some(timeout), Some(deadline)) => Some(timeout.min(deadline)),
            (one, other) => one.or(other),
        }
    }

    /// The deadline, when it is over at `at`.
    fn expired(&self, at: u64) -> Option<Duration> {
        let deadline = self.options.as_ref()?.deadline?;
        (at > self.accepted.saturating_add(nanos(deadline))).then_some(deadline)
    }
}

fn poll_attempt(
    attempt: Pin<&mut (dyn Future<Output = Result<(), JobError>> + Send)>,
    cx: &mut Context<'_>,
) -> Poll<Verdict> {
    match catch_unwind(AssertUnwindSafe(|| attempt.poll(cx))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(Ok(()))) => Poll::Ready(Verdict::Done),
        Ok(Poll::Ready(Err(error))) => Poll::Ready(Verdict::Failed(error)),
        Err(payload) => Poll::Ready(Verdict::Panicked(message(&*payload))),
    }
}
