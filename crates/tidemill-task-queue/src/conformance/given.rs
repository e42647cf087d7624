//! Tasks that are kept and claimed in one batch: a worker waits for what comes.

use super::stage::{
    Judged, LONG, Stage, batch, commit, control, done, ensure, expect, owner, record, stands,
};
use crate::id::TaskId;
use crate::limit::Limit;
use crate::priority::Priority;
use crate::record::State;
use crate::store::{Answer, Batch, Claim, Claimed, Control, End, NewTask};

impl Stage {
    /// New tasks beside a worker with room for so many.
    async fn keep_and_claim(&self, enqueue: Vec<NewTask>, limit: usize) -> Result<Vec<Claimed>, String> {
        let claim = Claim { owner: owner("one")?, queues: vec![self.name.clone()], limit, lease: LONG };
        let asked = Batch { enqueue, claim: vec![claim], ..batch() };
        commit(&*self.a, asked).await?.claimed.pop().ok_or_else(|| "a claim was not answered".to_owned())
    }

    async fn urgent(&self, priority: Priority) -> Result<NewTask, String> {
        Ok(NewTask { priority, ..self.task("7").await? })
    }
}

fn ids(tasks: &[Claimed]) -> Vec<TaskId> {
    tasks.iter().map(|task| task.id).collect()
}

pub(super) async fn given(stage: &Stage) -> Judged {
    let [low, normal, high] = [Priority::Low, Priority::Normal, Priority::High];
    let (low, normal, high) =
        (stage.urgent(low).await?, stage.urgent(normal).await?, stage.urgent(high).await?);
    let elsewhere = NewTask { queue: format!("{}/other", stage.name), ..stage.task("7").await? };
    let (first, second, last, other) = (high.id, normal.id, low.id, elsewhere.id);
    let taken = stage.keep_and_claim(vec![low, elsewhere, normal, high], 2).await?;
    ensure(ids(&taken) == [first, second], &format!("{:?} instead of the two most urgent", ids(&taken)))?;
    stands(&*stage.b, last, State::Ready).await?;
    stands(&*stage.b, other, State::Ready).await?;
    // They are as claimed as any.
    let found = record(&*stage.b, first).await?;
    let run = (found.state, found.attempt, found.owner.as_deref(), Some(found.token));
    let told_run = (State::Running, 1, Some("one"), Some(taken[0].token));
    ensure(run == told_run && found.started_at.is_some(), &format!("what was given stands as {found:?}"))?;
    ensure(taken[0].payload == "7" && taken[0].attempt == 1, &format!("{:?} was given", taken[0]))?;
    let others = stage.claim(&*stage.b, "two", 10, LONG).await?;
    ensure(ids(&others) == [last], &format!("{:?} was given a second time or not at all", ids(&others)))?;
    done(&*stage.b, &others[0], "two", End::Done("1".to_owned())).await?;
    for task in &taken {
        done(&*stage.b, task, "one", End::Done("1".to_owned())).await?;
    }
    expect(&*stage.a, Control::Cancel(other), Answer::Done).await?;
    beside_others(stage).await
}

/// Some wait already; the queue is paused; a group has a cap.
async fn beside_others(stage: &Stage) -> Judged {
    let waiting = stage.fill(2).await?;
    let (high, normal) = (stage.urgent(Priority::High).await?, stage.urgent(Priority::Normal).await?);
    let expected = [high.id, waiting[0], waiting[1], normal.id];
    let taken = stage.keep_and_claim(vec![normal, high], 4).await?;
    ensure(ids(&taken) == expected, &format!("{:?} instead of {expected:?}", ids(&taken)))?;
    control(&*stage.a, Control::Pause(stage.name.clone(), true)).await?;
    let task = stage.task("7").await?;
    let id = task.id;
    let none = stage.keep_and_claim(vec![task], 4).await?;
    ensure(none.is_empty(), "a paused queue gave what was new")?;
    stands(&*stage.b, id, State::Ready).await?;
    control(&*stage.a, Control::Pause(stage.name.clone(), false)).await?;
    let group = format!("{} group", stage.name);
    let one = Limit { max_running: Some(1), rate: None };
    control(&*stage.a, Control::Limit(group.clone(), Some(one))).await?;
    let mut both = Vec::new();
    for group in [Some(group.clone()), Some(group.clone()), None] {
        both.push(NewTask { group, ..stage.task("7").await? });
    }
    let expected = vec![id, both[0].id, both[2].id];
    let capped = stage.keep_and_claim(both, 4).await?;
    let last = stage.keep_and_claim(vec![stage.task("8").await?], 4).await?;
    control(&*stage.a, Control::Limit(group, None)).await?;
    ensure(ids(&capped) == expected, &format!("{:?} beside a cap, and not {expected:?}", ids(&capped)))?;
    ensure(last.len() == 1 && last[0].payload == "8", &format!("{last:?} beside a cap of another"))?;
    for task in taken.iter().chain(&capped).chain(&last) {
        done(&*stage.b, task, "one", End::Done("1".to_owned())).await?;
        stands(&*stage.a, task.id, State::Done).await?;
    }
    Ok(())
}
