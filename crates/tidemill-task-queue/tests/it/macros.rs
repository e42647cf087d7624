//! The attribute: a function becomes a task with its settings.

use std::time::Duration;

use tempfile::tempdir;
use tidemill_task_queue::{Context, Options, Priority, Task, TaskError, task};

use crate::stage::{LONG, queue, sqlite, worker};

/// Joins words.
#[task(
    name = "join",
    queue = "words",
    priority = "high",
    max_retries = 5,
    timeout = "30s",
    unique = "left",
    group = "right"
)]
async fn join_words(context: Context, left: String, right: String) -> Result<String, TaskError> {
    Ok(format!("{left} {right} {}", context.attempt()))
}

#[task]
async fn plain(_: Context) -> Result<(), TaskError> {
    Ok(())
}

#[tokio::test]
async fn calling_it_makes_a_task_and_enqueueing_returns_its_id_at_once() {
    let dir = tempdir().unwrap();
    let queue = queue(sqlite(&dir), "one");
    let first = queue.enqueue(&join_words("a".into(), "b".into())).await.unwrap();
    let same = queue.enqueue(&join_words("a".into(), "c".into())).await.unwrap();
    assert_eq!(first.id(), same.id(), "one with this unique key waits");
    let config =
        tidemill_task_queue::WorkerConfig { queues: vec!["words".into(), "default".into()], ..worker() };
    let work = queue.worker(config).register(JoinWords::run).register(Plain::run).start().unwrap();
    assert_eq!(first.result(LONG).await.unwrap(), "a b 1");
    queue.enqueue(&plain()).await.unwrap().result(LONG).await.unwrap();
    work.close(LONG).await;
}

#[test]
fn the_settings_are_kept() {
    let (name, options) = (JoinWords::NAME, JoinWords::options());
    assert_eq!((name, options.queue.as_str(), options.priority), ("join", "words", Priority::High));
    assert_eq!((options.max_retries, options.timeout), (5, Duration::from_secs(30)));
    assert_eq!(join_words("a".into(), "b".into()).group().as_deref(), Some("b"));
    assert_eq!((Plain::NAME, Plain::VERSION, Plain::options()), ("plain", 1, Options::default()));
}
