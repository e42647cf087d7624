//! What others' durable queues cost: apalis-sqlite, and SQLite with one transaction a step. The loop over PostgreSQL's
//! `SKIP LOCKED` needs no crate of theirs and stands in `bench-task-queue`, which measures both in turns.

use std::error::Error;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use apalis::prelude::*;
use apalis_sqlite::{Config, SqliteConnectOptions, SqlitePoolOptions, SqliteStorage};
use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};
use tidemill_measure::{Better, Clock, Rounds, Row, Samples, UnitKind};
use tokio::runtime::Runtime;
use tokio::sync::Notify;

const SUBMITTERS: usize = 64;
const WORKERS: usize = 64;
/// Fewer than ours, whose rate is reached with 6400: both are rates, and these take longer.
const EACH: usize = 20;
const TASKS: usize = SUBMITTERS * EACH;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Nothing {
    n: usize,
    text: String,
}

/// A way to bring all tasks from enqueue to done, in a folder of its own.
type Way = fn(&Runtime, &Path) -> Outcome<Duration>;

fn main() -> Outcome<()> {
    let rounds = Rounds::from_args(5).count();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let case = format!("SQLite, {SUBMITTERS} submitters, fsync on, enqueue to done");
    let ways: [(&str, Way); 3] = [
        ("apalis-sqlite", |runtime, dir| runtime.block_on(apalis(dir, "FULL"))),
        ("apalis-sqlite that waits for no disk", |runtime, dir| runtime.block_on(apalis(dir, "OFF"))),
        ("one transaction per step", steps),
    ];
    for (rival, way) in ways {
        let (mut rates, mut cpu) = (Samples::new(), Samples::new());
        for round in 0..=rounds {
            let dir = tempfile::tempdir()?;
            let mut wall = Ok(Duration::ZERO);
            let used = Clock::ProcessCpu.time(|| wall = way(&runtime, dir.path()));
            let wall = wall?;
            // The first one warms up.
            if round > 0 {
                rates.push(TASKS as f64 / wall.as_secs_f64());
                cpu.push(used.as_secs_f64() * 1e6 / TASKS as f64);
            }
        }
        Row::new("task-queue", &case, "tasks/s", UnitKind::Wall, Better::Higher)
            .rival(rival)
            .theirs(&rates)
            .emit()?;
        Row::new("task-queue", &format!("{case}, CPU"), "us", UnitKind::Cpu, Better::Lower)
            .rival(rival)
            .theirs(&cpu)
            .emit()?;
    }
    Ok(())
}

/// Its worker looks for work when it begins and then with its heartbeat, every 30 s; so it is told to look every
/// millisecond, which is faster than its hook into the connection. Its own setup says `synchronous = OFF` to one
/// connection of the pool, so the pool that works is another one, and all of its connections are told the same.
async fn apalis(dir: &Path, synchronous: &'static str) -> Outcome<Duration> {
    let file = SqliteConnectOptions::new().filename(dir.join("apalis.db")).create_if_missing(true);
    let setup = SqlitePoolOptions::new().connect_with(file.clone()).await?;
    SqliteStorage::setup(&setup).await?;
    setup.close().await;
    let pool = SqlitePoolOptions::new().connect_with(file.pragma("synchronous", synchronous)).await?;
    let config = Config::default().queue("bench").batch_size(200);
    let storage: SqliteStorage<Nothing> = SqliteStorage::new(&pool).with_config(config);
    static LEFT: AtomicU64 = AtomicU64::new(0);
    static DONE: Notify = Notify::const_new();
    LEFT.store(TASKS as u64, Ordering::SeqCst);
    async fn run(_task: Nothing) -> Result<(), BoxDynError> {
        if LEFT.fetch_sub(1, Ordering::SeqCst) == 1 {
            DONE.notify_one();
        }
        Ok(())
    }
    let polled = storage.clone().poll_with_interval(Duration::from_millis(1));
    let worker = WorkerBuilder::new("bench").backend(polled).concurrency(WORKERS).build(run);
    let begun = Instant::now();
    let mut worker = tokio::spawn(async move { worker.run().await });
    let mut submitters = tokio::task::JoinSet::new();
    for _ in 0..SUBMITTERS {
        let mut storage = storage.clone();
        submitters.spawn(async move {
            for n in 0..EACH {
                storage.push(Nothing { n, text: "x".repeat(180) }).await?;
            }
            Ok::<_, BoxDynError>(())
        });
    }
    while let Some(submitted) = submitters.join_next().await {
        submitted??;
    }
    tokio::select! {
        () = DONE.notified() => {}
        ended = &mut worker => {
            ended??;
            return Err("its worker ended before its tasks".into());
        }
        () = tokio::time::sleep(Duration::from_secs(120)) => {
            return Err(format!("{} tasks are not done after two minutes", LEFT.load(Ordering::SeqCst)).into());
        }
    }
    let wall = begun.elapsed();
    worker.abort();
    _ = worker.await;
    pool.close().await;
    Ok(wall)
}

/// What one writes by hand: a table, a connection behind a mutex, a transaction for the enqueue, for the claim, for the end.
fn steps(runtime: &Runtime, dir: &Path) -> Outcome<Duration> {
    let connection = Connection::open(dir.join("steps.db"))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.execute_batch(
        "CREATE TABLE task (id INTEGER PRIMARY KEY, state INTEGER NOT NULL, priority INTEGER NOT NULL, \
         run_at INTEGER NOT NULL, attempt INTEGER NOT NULL, lease_until INTEGER, payload TEXT NOT NULL, result TEXT); \
         CREATE INDEX ready ON task (priority, run_at, id) WHERE state = 0;",
    )?;
    let connection = Arc::new(Mutex::new(connection));
    runtime.block_on(async move {
        let begun = Instant::now();
        let left = Arc::new(AtomicU64::new(TASKS as u64));
        let mut all = tokio::task::JoinSet::new();
        for _ in 0..SUBMITTERS {
            let connection = connection.clone();
            all.spawn(async move {
                for _ in 0..EACH {
                    with(connection.clone(), enqueue).await?;
                }
                Ok::<_, Box<dyn Error + Send + Sync>>(())
            });
        }
        for _ in 0..4 {
            let (connection, left) = (connection.clone(), left.clone());
            all.spawn(async move {
                while left.load(Ordering::SeqCst) > 0 {
                    match with(connection.clone(), claim).await? {
                        Some(id) => {
                            let connection = connection.clone();
                            tokio::task::spawn_blocking(move || match connection.lock() {
                                Ok(connection) => {
                                    end(&connection, id).map_err(Box::<dyn Error + Send + Sync>::from)
                                }
                                Err(_) => Err("poisoned".into()),
                            })
                            .await??;
                            left.fetch_sub(1, Ordering::SeqCst);
                        }
                        None => tokio::time::sleep(Duration::from_millis(1)).await,
                    }
                }
                Ok(())
            });
        }
        while let Some(done) = all.join_next().await {
            done??;
        }
        Ok(begun.elapsed())
    })
}

async fn with(
    connection: Arc<Mutex<Connection>>,
    work: fn(&Connection) -> rusqlite::Result<Option<i64>>,
) -> Outcome<Option<i64>> {
    tokio::task::spawn_blocking(move || -> Outcome<Option<i64>> {
        let Ok(connection) = connection.lock() else { return Err("poisoned".into()) };
        Ok(work(&connection)?)
    })
    .await?
}

fn enqueue(sql: &Connection) -> rusqlite::Result<Option<i64>> {
    sql.prepare_cached(
        "INSERT INTO task (state, priority, run_at, attempt, payload) VALUES (0, 1, 0, 0, ?1)",
    )?
    .execute([format!("{{\"n\":1,\"text\":\"{}\"}}", "x".repeat(180))])?;
    Ok(None)
}

fn claim(sql: &Connection) -> rusqlite::Result<Option<i64>> {
    sql.prepare_cached(
        "UPDATE task SET state = 2, lease_until = ?1, attempt = attempt + 1 WHERE id = (SELECT id FROM task \
         WHERE state = 0 ORDER BY priority, run_at, id LIMIT 1) RETURNING id",
    )?
    .query_row([1], |row| row.get(0))
    .optional()
}

fn end(sql: &Connection, id: i64) -> rusqlite::Result<()> {
    sql.prepare_cached("UPDATE task SET state = 3, result = '1' WHERE id = ?1 AND state = 2")?
        .execute(params![id])?;
    Ok(())
}
