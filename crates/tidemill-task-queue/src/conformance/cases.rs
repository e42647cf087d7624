//! The cases in their order, and those of keeping, ordering and claiming.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::stage::{
    Judged, LONG, SHORT, Stage, batch, commit, control, done, enqueue, ensure, expect, record, sweep, told,
};
use super::{Failure, ends, given};
use crate::error::Error;
use crate::limit::Limit;
use crate::priority::Priority;
use crate::record::{Filter, State};
use crate::store::{Answer, Batch, Control, End, Fire, NewTask, ScheduleRow, Store};
use crate::timestamp::Timestamp;

/// What is tried, in this order.
pub const CASES: &[&str] = &[
    "no id is given twice",
    "a task comes back as it was written",
    "a batch that is asked for again is kept once",
    "the most urgent first, then the oldest",
    "a task waits for its time",
    "no two claims get the same task",
    "only the newest run ends a task",
    "a heartbeat keeps a lease, and an old run hears that it is lost",
    "failures are counted and remembered",
    "what waits is cancelled, what runs is asked, what is dead comes back",
    "a unique key is free when its task has ended",
    "a paused queue gives nothing",
    "a group keeps to its caps",
    "what is kept beside a claim is given in it",
    "a schedule fires once",
    "lists are pages, the newest first",
    "finished tasks are forgotten when they are old",
    "others hear of work",
];

pub(super) async fn run<F, O>(open: &F) -> Result<(), Failure>
where
    F: Fn() -> O,
    O: Future<Output = Result<Arc<dyn Store>, Error>>,
{
    for (index, case) in CASES.iter().enumerate() {
        judge(index, open).await.map_err(|says| Failure { case, says })?;
    }
    Ok(())
}

async fn judge<F, O>(index: usize, open: &F) -> Judged
where
    F: Fn() -> O,
    O: Future<Output = Result<Arc<dyn Store>, Error>>,
{
    let stage = Stage::new(open().await.map_err(told)?, open().await.map_err(told)?).await?;
    match index {
        0 => ids(&stage).await,
        1 => comes_back(&stage).await,
        2 => again(&stage).await,
        3 => order(&stage).await,
        4 => waits(&stage).await,
        5 => claimed_once(&stage).await,
        6 => ends::fence(&stage).await,
        7 => ends::heartbeats(&stage).await,
        8 => ends::failures(&stage).await,
        9 => ends::cancel_and_replay(&stage).await,
        10 => ends::unique(&stage).await,
        11 => paused(&stage).await,
        12 => caps(&stage).await,
        13 => given::given(&stage).await,
        14 => schedules(&stage).await,
        15 => lists(&stage).await,
        16 => ends::purge(&stage).await,
        _ => hears(&stage).await,
    }?;
    let says = stage.b.check().await.map_err(told)?;
    ensure(says.is_empty(), &format!("its own check says: {}", says.join("; ")))
}

async fn ids(stage: &Stage) -> Judged {
    let mut given = BTreeSet::new();
    for _ in 0..20 {
        let (a, b) = tokio::join!(stage.a.reserve(7), stage.b.reserve(5));
        for (first, count) in [(a.map_err(told)?, 7), (b.map_err(told)?, 5)] {
            ensure((first..first + count).all(|id| given.insert(id)), &format!("{first} was given before"))?;
        }
    }
    Ok(())
}

async fn comes_back(stage: &Stage) -> Judged {
    let later = Timestamp::now().after(LONG * 60);
    let task = NewTask {
        payload: format!("{{\"text\":\"{}\"}}", "\u{4e2d}\u{1f980}'%\\\\".repeat(4000)),
        priority: Priority::Low,
        version: u32::from(u16::MAX),
        run_at: Some(later),
        max_retries: 1000,
        timeout: Duration::from_millis(1234),
        unique_key: Some(format!("{} 'key' \u{e9}", stage.name)),
        group: Some(format!("{} group", stage.name)),
        ..stage.task("").await?
    };
    enqueue(&*stage.a, vec![task.clone()]).await?;
    for (store, who) in [(&stage.a, "the writer"), (&stage.b, "another handle")] {
        let found = record(&**store, task.id).await?;
        let same = found.payload == task.payload
            && found.queue == task.queue
            && found.name == task.name
            && (found.version, found.priority, found.state) == (task.version, task.priority, State::Delayed)
            && (found.run_at, found.attempt, found.max_retries) == (later, 0, task.max_retries)
            && (found.timeout, found.cancel) == (task.timeout, false)
            && (&found.unique_key, &found.group) == (&task.unique_key, &task.group);
        ensure(same, &format!("{who} reads another task than was written: {found:?}"))?;
    }
    expect(&*stage.a, Control::Cancel(task.id), Answer::Done).await
}

async fn again(stage: &Stage) -> Judged {
    let mut tasks = Vec::new();
    for n in 0..3 {
        tasks.push(stage.task(&n.to_string()).await?);
    }
    let first = enqueue(&*stage.a, tasks.clone()).await?;
    let taken = stage.take(&*stage.a, "one", LONG).await?;
    done(&*stage.a, &taken, "one", End::Done("1".to_owned())).await?;
    let same = Batch { enqueue: tasks, again: true, ..batch() };
    let second = commit(&*stage.b, same).await?.enqueued;
    ensure(first == second, &format!("answered by {first:?}, and then by {second:?}"))?;
    let filter = Filter { queue: Some(stage.name.clone()), ..Filter::default() };
    let kept = stage.b.list(filter).await.map_err(told)?;
    let finished = kept.iter().filter(|record| record.state == State::Done).count();
    ensure(kept.len() == 3 && finished == 1, &format!("{} tasks are kept, {finished} finished", kept.len()))?;
    let left = stage.claim(&*stage.b, "two", 9, LONG).await?;
    ensure(left.len() == 2, &format!("{} tasks are ready instead of 2", left.len()))
}

async fn order(stage: &Stage) -> Judged {
    let now = Timestamp::now();
    let ago = |steps: f64| Some(Timestamp(now.0 - (LONG.as_micros() as f64 * steps) as i64));
    let mut tasks = Vec::new();
    for (payload, priority, run_at) in [
        ("1", Priority::Low, ago(0.0)),
        ("2", Priority::Normal, ago(0.0)),
        ("3", Priority::High, ago(0.0)),
        ("4", Priority::Low, ago(2.5)),
        ("5", Priority::Normal, ago(0.5)),
    ] {
        tasks.push(NewTask { priority, run_at, ..stage.task(payload).await? });
    }
    enqueue(&*stage.a, tasks).await?;
    let found = stage.claim(&*stage.b, "one", 9, LONG).await?;
    let found: Vec<&str> = found.iter().map(|task| task.payload.as_str()).collect();
    ensure(found == ["4", "3", "5", "2", "1"], &format!("the order is {found:?}"))
}

async fn waits(stage: &Stage) -> Judged {
    let begun = Instant::now();
    let task = NewTask { run_at: Some(Timestamp::now().after(SHORT)), ..stage.task("1").await? };
    let id = task.id;
    enqueue(&*stage.a, vec![task]).await?;
    loop {
        let outcome = sweep(&*stage.b).await?;
        let found = stage.claim(&*stage.b, "one", 9, LONG).await?;
        // Its time is by this machine's clock, and the store's may be a little before that.
        let early = begun.elapsed() + SHORT / 4 < SHORT;
        if early {
            ensure(found.is_empty(), "a task ran before its time")?;
            ensure(outcome.next_due.is_some(), "a sweep does not say when the next task is due")?;
        }
        if found.iter().any(|task| task.id == id) {
            return Ok(());
        }
        ensure(begun.elapsed() < LONG, "a task that is due is not given")?;
        tokio::time::sleep(SHORT / 10).await;
    }
}

async fn claimed_once(stage: &Stage) -> Judged {
    let all: BTreeSet<_> = stage.fill(40).await?.into_iter().collect();
    let mut given = BTreeSet::new();
    for _ in 0..10 {
        let (a, b) =
            tokio::join!(stage.claim(&*stage.a, "one", 3, LONG), stage.claim(&*stage.b, "two", 3, LONG));
        for task in [a?, b?].into_iter().flatten() {
            ensure(given.insert(task.id), &format!("task {} was given twice", task.id))?;
        }
    }
    ensure(given == all, &format!("{} of 40 tasks were given", given.len()))
}

async fn paused(stage: &Stage) -> Judged {
    stage.fill(1).await?;
    expect(&*stage.a, Control::Pause(stage.name.clone(), true), Answer::Done).await?;
    ensure(stage.claim(&*stage.b, "one", 9, LONG).await?.is_empty(), "a paused queue gave a task")?;
    let overview = stage.b.overview().await.map_err(told)?;
    let depth = overview.queues.get(&stage.name).cloned().unwrap_or_default();
    ensure(depth.paused && depth.ready == [0, 1, 0], &format!("the overview says {depth:?}"))?;
    expect(&*stage.b, Control::Pause(stage.name.clone(), false), Answer::Done).await?;
    stage.take(&*stage.a, "one", LONG).await.map(drop)
}

async fn caps(stage: &Stage) -> Judged {
    let group = format!("{} group", stage.name);
    let limit = Limit { max_running: Some(2), rate: None };
    let mut tasks = Vec::new();
    for n in 0..4 {
        tasks.push(NewTask { group: Some(group.clone()), ..stage.task(&n.to_string()).await? });
    }
    // Two before the cap is set, two after.
    enqueue(&*stage.a, tasks.drain(..2).collect()).await?;
    expect(&*stage.b, Control::Limit(group.clone(), Some(limit)), Answer::Done).await?;
    enqueue(&*stage.a, tasks).await?;
    stage.fill(1).await?;
    let first = stage.claim(&*stage.a, "one", 9, LONG).await?;
    let second = stage.claim(&*stage.b, "two", 9, LONG).await?;
    let capped = first.iter().filter(|task| task.group.is_some()).count();
    let (given, more) = (first.len(), second.len());
    let says = format!("{capped} of the group of 2 run, {given} were given, and then {more}");
    ensure((capped, given, more) == (2, 3, 0), &says)?;
    let ended = first.iter().find(|task| task.group.is_some()).ok_or("none of the group runs")?;
    done(&*stage.a, ended, "one", End::Done("1".to_owned())).await?;
    let third = stage.claim(&*stage.b, "two", 9, LONG).await?.len();
    ensure(third == 1, &format!("one has ended, and {third} more were given"))?;
    expect(&*stage.b, Control::Limit(group.clone(), None), Answer::Done).await?;
    expect(&*stage.b, Control::Limit(group, None), Answer::Unknown).await?;
    let rest = stage.claim(&*stage.a, "one", 9, LONG).await?.len();
    ensure(rest == 1, &format!("without a cap {rest} more were given instead of 1"))
}

async fn schedules(stage: &Stage) -> Judged {
    let (due, next) = (Timestamp(1_000_000), Timestamp(2_000_000));
    let row = ScheduleRow {
        name: stage.name.clone(),
        spec: "{}".to_owned(),
        next: Some(due),
        paused: false,
        last_due: None,
        last_task: None,
    };
    expect(&*stage.a, Control::PutSchedule(row), Answer::Done).await?;
    let fire = async |store: &dyn Store, due: Timestamp, wait: bool| {
        let key = Some(format!("schedule/{}", stage.name));
        let task = Some(NewTask { unique_key: key, ..stage.task("1").await? });
        control(store, Control::Fire(Fire { name: stage.name.clone(), due, next: Some(next), task, wait }))
            .await
    };
    let (a, b) = tokio::join!(fire(&*stage.a, due, false), fire(&*stage.b, due, false));
    let answers = [a?, b?];
    let fired =
        answers.iter().filter(|answer| matches!(answer, Answer::Fired(placed) if placed.fresh)).count();
    let missed = answers.iter().filter(|answer| **answer == Answer::Missed).count();
    ensure((fired, missed) == (1, 1), &format!("two that fired at once were told {answers:?}"))?;
    let waited = fire(&*stage.b, next, true).await?;
    ensure(waited == Answer::Missed, &format!("its last task runs, and it was told {waited:?}"))?;
    let rows = stage.b.schedules().await.map_err(told)?;
    let found = rows.iter().find(|row| row.name == stage.name).ok_or("the schedule is not there")?;
    let stands = found.next == Some(next) && found.last_due == Some(due) && found.last_task.is_some();
    ensure(stands, &format!("it fired, and stands as {found:?}"))?;
    expect(&*stage.a, Control::DropSchedule(stage.name.clone()), Answer::Done).await?;
    expect(&*stage.b, Control::DropSchedule(stage.name.clone()), Answer::Unknown).await?;
    let gone = fire(&*stage.a, next, false).await?;
    ensure(gone == Answer::Unknown, &format!("a schedule that is gone was fired: {gone:?}"))
}

async fn lists(stage: &Stage) -> Judged {
    let mut ids = stage.fill(5).await?;
    let taken = stage.take(&*stage.a, "one", LONG).await?;
    done(&*stage.a, &taken, "one", End::Done("1".to_owned())).await?;
    ids.reverse();
    let queue = Some(stage.name.clone());
    let mut found = Vec::new();
    let mut filter = Filter { queue: queue.clone(), limit: 2, ..Filter::default() };
    loop {
        let page = stage.b.list(filter.clone()).await.map_err(told)?;
        ensure(page.len() <= 2, &format!("a page of 2 holds {}", page.len()))?;
        let Some(last) = page.last() else { break };
        filter.before = Some(last.id);
        found.extend(page.iter().map(|record| record.id));
        ensure(found.len() <= ids.len(), "a task stands on two pages")?;
    }
    ensure(found == ids, &format!("{found:?} instead of {ids:?}"))?;
    for (state, count) in [(State::Done, 1), (State::Ready, 4), (State::Dead, 0)] {
        let filter = Filter { queue: queue.clone(), state: Some(state), ..Filter::default() };
        let listed = stage.b.list(filter).await.map_err(told)?.len();
        ensure(listed == count, &format!("{listed} tasks are {state:?} instead of {count}"))?;
    }
    let filter = Filter { queue, name: Some("another".to_owned()), ..Filter::default() };
    ensure(stage.b.list(filter).await.map_err(told)?.is_empty(), "a filter by name lets others through")
}

async fn hears(stage: &Stage) -> Judged {
    let poll = SHORT / 20;
    let mut seen = 0;
    // What others did before may still come.
    for _ in 0..3 {
        let heard = tokio::time::timeout(SHORT * 4, stage.b.changed(poll, seen)).await;
        let Ok(version) = heard else { break };
        seen = version.map_err(told)?;
    }
    let hear = tokio::time::timeout(LONG / 6, stage.b.changed(poll, seen));
    let speak = async {
        tokio::time::sleep(poll).await;
        stage.fill(1).await
    };
    let (heard, spoken) = tokio::join!(hear, speak);
    spoken?;
    let version = heard.map_err(|_| "nobody was told of a task for 10 s".to_owned())?.map_err(told)?;
    ensure(version != seen, "the version did not change")
}
