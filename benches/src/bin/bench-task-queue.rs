//! What a durable task costs from enqueue to done: throughput of many submitters, latency at half load, claims beside a
//! million finished tasks.

use std::error::Error;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tidemill_measure::{Better, Clock, Rounds, Row, Samples, UnitKind};
use tidemill_task_queue::store::{End, Store};
use tidemill_task_queue::{
    Config, Draft, Event, EventKind, Owner, Sqlite, SqliteConfig, Task, TaskQueue, WorkerConfig,
};
use tokio::runtime::Runtime;

const SUBMITTERS: usize = 64;
const EACH: usize = 100;
const TASKS: usize = SUBMITTERS * EACH;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// A payload of some 200 bytes that does nothing.
#[derive(Serialize, Deserialize)]
struct Nothing {
    n: usize,
    text: String,
}

impl Task for Nothing {
    const NAME: &'static str = "nothing";
    type Output = usize;
}

fn main() -> Outcome<()> {
    let rounds = Rounds::from_args(7).count();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    sqlite(&runtime, rounds)?;
    finished(&runtime, rounds)?;
    Ok(())
}

fn sqlite(runtime: &Runtime, rounds: u32) -> Outcome<()> {
    let (mut rates, mut cpu, mut commits) = (Samples::new(), Samples::new(), Samples::new());
    for round in 0..=rounds {
        let dir = tempfile::tempdir()?;
        let store = open(dir.path())?;
        let mut figures = Ok(Figures::default());
        let used = Clock::ProcessCpu.time(|| figures = runtime.block_on(flood(store)));
        let figures = figures?;
        // The first one warms up.
        if round > 0 {
            rates.push(TASKS as f64 / figures.wall.as_secs_f64());
            cpu.push(used.as_secs_f64() * 1e6 / TASKS as f64);
            commits.push(figures.hard as f64 / TASKS as f64);
        }
    }
    let case = format!("SQLite, {SUBMITTERS} submitters, fsync on, enqueue to done");
    for (rival, goal) in [("apalis-sqlite", 20.0), ("one transaction per step", 2.5)] {
        Row::new("task-queue", &case, "tasks/s", UnitKind::Wall, Better::Higher)
            .rival(rival)
            .goal(goal)
            .ours(&rates)
            .emit()?;
        Row::new("task-queue", &format!("{case}, CPU"), "us", UnitKind::Cpu, Better::Lower)
            .rival(rival)
            .ours(&cpu)
            .emit()?;
    }
    Row::new("task-queue", "SQLite, waits for the disk a task", "fsyncs", UnitKind::Count, Better::Lower)
        .goal(0.1)
        .ours(&commits)
        .emit()?;
    let half = rates.median().unwrap_or(1000.0) / 2.0;
    let mut waits = Samples::new();
    for _ in 0..rounds.min(5) {
        let dir = tempfile::tempdir()?;
        waits.push(runtime.block_on(half_load(open(dir.path())?, half))?);
    }
    Row::new("task-queue", "SQLite, queue latency p99 at half load", "ms", UnitKind::Wall, Better::Lower)
        .goal(50.0)
        .ours(&waits)
        .emit()?;
    Ok(())
}

fn open(dir: &Path) -> Outcome<Arc<dyn Store>> {
    Ok(Arc::new(Sqlite::open(dir.join("tasks.db"), SqliteConfig::default())?))
}

#[derive(Default)]
struct Figures {
    wall: Duration,
    hard: u64,
}

/// Each submitter waits until its task is on disk before the next; the clock stops when all are done and kept so.
async fn flood(store: Arc<dyn Store>) -> Outcome<Figures> {
    let queue = TaskQueue::builder(Config::default(), store, Owner::try_new("bench")?).build()?;
    let left = Arc::new(AtomicU64::new(TASKS as u64));
    let done = Arc::new(tokio::sync::Notify::new());
    let worker = queue
        .worker(WorkerConfig { concurrency: 256, ..WorkerConfig::default() })
        .register({
            let (left, done) = (left.clone(), done.clone());
            move |task: Nothing, _| {
                if left.fetch_sub(1, Ordering::Relaxed) == 1 {
                    done.notify_one();
                }
                std::future::ready(Ok(task.n))
            }
        })
        .start()?;
    let begun = Instant::now();
    let mut submitters = tokio::task::JoinSet::new();
    for _ in 0..SUBMITTERS {
        let queue = queue.clone();
        submitters.spawn(async move {
            for n in 0..EACH {
                queue.enqueue(&Nothing { n, text: "x".repeat(180) }).await?;
            }
            Ok::<_, tidemill_task_queue::Error>(())
        });
    }
    while let Some(submitted) = submitters.join_next().await {
        submitted??;
    }
    done.notified().await;
    worker.close(Duration::from_secs(60)).await;
    let wall = begun.elapsed();
    let stats = queue.stats();
    if stats.total().done != TASKS as u64 {
        return Err(format!("{} of {TASKS} tasks are done", stats.total().done).into());
    }
    queue.close(Duration::from_secs(60)).await;
    Ok(Figures { wall, hard: stats.hard_commits })
}

/// The p99 in milliseconds between the call of `enqueue` and the begin of the task, arrivals at random.
async fn half_load(store: Arc<dyn Store>, per_second: f64) -> Outcome<f64> {
    let waits = Arc::new(Mutex::new(Vec::new()));
    let seen = waits.clone();
    let queue = TaskQueue::builder(Config::default(), store, Owner::try_new("bench")?)
        .on_event(move |event: &Event| {
            if let (EventKind::Started { waited }, Ok(mut seen)) = (&event.kind, seen.lock()) {
                seen.push(waited.as_secs_f64() * 1e3);
            }
        })
        .build()?;
    let worker = queue
        .worker(WorkerConfig { concurrency: 256, ..WorkerConfig::default() })
        .register(|task: Nothing, _| std::future::ready(Ok(task.n)))
        .start()?;
    let count = (per_second * 2.0) as usize;
    let (mut random, mut next) = (0x9E37_79B9_7F4A_7C15_u64, tokio::time::Instant::now());
    let mut submitters = tokio::task::JoinSet::new();
    for n in 0..count {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let uniform = ((random >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
        next += Duration::from_nanos((-uniform.ln() * 1e9 / per_second) as u64);
        if next > tokio::time::Instant::now() {
            tokio::time::sleep_until(next).await;
        }
        let queue = queue.clone();
        submitters.spawn(async move { queue.enqueue(&Nothing { n, text: "x".repeat(180) }).await.map(drop) });
    }
    while let Some(submitted) = submitters.join_next().await {
        submitted??;
    }
    while queue.stats().total().done < count as u64 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    worker.close(Duration::from_secs(60)).await;
    queue.close(Duration::from_secs(60)).await;
    let waits: Samples = waits.lock().map_err(|_| "poisoned")?.iter().copied().collect();
    waits.quantile(0.99).ok_or_else(|| "no task ran".into())
}

/// CPU of a claim of 32 and its ends, in a fresh file and beside a million finished tasks.
fn finished(runtime: &Runtime, rounds: u32) -> Outcome<()> {
    const MILLION: u64 = 1_000_000;
    let (empty, full) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let stores = [open(empty.path())?, open(full.path())?];
    let file = rusqlite::Connection::open(full.path().join("tasks.db"))?;
    file.execute_batch(&format!(
        "BEGIN; WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < {MILLION}) \
         INSERT INTO tq_done (id, state, finished_at, queue, name, version, priority, run_at, attempt, max_retries, \
         timeout_ms, cancel, enqueued_at, token, payload, result) SELECT id, 3, {}, 'default', 'nothing', 1, 1, 0, 1, 3, \
         300000, 0, 0, 1, printf('%.180c', 'x'), '1' FROM n; UPDATE tq_next SET id = {}; COMMIT;",
        tidemill_task_queue::Timestamp::now().0,
        MILLION + 1,
    ))?;
    let queues = runtime.block_on(async {
        stores
            .into_iter()
            .map(|store| TaskQueue::builder(Config::default(), store, Owner::try_new("bench")?).build())
            .collect::<Result<Vec<_>, _>>()
    })?;
    let mut failed = None;
    let mut cycle = |queue: &TaskQueue| {
        let work = async {
            for _ in 0..20 {
                let drafts = (0..32).map(|_| Draft::raw("nothing", 1, "1")).collect();
                queue.submit_all(drafts).await?;
                let tasks =
                    queue.take(&["default"], 32, Duration::from_secs(60), Duration::from_secs(5)).await?;
                let ends = tasks.iter().map(|task| queue.settle(task, End::Done("1".into())));
                for end in ends.collect::<Vec<_>>() {
                    end.await?;
                }
            }
            Ok::<_, tidemill_task_queue::Error>(())
        };
        failed = failed.take().or(runtime.block_on(work).err());
    };
    let cycle = std::cell::RefCell::new(&mut cycle);
    let (full, empty) = Rounds::new(rounds).clock(Clock::ProcessCpu).pair(
        640,
        || cycle.borrow_mut()(&queues[1]),
        || cycle.borrow_mut()(&queues[0]),
    );
    if let Some(error) = failed {
        return Err(error.into());
    }
    Row::new(
        "task-queue",
        "SQLite, a task beside a million finished ones",
        "us",
        UnitKind::Cpu,
        Better::Lower,
    )
    .rival("an empty file")
    .goal(1.2)
    .ours(&full.scaled(1e-3))
    .theirs(&empty.scaled(1e-3))
    .emit()?;
    Ok(())
}
