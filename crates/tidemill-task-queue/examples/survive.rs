//! A task that outlives its process: the first life enqueues and is gone, the second runs what it finds.
//!
//! `cargo run -p tidemill-task-queue --example survive --features sqlite`

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidemill_task_queue::{
    Config, Context, Error, Owner, Sqlite, SqliteConfig, Task, TaskError, TaskId, TaskQueue, WorkerConfig,
};

#[derive(Serialize, Deserialize)]
struct Letter {
    to: String,
}

impl Task for Letter {
    const NAME: &'static str = "letter";
    type Output = String;
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let file = std::env::temp_dir().join(format!("tidemill-survive-{}.db", std::process::id()));
    let id = first_life(&file).await?;
    second_life(&file, id).await?;
    for end in ["", "-wal", "-shm"] {
        _ = std::fs::remove_file(format!("{}{end}", file.display()));
    }
    Ok(())
}

fn open(file: &Path, life: &str) -> Result<TaskQueue, Error> {
    let store = Arc::new(Sqlite::open(file, SqliteConfig::default())?);
    TaskQueue::builder(Config::default(), store, Owner::try_new(life)?).build()
}

async fn first_life(file: &Path) -> Result<TaskId, Error> {
    let queue = open(file, "first life")?;
    let id = queue.enqueue(&Letter { to: "Ada".into() }).await?.id();
    println!("first life: task {id} is on disk, and nobody is here to run it");
    Ok(id)
}

async fn second_life(file: &Path, id: TaskId) -> Result<(), Error> {
    let queue = open(file, "second life")?;
    let worker = queue
        .worker(WorkerConfig::default())
        .register(|letter: Letter, context: Context| async move {
            if context.attempt() == 1 {
                return Err(TaskError::retry_after("the post office is closed", Duration::from_millis(50)));
            }
            Ok(format!("sent to {} with key {}", letter.to, context.idempotency_key()))
        })
        .start()?;
    let text = queue.handle::<Letter>(id).result(Duration::from_secs(60)).await?;
    let record = queue.get(id).await?;
    let failures = record.map(|record| record.failures).unwrap_or_default();
    println!("second life: {text}");
    println!("second life: before that: {:?}", failures.iter().map(|one| &one.error).collect::<Vec<_>>());
    worker.close(Duration::from_secs(10)).await;
    queue.close(Duration::from_secs(10)).await;
    Ok(())
}
