//! What the cases share: two handles on one store, a queue of their own, and the few things one does with them.

use std::sync::Arc;
use std::time::Duration;

use crate::error::Error;
use crate::id::{Owner, TaskId};
use crate::priority::Priority;
use crate::record::{Record, State};
use crate::store::{
    Answer, Batch, Claim, Claimed, Control, End, Finish, NewTask, Outcome, Placed, Refusal, Store,
};
use crate::timestamp::Timestamp;

pub(super) type Judged = Result<(), String>;
type Told<T> = Result<T, String>;

/// Longer than a slow disk needs between two steps.
pub(super) const LONG: Duration = Duration::from_secs(60);
/// Leases that are waited for.
pub(super) const SHORT: Duration = Duration::from_millis(400);

pub(super) struct Stage {
    pub(super) a: Arc<dyn Store>,
    pub(super) b: Arc<dyn Store>,
    /// A queue, and what other names begin with.
    pub(super) name: String,
}

impl Stage {
    pub(super) async fn new(a: Arc<dyn Store>, b: Arc<dyn Store>) -> Told<Self> {
        let name = format!("conformance/{}", a.reserve(1).await.map_err(told)?);
        Ok(Self { a, b, name })
    }

    /// A task of this queue with the next id.
    pub(super) async fn task(&self, payload: &str) -> Told<NewTask> {
        Ok(NewTask {
            id: TaskId(self.a.reserve(1).await.map_err(told)?),
            queue: self.name.clone(),
            name: "n".to_owned(),
            version: 1,
            payload: payload.to_owned(),
            priority: Priority::Normal,
            run_at: None,
            max_retries: 3,
            timeout: LONG,
            unique_key: None,
            group: None,
        })
    }

    /// So many plain tasks, kept by `a`.
    pub(super) async fn fill(&self, count: usize) -> Told<Vec<TaskId>> {
        let mut tasks = Vec::new();
        for n in 0..count {
            tasks.push(self.task(&n.to_string()).await?);
        }
        let ids = tasks.iter().map(|task| task.id).collect();
        enqueue(&*self.a, tasks).await?;
        Ok(ids)
    }

    pub(super) async fn claim(
        &self,
        store: &dyn Store,
        who: &str,
        limit: usize,
        lease: Duration,
    ) -> Told<Vec<Claimed>> {
        let claim = Claim { owner: owner(who)?, queues: vec![self.name.clone()], limit, lease };
        let mut outcome = commit(store, Batch { claim: vec![claim], ..batch() }).await?;
        outcome.claimed.pop().ok_or_else(|| "a claim was not answered".to_owned())
    }

    /// One task that must be there.
    pub(super) async fn take(&self, store: &dyn Store, who: &str, lease: Duration) -> Told<Claimed> {
        self.claim(store, who, 1, lease).await?.pop().ok_or_else(|| "a ready task was not given".to_owned())
    }
}

/// By this machine's clock, which a store with a clock of its own does not ask.
pub(super) fn batch() -> Batch {
    Batch { now: Timestamp::now(), aging: LONG, ..Batch::default() }
}

pub(super) async fn commit(store: &dyn Store, batch: Batch) -> Told<Outcome> {
    let sizes =
        (batch.enqueue.len(), batch.finish.len(), batch.control.len(), batch.beat.len(), batch.claim.len());
    let outcome = store.commit(Arc::new(batch)).await.map_err(told)?;
    let told = (
        outcome.enqueued.len(),
        outcome.finished.len(),
        outcome.controlled.len(),
        outcome.beats.len(),
        outcome.claimed.len(),
    );
    ensure(sizes == told, &format!("{sizes:?} were asked for and {told:?} answered"))?;
    Ok(outcome)
}

pub(super) async fn enqueue(store: &dyn Store, enqueue: Vec<NewTask>) -> Told<Vec<Placed>> {
    Ok(commit(store, Batch { enqueue, ..batch() }).await?.enqueued)
}

pub(super) async fn finish(
    store: &dyn Store,
    task: &Claimed,
    who: &str,
    end: End,
) -> Told<Result<(), Refusal>> {
    let finish = Finish { id: task.id, token: task.token, owner: owner(who)?, end };
    let mut outcome = commit(store, Batch { finish: vec![finish], ..batch() }).await?;
    outcome.finished.pop().ok_or_else(|| "an end was not answered".to_owned())
}

/// An end that must be accepted.
pub(super) async fn done(store: &dyn Store, task: &Claimed, who: &str, end: End) -> Judged {
    let said = format!("{end:?}");
    let refused = finish(store, task, who, end).await?.err();
    refused.map_or(Ok(()), |refusal| Err(format!("{said} of the newest run was refused: {refusal:?}")))
}

pub(super) async fn control(store: &dyn Store, control: Control) -> Told<Answer> {
    let mut outcome = commit(store, Batch { control: vec![control], ..batch() }).await?;
    outcome.controlled.pop().ok_or_else(|| "a control was not answered".to_owned())
}

/// A control that must be answered so.
pub(super) async fn expect(store: &dyn Store, asked: Control, expected: Answer) -> Judged {
    let said = format!("{asked:?}");
    let answer = control(store, asked).await?;
    ensure(answer == expected, &format!("{said} was answered by {answer:?} instead of {expected:?}"))
}

/// Due tasks become ready, and tasks of vanished workers too.
pub(super) async fn sweep(store: &dyn Store) -> Told<Outcome> {
    commit(store, Batch { sweep: true, ..batch() }).await
}

pub(super) async fn record(store: &dyn Store, id: TaskId) -> Told<Record> {
    store.get(id).await.map_err(told)?.ok_or_else(|| format!("task {id} is not there"))
}

pub(super) async fn stands(store: &dyn Store, id: TaskId, state: State) -> Judged {
    let found = record(store, id).await?.state;
    ensure(found == state, &format!("the task is {found:?} instead of {state:?}"))
}

pub(super) fn owner(name: &str) -> Told<Owner> {
    Owner::try_new(name).map_err(told)
}

pub(super) fn told(error: Error) -> String {
    format!("{:?}: {error}", error.kind())
}

pub(super) fn ensure(holds: bool, otherwise: &str) -> Judged {
    if holds { Ok(()) } else { Err(otherwise.to_owned()) }
}
