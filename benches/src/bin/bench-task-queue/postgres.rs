//! PostgreSQL: 32 callers, one with 32 tasks at once, and one that takes each step by hand, beside a loop that one writes by hand,
//! in turns within one run.

use std::sync::Arc;
use std::time::Instant;

use tidemill_measure::{Better, Row, Samples, UnitKind};
use tidemill_task_queue::store::Store;
use tidemill_task_queue::{Postgres, PostgresConfig};
use tokio::runtime::Runtime;

use crate::Outcome;
use crate::latency::{self, HalfLoad};
use crate::load::{TASKS, cycle, flood, queue};
use crate::skip_locked::Loop;

/// Tasks of a batch.
const BATCH: usize = 32;

pub(crate) fn measure(runtime: &Runtime, address: &str, rounds: u32) -> Outcome<()> {
    let looped = runtime.block_on(Loop::new(address))?;
    let address = runtime.block_on(fresh_schema(address))?;
    let connect = || runtime.block_on(Postgres::connect(&address, PostgresConfig::default()));
    let store: Arc<dyn Store> = Arc::new(connect()?);
    let cycled = runtime.block_on(async { queue(store.clone()) })?;
    let rate = |tasks: usize, begun: Instant| tasks as f64 / begun.elapsed().as_secs_f64();
    let (mut callers, mut lists, mut caller) = (Samples::new(), Samples::new(), Samples::new());
    let (mut batches, mut singles) = (Samples::new(), Samples::new());
    // The first round warms up; who begins a round changes.
    for round in 0..=rounds {
        for turn in 0..5 {
            let begun = Instant::now();
            let (rate, of) = match (round + turn) % 5 {
                0 => (rate(looped.cycles(BATCH, 100, runtime)?, begun), &mut batches),
                1 => {
                    runtime.block_on(flood(store.clone(), BATCH, 1))?;
                    (rate(TASKS, begun), &mut callers)
                }
                2 => (rate(looped.cycles(1, 200, runtime)?, begun), &mut singles),
                3 => {
                    runtime.block_on(flood(store.clone(), 1, BATCH))?;
                    (rate(TASKS, begun), &mut lists)
                }
                _ => {
                    runtime.block_on(cycle(&cycled, 100))?;
                    (rate(100 * BATCH, begun), &mut caller)
                }
            };
            if round > 0 {
                of.push(rate);
            }
        }
    }
    runtime.block_on(looped.close())?;
    let case = "PostgreSQL, batches of 32, enqueue to done";
    let row = |case: &str, rival: &str, ours: &Samples, theirs: &Samples, goal: f64| {
        let row = Row::new("task-queue", case, "tasks/s", UnitKind::Wall, Better::Higher);
        row.rival(rival).goal(goal).ours(ours).theirs(theirs).emit()
    };
    let listed = format!("{case}, one caller, 32 tasks at once");
    let alone = format!("{case}, one caller, each step by hand after the other");
    for (rival, goal, theirs) in [
        ("a SKIP LOCKED loop, 32 at a time", 1.0, &batches),
        ("a SKIP LOCKED loop, one at a time", 10.0, &singles),
    ] {
        row(case, rival, &callers, theirs, goal)?;
        row(&listed, rival, &lists, theirs, goal)?;
        row(&alone, rival, &caller, theirs, goal)?;
    }
    let half = callers.median().unwrap_or(1000.0) / 2.0;
    let mut half_load = HalfLoad::default();
    for _ in 0..rounds.min(5) {
        let (here, there) = (Arc::new(connect()?), Arc::new(connect()?));
        let figures = runtime.block_on(async { latency::at_rate(&queue(here)?, &queue(there)?, half).await });
        half_load.push(&figures?);
    }
    half_load.emit("PostgreSQL", 20.0)
}

/// Where no run before has left anything, as the loop has it.
async fn fresh_schema(address: &str) -> Outcome<String> {
    let (client, connection) = tokio_postgres::connect(address, tokio_postgres::NoTls).await?;
    drop(tokio::spawn(connection));
    client.batch_execute("DROP SCHEMA IF EXISTS bench CASCADE; CREATE SCHEMA bench").await?;
    Ok(format!("{address} options='-c search_path=bench'"))
}
