//! Any interleaving of workers that pause, crash and come back, under a clock that jumps: a file does what plain maps do,
//! no accepted task is lost, and no run but the newest ends a task. Without the fence the same histories find it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config as Cases, TestRng, TestRunner};
use tempfile::tempdir;
use tidemill_task_queue::store::{
    Answer, Batch, Beat, Claim, Claimed, Control, End, Finish, NewTask, Outcome, Pending, Pulse, ScheduleRow,
    Store,
};
use tidemill_task_queue::{
    Filter, Limit, Memory, Overview, Owner, Placed, Priority, Progress, Rate, Record, Sqlite, SqliteConfig,
    TaskId, Timestamp, Token,
};

const GROUPS: [&str; 2] = ["slots", "rate"];

#[derive(Debug, Clone)]
enum Step {
    Enqueue {
        unique: Option<u8>,
        delay_ms: u16,
        priority: usize,
        group: Option<bool>,
        retries: u32,
    },
    Claim {
        worker: usize,
        limit: usize,
        lease_ms: u64,
    },
    /// The end of any run a worker ever had, also of one it lost long ago.
    Finish {
        worker: usize,
        run: usize,
        end: u8,
    },
    Beat {
        worker: usize,
        run: usize,
    },
    Crash {
        worker: usize,
    },
    Pass {
        ms: i64,
    },
    Sweep,
    Cancel {
        task: usize,
    },
    Replay {
        task: usize,
    },
    Pause {
        paused: bool,
    },
    Limit {
        group: bool,
        set: bool,
    },
    Purge {
        keep_ms: u16,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let worker = 0..3_usize;
    prop_oneof![
        6 => (prop::option::of(0..3_u8), prop_oneof![3 => Just(0), 1 => 0..500_u16], 0..3_usize,
              prop::option::of(any::<bool>()), 0..3_u32)
            .prop_map(|(unique, delay_ms, priority, group, retries)|
                Step::Enqueue { unique, delay_ms, priority, group, retries }),
        6 => (worker.clone(), 1..4_usize, 50..400_u64)
            .prop_map(|(worker, limit, lease_ms)| Step::Claim { worker, limit, lease_ms }),
        6 => (worker.clone(), any::<usize>(), 0..6_u8)
            .prop_map(|(worker, run, end)| Step::Finish { worker, run, end }),
        2 => (worker.clone(), any::<usize>()).prop_map(|(worker, run)| Step::Beat { worker, run }),
        1 => worker.prop_map(|worker| Step::Crash { worker }),
        4 => prop_oneof![8 => 0..300_i64, 1 => 1000..100_000_i64, 1 => -2000..0_i64]
            .prop_map(|ms| Step::Pass { ms }),
        4 => Just(Step::Sweep),
        1 => any::<usize>().prop_map(|task| Step::Cancel { task }),
        1 => any::<usize>().prop_map(|task| Step::Replay { task }),
        1 => any::<bool>().prop_map(|paused| Step::Pause { paused }),
        1 => (any::<bool>(), any::<bool>()).prop_map(|(group, set)| Step::Limit { group, set }),
        1 => (0..2000_u16).prop_map(|keep_ms| Step::Purge { keep_ms }),
    ]
}

/// Workers, the clock, and what must hold of what the store says.
struct World {
    now: Timestamp,
    last: Timestamp,
    runs: Vec<Vec<Claimed>>,
    accepted: Vec<TaskId>,
    purged: bool,
    newest: BTreeMap<TaskId, Token>,
    ended: BTreeMap<TaskId, Token>,
}

impl World {
    fn new() -> Self {
        Self {
            now: Timestamp(1_700_000_000_000_000),
            last: Timestamp(0),
            runs: vec![Vec::new(); 3],
            accepted: Vec::new(),
            purged: false,
            newest: BTreeMap::new(),
            ended: BTreeMap::new(),
        }
    }

    fn owner(worker: usize) -> Owner {
        Owner::try_new(format!("worker {worker}")).unwrap()
    }

    fn batch(&mut self, step: &Step, first_id: u64) -> Option<Batch> {
        let mut batch = Batch { aging: Duration::from_millis(700), ..Batch::default() };
        let task = |at: &usize| self.accepted.get(at % self.accepted.len().max(1)).copied();
        let run = |worker: &usize, at: &usize| {
            let runs = &self.runs[*worker];
            runs.get(at % runs.len().max(1)).cloned()
        };
        match step {
            Step::Enqueue { unique, delay_ms, priority, group, retries } => batch.enqueue.push(NewTask {
                id: TaskId(first_id),
                queue: "q".into(),
                name: "n".into(),
                version: 1,
                payload: format!("{first_id}"),
                priority: Priority::ALL[*priority],
                run_at: (*delay_ms > 0).then(|| self.now.after(Duration::from_millis(u64::from(*delay_ms)))),
                max_retries: *retries,
                timeout: Duration::from_secs(1),
                unique_key: unique.map(|key| key.to_string()),
                group: group.map(|group| GROUPS[usize::from(group)].into()),
            }),
            Step::Claim { worker, limit, lease_ms } => batch.claim.push(Claim {
                owner: Self::owner(*worker),
                queues: if limit % 2 == 0 { vec!["q".into()] } else { vec!["q".into(), "other".into()] },
                limit: *limit,
                lease: Duration::from_millis(*lease_ms),
            }),
            Step::Finish { worker, run: at, end } => {
                let run = run(worker, at)?;
                batch.finish.push(Finish {
                    id: run.id,
                    token: run.token,
                    owner: Self::owner(*worker),
                    end: match end {
                        0 | 1 => End::Done(format!("\"{}\"", run.token)),
                        2 => End::Retry(Duration::from_millis(100), "failed".into()),
                        3 => End::Dead("failed".into(), "for good".into()),
                        4 => End::Cancelled,
                        _ => End::Released(Duration::ZERO),
                    },
                });
            }
            Step::Beat { worker, run: at } => {
                let run = run(worker, at)?;
                batch.beat.push(Beat {
                    id: run.id,
                    token: run.token,
                    owner: Self::owner(*worker),
                    lease: Duration::from_millis(200),
                    progress: Some(Progress { fraction: 0.5, message: "half".into() }),
                });
            }
            Step::Crash { worker } => {
                self.runs[*worker].clear();
                return None;
            }
            Step::Pass { ms } => {
                self.now = Timestamp(self.now.0 + ms * 1000);
                return None;
            }
            Step::Sweep => batch.sweep = true,
            Step::Cancel { task: at } => batch.control.push(Control::Cancel(task(at)?)),
            Step::Replay { task: at } => batch.control.push(Control::Replay(task(at)?)),
            Step::Pause { paused } => batch.control.push(Control::Pause("q".into(), *paused)),
            Step::Limit { group, set } => {
                let limit = if *group {
                    let rate = Rate { count: 2, per: Duration::from_millis(300) };
                    Limit { max_running: None, rate: Some(rate) }
                } else {
                    Limit { max_running: Some(1), rate: None }
                };
                let group = GROUPS[usize::from(*group)].to_owned();
                batch.control.push(Control::Limit(group, set.then_some(limit)));
            }
            Step::Purge { keep_ms } => {
                let before = Timestamp(self.now.0 - i64::from(*keep_ms) * 1000);
                self.purged = true;
                batch.control.push(Control::Purge { done: before, dead: before });
            }
        }
        batch.now = self.now;
        batch.set_back = self.now < self.last;
        self.last = self.now;
        Some(batch)
    }

    /// What the store said must fit what was so far.
    fn judge(&mut self, batch: &Batch, outcome: &Outcome) -> Result<(), String> {
        for (task, placed) in batch.enqueue.iter().zip(&outcome.enqueued) {
            if placed.fresh {
                self.accepted.push(task.id);
            }
        }
        for (finish, accepted) in batch.finish.iter().zip(&outcome.finished) {
            if accepted.is_err() {
                continue;
            }
            if self.newest.get(&finish.id) != Some(&finish.token) {
                return Err(format!(
                    "run {} of task {} was not the newest and ended it",
                    finish.token, finish.id
                ));
            }
            if matches!(finish.end, End::Done(_) | End::Dead(..) | End::Cancelled) {
                let before = self.ended.insert(finish.id, finish.token);
                // The same end again is answered the same way; an end by another run is not.
                if before.is_some_and(|before| before != finish.token) {
                    return Err(format!("task {} was ended by two runs", finish.id));
                }
            }
        }
        for (control, answer) in batch.control.iter().zip(&outcome.controlled) {
            if let (Control::Replay(id), Answer::Done) = (control, answer) {
                self.ended.remove(id);
            }
        }
        for (beat, pulse) in batch.beat.iter().zip(&outcome.beats) {
            if *pulse != Pulse::Lost && self.newest.get(&beat.id) != Some(&beat.token) {
                return Err(format!("an old run of task {} goes on", beat.id));
            }
        }
        let mut once = BTreeSet::new();
        for (claim, tasks) in batch.claim.iter().zip(&outcome.claimed) {
            if tasks.len() > claim.limit {
                return Err("more tasks than were asked for".into());
            }
            for task in tasks {
                if self.newest.get(&task.id).is_some_and(|token| *token >= task.token) {
                    return Err(format!("the token of task {} did not rise", task.id));
                }
                if !once.insert(task.id) || self.ended.contains_key(&task.id) {
                    return Err(format!("task {} was claimed though it had ended, or twice", task.id));
                }
                self.newest.insert(task.id, task.token);
                let worker: usize = claim.owner.as_str()[7..].parse().unwrap();
                self.runs[worker].push(task.clone());
            }
        }
        Ok(())
    }

    /// All obstacles gone, everything that was accepted comes to its end.
    async fn drain(&mut self, store: &dyn Store) -> Result<(), String> {
        let open = |control| Batch { now: self.now, control: vec![control], ..Batch::default() };
        let mut batches = vec![open(Control::Pause("q".into(), false))];
        batches.extend(GROUPS.map(|group| open(Control::Limit(group.into(), None))));
        for batch in batches {
            store.commit(Arc::new(batch)).await.map_err(|error| error.to_string())?;
        }
        let mut quiet = 0;
        for _ in 0..200 {
            if quiet > 2 {
                break;
            }
            self.now = self.now.after(Duration::from_secs(10));
            let claim = Step::Claim { worker: 0, limit: 100, lease_ms: 100 };
            for step in [Step::Sweep, claim] {
                let Some(batch) = self.batch(&step, 0) else { continue };
                let outcome =
                    store.commit(Arc::new(batch.clone())).await.map_err(|error| error.to_string())?;
                self.judge(&batch, &outcome)?;
                if !batch.claim.is_empty() {
                    let idle = outcome.claimed.iter().all(Vec::is_empty) && outcome.next_due.is_none();
                    quiet = if idle { quiet + 1 } else { 0 };
                }
                for task in outcome.claimed.into_iter().flatten() {
                    let finish = Finish {
                        id: task.id,
                        token: task.token,
                        owner: Self::owner(0),
                        end: if task.cancel { End::Cancelled } else { End::Done("1".into()) },
                    };
                    let batch = Batch { now: self.now, finish: vec![finish], ..Batch::default() };
                    let outcome =
                        store.commit(Arc::new(batch.clone())).await.map_err(|error| error.to_string())?;
                    self.judge(&batch, &outcome)?;
                }
            }
        }
        for id in &self.accepted {
            match store.get(*id).await.map_err(|error| error.to_string())? {
                Some(record) if record.state.is_finished() => {}
                None if self.purged => {}
                Some(record) => return Err(format!("task {id} hangs as {:?}", record.state)),
                None => return Err(format!("task {id} was lost")),
            }
        }
        Ok(())
    }
}

/// Runs a history on one store, and on plain maps if they are given.
async fn play(steps: &[Step], store: Arc<dyn Store>, model: Option<&Memory>) -> Result<(), String> {
    let mut world = World::new();
    for step in steps {
        let first = store.reserve(1).await.map_err(|error| error.to_string())?;
        let Some(batch) = world.batch(step, first) else { continue };
        let batch = Arc::new(batch);
        let outcome = store.commit(batch.clone()).await.map_err(|error| error.to_string())?;
        if let Some(model) = model {
            let expected = model.commit(batch.clone()).await.unwrap();
            if expected != outcome {
                return Err(format!("{step:?}: expected {expected:?}, the store says {outcome:?}"));
            }
        }
        world.judge(&batch, &outcome)?;
    }
    if let Some(model) = model {
        let all = Filter { limit: 1000, ..Filter::default() };
        let (ours, theirs) = (model.list(all.clone()).await.unwrap(), store.list(all).await.unwrap());
        for (expected, found) in ours.iter().zip(&theirs) {
            // A finished row has no lease any more, and nobody asks for it.
            if expected != found {
                return Err(format!("expected {expected:?}, found {found:?}"));
            }
        }
        if ours.len() != theirs.len() {
            return Err(format!("{} tasks instead of {}", theirs.len(), ours.len()));
        }
        if model.overview().await.unwrap() != store.overview().await.unwrap() {
            return Err("the overviews differ".into());
        }
        let broken = store.check().await.unwrap();
        if !broken.is_empty() {
            return Err(broken.join("; "));
        }
    }
    world.drain(&*store).await
}

fn runner(cases: u32) -> TestRunner {
    let config = Cases { cases, failure_persistence: None, ..Cases::default() };
    let seed = [7; 32];
    TestRunner::new_with_rng(config, TestRng::from_seed(proptest::test_runner::RngAlgorithm::ChaCha, &seed))
}

fn cases() -> u32 {
    if std::env::var_os("TIDEMILL_TEST_FULL").is_some() { 3000 } else { 60 }
}

#[test]
fn a_file_does_what_plain_maps_do() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let result = runner(cases()).run(&prop::collection::vec(step(), 1..80), |steps| {
        let dir = tempdir().unwrap();
        let store = Arc::new(Sqlite::open(dir.path().join("tasks.db"), SqliteConfig::default()).unwrap());
        let model = Memory::default();
        runtime.block_on(play(&steps, store, Some(&model))).map_err(TestCaseError::fail)
    });
    result.unwrap();
}

#[test]
fn plain_maps_keep_their_promises() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let result = runner(10 * cases()).run(&prop::collection::vec(step(), 1..120), |steps| {
        runtime.block_on(play(&steps, Arc::new(Memory::default()), None)).map_err(TestCaseError::fail)
    });
    result.unwrap();
}

/// A store with one rule taken out.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// An end counts whatever its token: it is given the newest one.
    NoFence,
    /// A heartbeat revives whatever its token.
    NoFenceOnBeats,
    /// A task that is claimed is never taken back.
    NoSweep,
    /// What was accepted is now and then forgotten.
    Forgets,
}

struct Faulty(Memory, Fault);

impl Store for Faulty {
    fn reserve(&self, count: u64) -> Pending<'_, u64> {
        self.0.reserve(count)
    }

    fn commit(&self, batch: Arc<Batch>) -> Pending<'_, Outcome> {
        Box::pin(async move {
            let mut changed = (*batch).clone();
            if self.1 == Fault::NoFence {
                for finish in &mut changed.finish {
                    if let Some(record) = self.0.get(finish.id).await? {
                        finish.token = record.token;
                        finish.owner =
                            record.owner.map_or(finish.owner.clone(), |o| Owner::try_new(o).unwrap());
                    }
                }
            }
            if self.1 == Fault::NoFenceOnBeats {
                for beat in &mut changed.beat {
                    if let Some(record) = self.0.get(beat.id).await? {
                        beat.token = record.token;
                        beat.owner = record.owner.map_or(beat.owner.clone(), |o| Owner::try_new(o).unwrap());
                    }
                }
            }
            if self.1 == Fault::NoSweep {
                changed.sweep = false;
            }
            let forgets = self.1 == Fault::Forgets && changed.enqueue.iter().any(|task| task.id.0 % 7 == 3);
            if forgets {
                let control = Control::Purge { done: Timestamp(0), dead: Timestamp(0) };
                let tasks = std::mem::take(&mut changed.enqueue);
                changed.control.push(control);
                let mut outcome = self.0.commit(Arc::new(changed)).await?;
                outcome.enqueued = tasks.iter().map(|task| Placed { id: task.id, fresh: true }).collect();
                return Ok(outcome);
            }
            self.0.commit(Arc::new(changed)).await
        })
    }

    fn get(&self, id: TaskId) -> Pending<'_, Option<Record>> {
        self.0.get(id)
    }

    fn list(&self, filter: Filter) -> Pending<'_, Vec<Record>> {
        self.0.list(filter)
    }

    fn overview(&self) -> Pending<'_, Overview> {
        self.0.overview()
    }

    fn schedules(&self) -> Pending<'_, Vec<ScheduleRow>> {
        self.0.schedules()
    }

    fn check(&self) -> Pending<'_, Vec<String>> {
        self.0.check()
    }
}

#[test]
fn each_rule_that_is_taken_out_is_found() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for fault in [Fault::NoFence, Fault::NoFenceOnBeats, Fault::NoSweep, Fault::Forgets] {
        let result = runner(2000).run(&prop::collection::vec(step(), 1..120), |steps| {
            let store = Arc::new(Faulty(Memory::default(), fault));
            runtime.block_on(play(&steps, store, None)).map_err(TestCaseError::fail)
        });
        assert!(result.is_err(), "{fault:?} was not found");
    }
}
