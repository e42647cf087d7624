//! Durable background tasks: one committer groups all callers into one transaction; SQLite or PostgreSQL.

mod clock;
mod committer;
mod config;
mod context;
mod error;
mod event;
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

pub use clock::Clock;
pub use config::{Config, WorkerConfig};
pub use context::Context;
pub use error::{Error, ErrorKind, TaskError};
pub use event::{Event, EventKind};
pub use id::{MAX_NAME, Owner, TaskId, Token};
pub use limit::{Limit, Rate};
pub use memory::Memory;
#[cfg(feature = "postgres")]
pub use postgres::{Postgres, PostgresConfig};
pub use priority::Priority;
pub use queue::{Builder, Handle, TaskQueue};
pub use record::{Failure, Filter, MAX_FAILURES, MAX_TEXT, Progress, Record, State};
pub use retry::Backoff;
pub use schedule::{MarketHours, Missed, Moment, Schedule, Scheduled, Scheduler, Schedules, When};
#[cfg(feature = "sqlite")]
pub use sqlite::{Sqlite, SqliteConfig};
pub use stats::{Counts, MAX_QUEUES, Stats};
pub use store::{Overview, Placed, Store};
pub use task::{Draft, Options, Task};
pub use timestamp::Timestamp;
pub use worker::{Builder as WorkerBuilder, Report, Worker};
