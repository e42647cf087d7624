//! What a durable task costs from enqueue to done: throughput of many submitters, latency at half load, claims beside a
//! million finished tasks. PostgreSQL is measured where `TIDEMILL_TEST_POSTGRES` holds a connection string.

#![expect(clippy::print_stdout, reason = "a benchmark says what it leaves out")]

mod latency;

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tidemill_measure::{Better, Clock, Rounds, Row, Samples, UnitKind};
use tidemill_task_queue::store::{End, Store};
use tidemill_task_queue::{
    Config, Draft, Owner, Postgres, PostgresConfig, Sqlite, SqliteConfig, Task, TaskQueue, WorkerConfig,
};
use tokio::runtime::Runtime;

use latency::Latency;

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
    match std::env::var("TIDEMILL_TEST_POSTGRES") {
        Ok(address) => postgres(&runtime, &address, rounds)?,
        Err(_) => println!("PostgreSQL is not measured: TIDEMILL_TEST_POSTGRES holds no connection string"),
    }
    Ok(())
}

fn sqlite(runtime: &Runtime, rounds: u32) -> Outcome<()> {
    let (mut rates, mut cpu, mut commits) = (Samples::new(), Samples::new(), Samples::new());
    for round in 0..=rounds {
        let dir = tempfile::tempdir()?;
        let store = open(dir.path())?;
        let mut figures = Ok(Figures::default());
        let used = Clock::ProcessCpu.time(|| figures = runtime.block_on(flood(store, SUBMITTERS)));
        let figures = figures?;
        // The first one warms up.
        if round > 0 {
            rates.push(TASKS as f64 / figures.wall.as_secs_f64());
            cpu.push(used.as_secs_f64() * 1e6 / TASKS as f64);
            commits.push(figures.hard as f64 / TASKS as f64);
        }
    }
    let case = format!("SQLite, {SUBMITTERS} submitters, fsync on, enqueue to done");
    let rivals = [
        ("apalis-sqlite", Some(20.0)),
        ("apalis-sqlite that waits for no disk", None),
        ("one transaction per step", Some(2.5)),
    ];
    for (rival, goal) in rivals {
        let row = Row::new("task-queue", &case, "tasks/s", UnitKind::Wall, Better::Higher).rival(rival);
        goal.map_or(row.clone(), |goal| row.goal(goal)).ours(&rates).emit()?;
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
    let mut half_load = HalfLoad::default();
    for _ in 0..rounds.min(5) {
        let dir = tempfile::tempdir()?;
        let figures = runtime.block_on(async {
            let queue = queue(open(dir.path())?)?;
            latency::at_rate(&queue, &queue, half).await
        });
        half_load.push(&figures?);
    }
    half_load.emit("SQLite", 50.0)
}

/// One round after the other.
#[derive(Default)]
struct HalfLoad {
    all: Samples,
    undisturbed: Samples,
    machine: Samples,
}

impl HalfLoad {
    fn push(&mut self, figures: &Latency) {
        self.all.push(figures.all);
        self.undisturbed.push(figures.undisturbed);
        self.machine.push(figures.machine);
    }

    fn emit(&self, store: &str, goal: f64) -> Outcome<()> {
        let row = |what: &str| {
            let case = format!("{store}, half load, {what}");
            Row::new("task-queue", &case, "ms", UnitKind::Wall, Better::Lower)
        };
        row("p99 of the queue latency").goal(goal).ours(&self.all).emit()?;
        row("the same of tasks that met no stall of the machine")
            .goal(goal)
            .ours(&self.undisturbed)
            .emit()?;
        row("p99 of a sleeping thread meanwhile").ours(&self.machine).emit()?;
        Ok(())
    }
}

fn postgres(runtime: &Runtime, address: &str, rounds: u32) -> Outcome<()> {
    let address = runtime.block_on(fresh_schema(address))?;
    let connect = || runtime.block_on(Postgres::connect(&address, PostgresConfig::default()));
    let store: Arc<dyn Store> = Arc::new(connect()?);
    let mut cycles = Samples::new();
    let cycled = runtime.block_on(async { queue(store.clone()) })?;
    for round in 0..=rounds {
        const CYCLES: usize = 40;
        let begun = Instant::now();
        runtime.block_on(cycle(&cycled, CYCLES))?;
        if round > 0 {
            cycles.push((CYCLES * 32) as f64 / begun.elapsed().as_secs_f64());
        }
    }
    let mut rates = Samples::new();
    for round in 0..=rounds {
        let figures = runtime.block_on(flood(store.clone(), 32))?;
        if round > 0 {
            rates.push(TASKS as f64 / figures.wall.as_secs_f64());
        }
    }
    let rivals = [("a SKIP LOCKED loop, 32 at a time", 1.0), ("a SKIP LOCKED loop, one at a time", 10.0)];
    let case = "PostgreSQL, batches of 32, enqueue to done";
    for (rival, goal) in rivals {
        let row =
            |case: &str| Row::new("task-queue", case, "tasks/s", UnitKind::Wall, Better::Higher).rival(rival);
        row(case).goal(goal).ours(&rates).emit()?;
        row(&format!("{case}, one caller, each step after the other")).ours(&cycles).emit()?;
    }
    let half = rates.median().unwrap_or(1000.0) / 2.0;
    let mut half_load = HalfLoad::default();
    for _ in 0..rounds.min(5) {
        let (here, there) = (Arc::new(connect()?), Arc::new(connect()?));
        let figures = runtime.block_on(async { latency::at_rate(&queue(here)?, &queue(there)?, half).await });
        half_load.push(&figures?);
    }
    half_load.emit("PostgreSQL", 20.0)
}

/// Where no run before has left anything, as the rival has it.
async fn fresh_schema(address: &str) -> Outcome<String> {
    let (client, connection) = tokio_postgres::connect(address, tokio_postgres::NoTls).await?;
    drop(tokio::spawn(connection));
    client.batch_execute("DROP SCHEMA IF EXISTS bench CASCADE; CREATE SCHEMA bench").await?;
    Ok(format!("{address} options='-c search_path=bench'"))
}

fn queue(store: Arc<dyn Store>) -> Outcome<TaskQueue> {
    Ok(TaskQueue::builder(Config::default(), store, Owner::try_new("bench")?).build()?)
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
async fn flood(store: Arc<dyn Store>, callers: usize) -> Outcome<Figures> {
    let queue = queue(store)?;
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
    for _ in 0..callers {
        let queue = queue.clone();
        submitters.spawn(async move {
            for n in 0..TASKS / callers {
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

/// So many times 32 tasks kept, claimed and ended, each step before the next.
async fn cycle(queue: &TaskQueue, times: usize) -> Outcome<()> {
    for _ in 0..times {
        let payload = format!(r#"{{"n":1,"text":"{}"}}"#, "x".repeat(180));
        let drafts = (0..32).map(|_| Draft::raw("nothing", 1, payload.clone())).collect();
        queue.submit_all(drafts).await?;
        let tasks = queue.take(&["default"], 32, Duration::from_secs(60), Duration::from_secs(5)).await?;
        if tasks.len() != 32 {
            return Err(format!("{} tasks instead of 32", tasks.len()).into());
        }
        let ends = tasks.iter().map(|task| queue.settle(task, End::Done("1".into())));
        futures_util::future::try_join_all(ends).await?;
    }
    Ok(())
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
    let queues = runtime.block_on(async { stores.into_iter().map(queue).collect::<Outcome<Vec<_>>>() })?;
    let mut failed = None;
    let mut turn = |queue: &TaskQueue| failed = failed.take().or(runtime.block_on(cycle(queue, 20)).err());
    let turn = std::cell::RefCell::new(&mut turn);
    let (full, empty) = Rounds::new(rounds).clock(Clock::ProcessCpu).pair(
        640,
        || turn.borrow_mut()(&queues[1]),
        || turn.borrow_mut()(&queues[0]),
    );
    if let Some(error) = failed {
        return Err(error);
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
