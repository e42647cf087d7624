//! What the tests share: stores in a temporary folder, a task or two, queues with quick settings.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tidemill_task_queue::{
    Backoff, Config, Memory, Options, Owner, Sqlite, SqliteConfig, Store, Task, TaskQueue, WorkerConfig,
};

pub(crate) const LONG: Duration = Duration::from_secs(30);

/// Adds two numbers, or does what it is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Add(pub(crate) u32, pub(crate) u32);

impl Task for Add {
    const NAME: &'static str = "add";
    type Output = u32;
    fn options() -> Options {
        Options { backoff: Backoff::NONE, ..Options::default() }
    }
}

pub(crate) fn stores(dir: &TempDir) -> Vec<(&'static str, Arc<dyn Store>)> {
    vec![("memory", Arc::new(Memory::default())), ("sqlite", sqlite(dir))]
}

pub(crate) fn sqlite(dir: &TempDir) -> Arc<dyn Store> {
    Arc::new(Sqlite::open(dir.path().join("tasks.db"), SqliteConfig::default()).unwrap())
}

pub(crate) fn config() -> Config {
    Config {
        sweep: Duration::from_millis(20),
        poll: Duration::from_millis(5),
        patience: Duration::from_secs(30),
        ..Config::default()
    }
}

pub(crate) fn queue(store: Arc<dyn Store>, owner: &str) -> TaskQueue {
    TaskQueue::builder(config(), store, Owner::try_new(owner).unwrap()).build().unwrap()
}

pub(crate) fn worker() -> WorkerConfig {
    WorkerConfig { lease: Duration::from_secs(5), ..WorkerConfig::default() }
}
