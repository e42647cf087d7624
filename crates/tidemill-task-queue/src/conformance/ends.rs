//! Cases of runs and their ends: the fence, leases, failures, cancels, keys, retention.

use std::time::{Duration, Instant};

use super::stage::{
    Judged, LONG, SHORT, Stage, batch, commit, control, done, enqueue, ensure, expect, finish, owner, record,
    stands, sweep, told,
};
use crate::id::{TaskId, Token};
use crate::record::{Progress, State};
use crate::store::{Answer, Batch, Beat, Claimed, Control, End, NewTask, Pulse, Refusal, Store};
use crate::timestamp::Timestamp;

/// Sweeps until the task waits again.
async fn expires(stage: &Stage, id: TaskId) -> Judged {
    let begun = Instant::now();
    loop {
        let outcome = sweep(&*stage.b).await?;
        if outcome.swept.reclaimed.contains(&id) || record(&*stage.b, id).await?.state == State::Ready {
            return Ok(());
        }
        ensure(begun.elapsed() < LONG / 2, "a lease ended and its task stays where it is")?;
        tokio::time::sleep(SHORT / 10).await;
    }
}

async fn refused(store: &dyn Store, task: &Claimed, who: &str, why: Refusal) -> Judged {
    let said = finish(store, task, who, End::Done("7".to_owned())).await?;
    ensure(said == Err(why), &format!("an end was answered by {said:?} instead of {why:?}"))
}

pub(super) async fn fence(stage: &Stage) -> Judged {
    let id = stage.fill(1).await?[0];
    let old = stage.take(&*stage.a, "one", SHORT).await?;
    expires(stage, id).await?;
    refused(&*stage.a, &old, "one", Refusal::Expired).await?;
    let new = stage.take(&*stage.b, "two", LONG).await?;
    let rose = new.token > old.token && new.attempt == old.attempt + 1;
    ensure(rose, &format!("the second run is {} of attempt {}", new.token, new.attempt))?;
    refused(&*stage.a, &old, "one", Refusal::ClaimedAnew).await?;
    refused(&*stage.a, &new, "one", Refusal::ClaimedAnew).await?;
    done(&*stage.b, &new, "two", End::Done("2".to_owned())).await?;
    done(&*stage.a, &new, "two", End::Done("2".to_owned()))
        .await
        .map_err(|says| format!("asked again: {says}"))?;
    refused(&*stage.a, &old, "one", Refusal::Finished).await?;
    refused(&*stage.a, &Claimed { id: TaskId(u64::MAX >> 1), ..old }, "one", Refusal::Unknown).await?;
    let found = record(&*stage.a, id).await?;
    let stands =
        found.state == State::Done && found.result.as_deref() == Some("2") && found.token == new.token;
    ensure(stands, &format!("it stands as {found:?}"))?;
    ensure(found.failures.len() == 1, "the run that was lost does not stand in the history")
}

pub(super) async fn heartbeats(stage: &Stage) -> Judged {
    let id = stage.fill(1).await?[0];
    let run = stage.take(&*stage.a, "one", SHORT * 5).await?;
    let beat = async |store: &dyn Store, token: Token, progress: Option<Progress>| {
        let beat = Beat { id, token, owner: owner("one")?, lease: SHORT * 5, progress };
        let mut outcome = commit(store, Batch { beat: vec![beat], ..batch() }).await?;
        outcome.beats.pop().ok_or_else(|| "a heartbeat was not answered".to_owned())
    };
    let half = Progress { fraction: 0.5, message: "half".to_owned() };
    let begun = Instant::now();
    while begun.elapsed() < SHORT * 6 {
        let pulse = beat(&*stage.a, run.token, Some(half.clone())).await?;
        ensure(pulse == Pulse::Held, &format!("a heartbeat in time was answered by {pulse:?}"))?;
        sweep(&*stage.b).await?;
        tokio::time::sleep(SHORT / 2).await;
    }
    let found = record(&*stage.b, id).await?;
    let kept = found.state == State::Running && found.token == run.token && found.progress == Some(half);
    ensure(kept, &format!("after six leases it stands as {found:?}"))?;
    expect(&*stage.b, Control::Cancel(id), Answer::Asked).await?;
    let pulse = beat(&*stage.a, run.token, None).await?;
    ensure(pulse == Pulse::Cancel, &format!("a cancel was asked for and the heartbeat says {pulse:?}"))?;
    let pulse = beat(&*stage.a, Token(run.token.0 - 1), None).await?;
    ensure(pulse == Pulse::Lost, &format!("an old run is told {pulse:?}"))?;
    done(&*stage.a, &run, "one", End::Cancelled).await?;
    let pulse = beat(&*stage.a, run.token, None).await?;
    ensure(pulse == Pulse::Lost, &format!("a run that has ended is told {pulse:?}"))
}

pub(super) async fn failures(stage: &Stage) -> Judged {
    let id = stage.fill(1).await?[0];
    let first = stage.take(&*stage.a, "one", LONG).await?;
    let younger = stage.fill(1).await?[0];
    done(&*stage.a, &first, "one", End::Released(Duration::ZERO)).await?;
    let second = stage.take(&*stage.b, "two", LONG).await?;
    ensure(second.id == id, "a task that was given back lost its place")?;
    expect(&*stage.b, Control::Cancel(younger), Answer::Done).await?;
    ensure(second.attempt == 1, &format!("a run that was given back counts: attempt {}", second.attempt))?;
    done(&*stage.b, &second, "two", End::Retry(SHORT / 4, "first".to_owned())).await?;
    stands(&*stage.a, id, State::Delayed).await?;
    expires(stage, id).await?;
    let third = stage.take(&*stage.a, "one", LONG).await?;
    ensure(third.attempt == 2, &format!("the second attempt is {}", third.attempt))?;
    done(&*stage.a, &third, "one", End::Dead("second".to_owned(), "for good".to_owned())).await?;
    let found = record(&*stage.b, id).await?;
    let says: Vec<_> =
        found.failures.iter().map(|failure| (failure.attempt, failure.error.as_str())).collect();
    ensure(says == [(1, "first"), (2, "second")], &format!("the history is {says:?}"))?;
    let stands = found.state == State::Dead && found.reason.as_deref() == Some("for good");
    ensure(stands, &format!("it stands as {found:?}"))
}

pub(super) async fn cancel_and_replay(stage: &Stage) -> Judged {
    let id = stage.fill(1).await?[0];
    expect(&*stage.a, Control::Replay(id), Answer::Not(State::Ready)).await?;
    expect(&*stage.a, Control::Cancel(id), Answer::Done).await?;
    expect(&*stage.b, Control::Cancel(id), Answer::Done).await?;
    ensure(stage.claim(&*stage.a, "one", 9, LONG).await?.is_empty(), "a cancelled task was given")?;
    expect(&*stage.b, Control::Replay(id), Answer::Done).await?;
    let run = stage.take(&*stage.a, "one", LONG).await?;
    ensure(run.attempt == 1, &format!("a replayed task begins with attempt {}", run.attempt))?;
    expect(&*stage.b, Control::Cancel(id), Answer::Asked).await?;
    done(&*stage.a, &run, "one", End::Retry(SHORT, "stopped".to_owned())).await?;
    stands(&*stage.b, id, State::Cancelled).await?;
    let nobody = TaskId(u64::MAX >> 1);
    expect(&*stage.a, Control::Cancel(nobody), Answer::Unknown).await?;
    expect(&*stage.a, Control::Replay(nobody), Answer::Unknown).await
}

pub(super) async fn unique(stage: &Stage) -> Judged {
    let task =
        async || Ok::<_, String>(NewTask { unique_key: Some(stage.name.clone()), ..stage.task("1").await? });
    let (one, two, three) = (task().await?, task().await?, task().await?);
    let first = one.id;
    let placed = enqueue(&*stage.a, vec![one, two]).await?;
    let kept = placed[0].fresh && !placed[1].fresh && placed.iter().all(|placed| placed.id == first);
    ensure(kept, &format!("two with one key were told {placed:?}"))?;
    let run = stage.take(&*stage.a, "one", LONG).await?;
    let held = enqueue(&*stage.b, vec![three]).await?[0];
    ensure(!held.fresh && held.id == first, &format!("while it runs another was told {held:?}"))?;
    done(&*stage.a, &run, "one", End::Dead(String::new(), "for good".to_owned())).await?;
    let free = enqueue(&*stage.b, vec![task().await?]).await?[0];
    ensure(free.fresh, "its key is not free although it has ended")?;
    expect(&*stage.a, Control::Replay(first), Answer::Missed).await
}

pub(super) async fn purge(stage: &Stage) -> Judged {
    let ids = stage.fill(2).await?;
    let run = stage.take(&*stage.a, "one", LONG).await?;
    done(&*stage.a, &run, "one", End::Done("1".to_owned())).await?;
    let purge = |at: Timestamp| Control::Purge { done: at, dead: at };
    control(&*stage.a, purge(Timestamp(0))).await?;
    stands(&*stage.b, run.id, State::Done).await?;
    let later = Timestamp::now().after(LONG * 60);
    while matches!(control(&*stage.a, purge(later)).await?, Answer::Purged(1..)) {}
    let gone = stage.b.get(run.id).await.map_err(told)?.is_none();
    ensure(gone, "a finished task is still there")?;
    let waits = ids.into_iter().find(|id| *id != run.id).ok_or("no second task")?;
    stands(&*stage.b, waits, State::Ready).await
}
