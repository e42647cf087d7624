//! What a durable task costs from enqueue to done: throughput of many submitters, latency at half load, claims beside a
//! million finished tasks. PostgreSQL is measured where `TIDEMILL_TEST_POSTGRES` holds a connection string.

#![expect(clippy::print_stdout, reason = "a benchmark says what it leaves out")]

mod latency;
mod load;
mod postgres;
mod skip_locked;

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use tidemill_measure::{Better, Clock, Rounds, Row, Samples, UnitKind};
use tidemill_task_queue::store::Store;
use tidemill_task_queue::{Sqlite, SqliteConfig, TaskQueue};
use tokio::runtime::Runtime;

use latency::HalfLoad;
use load::{Figures, SUBMITTERS, TASKS, cycle, flood, queue};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Outcome<()> {
    let rounds = Rounds::from_args(7).count();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    sqlite(&runtime, rounds)?;
    finished(&runtime, rounds)?;
    match std::env::var("TIDEMILL_TEST_POSTGRES") {
        Ok(address) => postgres::measure(&runtime, &address, rounds)?,
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
        let used = Clock::ProcessCpu.time(|| figures = runtime.block_on(flood(store, SUBMITTERS, 1)));
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

fn open(dir: &Path) -> Outcome<Arc<dyn Store>> {
    Ok(Arc::new(Sqlite::open(dir.join("tasks.db"), SqliteConfig::default())?))
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
