//! The committer: gathers what all callers ask for into one transaction, and answers each when it is kept.

mod flight;
mod shared;
mod wish;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use crate::clock::Clock;
use crate::config::Config;
use crate::error::{Cause, Error};
use crate::id::{Owner, TaskId};
use crate::memory::SWEEP;
use crate::store::{
    Answer, Batch, Beat, Claimed, Control, End, Finish, NewTask, Outcome, Placed, Pulse, Refusal, Store,
};
use crate::timestamp::Timestamp;
use flight::{Flight, Flights, Kept, Replies, fly, patiently, watch};
pub(crate) use shared::Shared;
pub(crate) use wish::{Room, Wish};

type Reply<T> = oneshot::Sender<Result<T, Error>>;
/// Each end accepted or refused.
type Judged = Reply<Vec<Result<(), Refusal>>>;

/// What callers ask for.
pub(crate) enum Op {
    /// Tasks whose ids are given here, all or none.
    Enqueue(Vec<NewTask>, Reply<Vec<Placed>>),
    /// Ends of runs, each accepted or refused by itself.
    Finish(Vec<Ending>, Judged),
    Control(Control, Reply<Answer>),
    /// A firing, whose task gets its id here.
    Beats(Vec<Beat>, Reply<Vec<Pulse>>),
    /// Answered when there is at least one task.
    Claim(Wish, oneshot::Sender<Vec<Claimed>>),
    /// Answered when everything before it was.
    Close(oneshot::Sender<()>),
}

/// An end of a run, with what the counts are kept by.
pub(crate) struct Ending {
    pub(crate) finish: Finish,
    pub(crate) queue: String,
    pub(crate) priority: crate::priority::Priority,
}

/// Ids are taken from the store so many at a time.
const IDS: u64 = 1024;
/// How often finished tasks are looked through for old ones.
const PURGE: Duration = Duration::from_secs(60);

pub(crate) struct Committer {
    store: Arc<dyn Store>,
    clock: Clock,
    config: Config,
    shared: Arc<Shared>,
    inbox: mpsc::Receiver<Op>,
    pending: Vec<Op>,
    /// Wishes that found nothing, until something may have changed.
    standing: Vec<(Wish, oneshot::Sender<Vec<Claimed>>)>,
    dirty: bool,
    closing: Vec<oneshot::Sender<()>>,
    ids: std::ops::Range<u64>,
    last_now: Timestamp,
    next_sweep: Instant,
    next_due: Option<Instant>,
    next_purge: Instant,
    next_poll: Option<Instant>,
    /// Operations in the last batch: so many callers may come again at once.
    expected: usize,
}

impl Committer {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        clock: Clock,
        config: Config,
        shared: Arc<Shared>,
        inbox: mpsc::Receiver<Op>,
    ) -> Self {
        let now = Instant::now();
        Self {
            store,
            clock,
            shared,
            inbox,
            pending: Vec::new(),
            standing: Vec::new(),
            dirty: false,
            closing: Vec::new(),
            ids: 0..0,
            last_now: Timestamp(i64::MIN),
            next_sweep: now,
            next_due: None,
            next_purge: now + config.sweep,
            next_poll: None,
            expected: 0,
            config,
        }
    }

    pub(crate) async fn run(mut self) {
        let lanes = self.store.lanes().max(1);
        let mut flights = Flights::default();
        let mut changed = watch(self.store.clone(), self.config.poll, 0);
        let mut open = true;
        loop {
            let opens = match flights.youngest() {
                _ if flights.len() >= lanes => None,
                None => Some(Instant::now()),
                Some(begun) => Some(begun + OVERTAKE),
            };
            let is_free = opens.is_some_and(|opens| opens <= Instant::now());
            if is_free && self.has_work() {
                self.gather(&mut open).await;
                if let Some((batch, replies)) = self.build().await {
                    let (store, patience) = (self.store.clone(), self.config.patience);
                    flights.push(fly(store, batch, replies, patience));
                    continue;
                }
            }
            if !open && self.pending.is_empty() && flights.is_empty() {
                break;
            }
            let wake = opens.map(|opens| if is_free { self.wake() } else { opens });
            tokio::select! {
                biased;
                flight = flights.next(), if !flights.is_empty() => self.settle(flight),
                op = self.inbox.recv(), if open && is_free => match op {
                    Some(op) => self.take(op),
                    None => open = false,
                },
                version = &mut changed => {
                    self.dirty = true;
                    changed = watch(self.store.clone(), self.config.poll, version);
                }
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() && open => {
                    self.dirty |= is_free && self.next_poll.is_some();
                }
            }
        }
        self.closing.drain(..).for_each(|closed| _ = closed.send(()));
    }

    fn take(&mut self, op: Op) {
        match op {
            Op::Close(closed) => {
                self.closing.push(closed);
                self.inbox.close();
            }
            op => self.pending.push(op),
        }
    }

    fn has_work(&self) -> bool {
        let now = Instant::now();
        !self.pending.is_empty()
            || (self.dirty && !self.standing.is_empty())
            || self.next_sweep <= now
            || self.next_due.is_some_and(|due| due <= now)
            || self.next_purge <= now
    }

    fn wake(&self) -> Instant {
        let mut wake = self.next_sweep.min(self.next_purge);
        if let Some(due) = self.next_due {
            wake = wake.min(due);
        }
        match self.next_poll {
            Some(poll) if !self.standing.is_empty() => wake.min(poll),
            _ => wake,
        }
    }

    /// Lets callers whose last answer has just gone out ask for the next thing, as long as more of them do.
    async fn gather(&mut self, open: &mut bool) {
        let mut quiet = 0;
        while self.pending.len() < self.config.max_batch {
            let before = self.pending.len();
            loop {
                match self.inbox.try_recv() {
                    Ok(op) => self.take(op),
                    Err(mpsc::error::TryRecvError::Empty) => break,
                    Err(mpsc::error::TryRecvError::Disconnected) => {
                        *open = false;
                        return;
                    }
                }
                if self.pending.len() >= self.config.max_batch {
                    return;
                }
            }
            quiet = if self.pending.len() > before { 0 } else { quiet + 1 };
            if self.pending.len() >= self.expected || quiet > GATHER {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    async fn build(&mut self) -> Option<(Batch, Replies)> {
        let (clock_now, now) = (self.clock.now(), Instant::now());
        let mut batch = Batch {
            now: clock_now,
            set_back: clock_now < self.last_now,
            aging: self.config.aging,
            ..Batch::default()
        };
        self.last_now = clock_now;
        let mut replies = Replies::default();
        let wanted = self.pending.iter().map(|op| match op {
            Op::Enqueue(tasks, _) => tasks.len() as u64,
            Op::Control(..) => 1,
            _ => 0,
        });
        let wanted: u64 = wanted.sum();
        if wanted > 0
            && let Err(error) = self.reserve(wanted).await
        {
            self.refuse_new(&error);
        }
        for op in std::mem::take(&mut self.pending) {
            match op {
                Op::Enqueue(mut tasks, reply) => {
                    tasks.iter_mut().for_each(|task| task.id = self.next_id());
                    replies.enqueues.push((tasks.len(), reply));
                    batch.enqueue.append(&mut tasks);
                }
                Op::Finish(endings, reply) => {
                    replies.finishes.push((endings.len(), reply));
                    for Ending { finish, queue, priority } in endings {
                        replies.kept.push(Kept { queue, priority });
                        batch.finish.push(finish);
                    }
                }
                Op::Control(mut control, reply) => {
                    if let Control::Fire(fire) = &mut control
                        && let Some(task) = &mut fire.task
                    {
                        task.id = self.next_id();
                    }
                    batch.control.push(control);
                    replies.controls.push(Some(reply));
                }
                Op::Beats(mut beats, reply) => {
                    replies.beats.push((beats.len(), reply));
                    batch.beat.append(&mut beats);
                }
                Op::Claim(wish, reply) => replies.claims.push((wish, reply)),
                Op::Close(closed) => self.closing.push(closed),
            }
        }
        // A hard batch may make tasks ready; asking in the same transaction costs next to nothing.
        if self.dirty || !batch.is_soft() {
            replies.claims.append(&mut self.standing);
            self.dirty = false;
        }
        replies.claims.retain(|(_, reply)| !reply.is_closed());
        // One wish of a worker a batch, so that its others are there for the next lane.
        for (mut wish, reply) in std::mem::take(&mut replies.claims) {
            if replies.claims.iter().any(|(other, _)| other.is_of(&wish)) || !wish.reserve() {
                self.standing.push((wish, reply));
            } else {
                batch.claim.push(wish.claim());
                replies.claims.push((wish, reply));
            }
        }
        if self.next_sweep <= now || self.next_due.is_some_and(|due| due <= now) {
            batch.sweep = true;
            self.next_sweep = now + self.config.sweep;
            self.next_due = None;
        }
        if self.next_purge <= now {
            let before =
                |keep: Duration| Timestamp(clock_now.0.saturating_sub(crate::timestamp::micros(keep)));
            batch.control.push(Control::Purge {
                done: before(self.config.keep_done),
                dead: before(self.config.keep_dead),
            });
            replies.controls.push(None);
            self.next_purge = now + PURGE;
        }
        self.next_poll = None;
        (!batch.is_empty()).then_some((batch, replies))
    }

    /// Ids for so many tasks, tried again for as long as a transaction is.
    async fn reserve(&mut self, wanted: u64) -> Result<(), Error> {
        if self.ids.end - self.ids.start >= wanted {
            return Ok(());
        }
        let count = wanted.max(IDS);
        let store = self.store.clone();
        let first = patiently(self.config.patience, || store.reserve(count)).await.0?;
        self.ids = first..first + count;
        Ok(())
    }

    fn next_id(&mut self) -> TaskId {
        TaskId(self.ids.next().unwrap_or(0))
    }

    fn refuse_new(&mut self, error: &Error) {
        for op in std::mem::take(&mut self.pending) {
            match op {
                Op::Enqueue(_, reply) => _ = reply.send(Err(error.share())),
                Op::Control(_, reply) => _ = reply.send(Err(error.share())),
                op => self.pending.push(op),
            }
        }
    }

    fn settle(&mut self, flight: Flight) {
        let Flight { batch, replies, result, tries } = flight;
        self.expected = batch.enqueue.len().min(replies.enqueues.len()) + replies.finishes.len();
        let outcome = match result {
            Ok(outcome) => outcome,
            Err(error) => {
                self.shared.stats().retried_commits += tries;
                self.next_poll = Some(Instant::now() + self.config.sweep);
                self.standing.extend(replies.fail(&error));
                return;
            }
        };
        self.count(&batch, &replies, &outcome, tries);
        let now = Instant::now();
        if let Some(due) = outcome.next_due {
            let until = now + due.since(outcome.now).max(Duration::from_millis(1));
            self.next_due = Some(self.next_due.map_or(until, |known| known.min(until)));
        }
        if outcome.swept.more {
            self.next_due = Some(now);
        }
        if outcome.capped {
            self.next_poll = Some(now + self.config.poll);
        }
        // What was swept in this batch its own claims have seen, those that stand have not.
        self.dirty |= batch.frees(&outcome);
        self.answer(&batch, replies, outcome);
    }

    fn answer(&mut self, batch: &Batch, replies: Replies, outcome: Outcome) {
        let mut placed = outcome.enqueued.into_iter();
        for (count, reply) in replies.enqueues {
            _ = reply.send(Ok(placed.by_ref().take(count).collect()));
        }
        for (finish, accepted) in batch.finish.iter().zip(&outcome.finished) {
            if accepted.is_ok() && !matches!(finish.end, End::Retry(..) | End::Released(_)) {
                self.shared.tell(finish.id);
            }
        }
        let mut finished = outcome.finished.into_iter();
        for (count, reply) in replies.finishes {
            _ = reply.send(Ok(finished.by_ref().take(count).collect()));
        }
        for ((control, reply), answer) in batch.control.iter().zip(replies.controls).zip(outcome.controlled) {
            match (control, answer) {
                (Control::Cancel(id), Answer::Done) => self.shared.tell(*id),
                (Control::Purge { .. }, Answer::Purged(count)) if count >= SWEEP as u64 => {
                    self.next_purge = Instant::now();
                }
                _ => {}
            }
            if let Some(reply) = reply {
                _ = reply.send(Ok(answer));
            }
        }
        let mut pulses = outcome.beats.into_iter();
        for (count, reply) in replies.beats {
            _ = reply.send(Ok(pulses.by_ref().take(count).collect()));
        }
        outcome.swept.dead.iter().for_each(|id| self.shared.tell(*id));
        for ((mut wish, reply), tasks) in replies.claims.into_iter().zip(outcome.claimed) {
            wish.used(tasks.len());
            if tasks.is_empty() {
                if !reply.is_closed() {
                    self.standing.push((wish, reply));
                }
            } else if let Err(tasks) = reply.send(tasks) {
                // The worker has left in between: others may have them at once.
                self.give_back(&wish.owner, tasks);
            }
        }
    }

    fn give_back(&mut self, owner: &Owner, tasks: Vec<Claimed>) {
        let ending = |task: Claimed| {
            let end = End::Released(Duration::ZERO);
            let finish = Finish { id: task.id, token: task.token, owner: owner.clone(), end };
            Ending { finish, queue: task.queue, priority: task.priority }
        };
        let endings = tasks.into_iter().map(ending).collect();
        self.pending.push(Op::Finish(endings, oneshot::channel().0));
    }

    fn count(&self, batch: &Batch, replies: &Replies, outcome: &Outcome, tries: u64) {
        let mut stats = self.shared.stats();
        stats.commits += 1;
        stats.hard_commits += u64::from(!batch.is_soft());
        stats.operations += batch.len() as u64;
        stats.retried_commits += tries;
        stats.reclaimed += outcome.swept.reclaimed.len() as u64;
        for (task, placed) in batch.enqueue.iter().zip(&outcome.enqueued) {
            if placed.fresh {
                stats.counts(&task.queue, task.priority).enqueued += 1;
            }
        }
        for ((finish, kept), accepted) in batch.finish.iter().zip(&replies.kept).zip(&outcome.finished) {
            if accepted.is_err() {
                stats.refused += 1;
                continue;
            }
            let counts = stats.counts(&kept.queue, kept.priority);
            match finish.end {
                End::Done(_) => counts.done += 1,
                End::Retry(..) => counts.retried += 1,
                End::Dead(..) => counts.dead += 1,
                End::Cancelled => counts.cancelled += 1,
                End::Released(_) => counts.released += 1,
            }
        }
        for task in outcome.claimed.iter().flatten() {
            stats.counts(&task.queue, task.priority).started += 1;
        }
    }
}

/// How long a batch is under way before the next one overtakes it, where the store has another lane: what comes sooner waits and
/// goes together, and what waits for somebody else's lock holds nobody up.
const OVERTAKE: Duration = Duration::from_millis(10);
/// How often others may run before a batch that no longer grows is sent.
const GATHER: u32 = 3;

/// What a caller is told whose committer is gone.
pub(crate) fn closed<T>(_: T) -> Error {
    Cause::Closed.into()
}
