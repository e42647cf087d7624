//! What is asked of a queue: a payload that does nothing, many submitters, one caller step by step.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tidemill_task_queue::store::{End, Store};
use tidemill_task_queue::{Config, Draft, Owner, Task, TaskQueue, WorkerConfig};

use crate::Outcome;

pub(crate) const SUBMITTERS: usize = 64;
const EACH: usize = 100;
pub(crate) const TASKS: usize = SUBMITTERS * EACH;

/// A payload of some 200 bytes that does nothing.
#[derive(Serialize, Deserialize)]
pub(crate) struct Nothing {
    pub(crate) n: usize,
    pub(crate) text: String,
}

impl Task for Nothing {
    const NAME: &'static str = "nothing";
    type Output = usize;
}

pub(crate) fn queue(store: Arc<dyn Store>) -> Outcome<TaskQueue> {
    Ok(TaskQueue::builder(Config::default(), store, Owner::try_new("bench")?).build()?)
}

#[derive(Default)]
pub(crate) struct Figures {
    pub(crate) wall: Duration,
    pub(crate) hard: u64,
}

/// Each submitter waits until its task, or so many at once, are on disk before the next; the clock stops when all are done and
/// kept so.
pub(crate) async fn flood(store: Arc<dyn Store>, callers: usize, at_once: usize) -> Outcome<Figures> {
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
            for n in 0..TASKS / callers / at_once {
                let task = Nothing { n, text: "x".repeat(180) };
                if at_once == 1 {
                    queue.enqueue(&task).await?;
                } else {
                    let drafts = (0..at_once).map(|_| Draft::of(&task)).collect::<Result<_, _>>()?;
                    queue.submit_all(drafts).await?;
                }
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
pub(crate) async fn cycle(queue: &TaskQueue, times: usize) -> Outcome<()> {
    for _ in 0..times {
        let payload = format!(r#"{{"n":1,"text":"{}"}}"#, "x".repeat(180));
        let drafts = (0..32).map(|_| Draft::raw("nothing", 1, payload.clone())).collect();
        queue.submit_all(drafts).await?;
        let tasks = queue.take(&["default"], 32, Duration::from_secs(60), Duration::from_secs(5)).await?;
        if tasks.len() != 32 {
            return Err(format!("{} tasks instead of 32", tasks.len()).into());
        }
        let ends = tasks.into_iter().map(|task| (task, End::Done("1".into()))).collect();
        queue.settle_all(ends).await?.into_iter().collect::<Result<(), _>>()?;
    }
    Ok(())
}
