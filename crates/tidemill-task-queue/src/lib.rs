//! Durable background tasks: one committer groups all callers into one transaction; SQLite or PostgreSQL.
//!
//! ```
//! use std::{sync::Arc, time::Duration};
//! use serde::{Deserialize, Serialize};
//! use tidemill_task_queue::{Config, Context, Memory, Owner, Task, TaskQueue, WorkerConfig};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Report { account: u32 }
//!
//! impl Task for Report {
//!     const NAME: &'static str = "report";
//!     type Output = String;
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), tidemill_task_queue::Error> {
//! let store = Arc::new(Memory::default()); // or Sqlite::open, or Postgres::connect
//! let queue = TaskQueue::builder(Config::default(), store, Owner::try_new("host-1 4711")?).build()?;
//! let worker = queue
//!     .worker(WorkerConfig::default())
//!     .register(|report: Report, context: Context| async move {
//!         context.progress(0.5, "reading");
//!         Ok(format!("account {}", report.account))
//!     })
//!     .start()?;
//!
//! let handle = queue.enqueue(&Report { account: 7 }).await?; // kept; handle.id() is its id for ever
//! assert_eq!(handle.result(Duration::from_secs(60)).await?, "account 7");
//! assert!(worker.close(Duration::from_secs(10)).await.is_complete());
//! # Ok(()) }
//! ```
//!
//! # What is promised
//! - What [`enqueue`](TaskQueue::enqueue) returned for is kept, whatever dies next, and runs **at least once**.
//! - Of the runs of a task, only the newest can end it. A late end is refused and counted; what the run did outside may
//!   have been done twice, so hand on [`Context::idempotency_key`] or [`Context::token`].
//! - A task ends done, dead or cancelled, and is kept so for a while; a dead one can be [replayed](TaskQueue::replay).
//!
//! # What is where
//! - [`Task`], or the attribute `task` (feature `macros`): declared once. [`Draft`]: what is special about one of them.
//! - [`TaskQueue`]: enqueue, look, wait, cancel, replay, pause, cap groups, check. [`Worker`]: runs. [`Schedules`]: comes again.
//! - [`Memory`]; `Sqlite` (feature `sqlite`) for the processes of a machine; `Postgres` (feature `postgres`) for machines.
//! - `http` (feature `http`): the API for those who are not written in Rust.
//! - [`store`] for a place of your own, judged by [`conformance`]; [`rules`] for the decisions alone.
//!
//! # Bounds
//! Names 128 bytes, payload and result 64 KiB ([`Config`]), 16 failures of 2 KiB a task, 512 operations a transaction,
//! 10 000 that wait, 10 000 schedules. It starts one tokio task for a queue, one for a worker, one for each running task.

mod clock;
mod committer;
mod config;
pub mod conformance;
mod context;
mod error;
mod event;
mod handle;
#[cfg(feature = "http")]
pub mod http;
mod id;
mod limit;
mod memory;
mod panic;
#[cfg(feature = "postgres")]
mod postgres;
mod priority;
mod queue;
mod record;
mod retry;
pub mod rules;
mod schedule;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod schema;
#[cfg(feature = "sqlite")]
mod sqlite;
mod stats;
pub mod store;
mod task;
mod timestamp;
mod worker;

#[doc(hidden)]
pub use serde;

pub use clock::Clock;
pub use config::{Config, WorkerConfig};
pub use context::Context;
pub use error::{Error, ErrorKind, TaskError};
pub use event::{Event, EventKind};
pub use handle::Handle;
pub use id::{MAX_NAME, Owner, TaskId, Token};
pub use limit::{Limit, Rate};
pub use memory::Memory;
#[cfg(feature = "postgres")]
pub use postgres::{Postgres, PostgresConfig};
pub use priority::Priority;
pub use queue::{Builder, TaskQueue};
pub use record::{Failure, Filter, MAX_FAILURES, MAX_TEXT, Progress, Record, State};
pub use retry::Backoff;
pub use schedule::{MarketHours, Missed, Moment, Schedule, Scheduled, Scheduler, Schedules, When};
#[cfg(feature = "sqlite")]
pub use sqlite::{Sqlite, SqliteConfig};
pub use stats::{Counts, MAX_QUEUES, Stats};
pub use store::{Overview, Placed, Store};
pub use task::{Draft, Options, Task, TaskResult};
#[cfg(feature = "macros")]
pub use tidemill_task_queue_macros::task;
pub use timestamp::Timestamp;
pub use worker::{Builder as WorkerBuilder, Report, Worker};
