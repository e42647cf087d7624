//! A bounded worker pool with priorities, timeouts, retries and a drain, on tokio alone.
//!
//! ```
//! use std::time::Duration;
//! use tidemill_worker_pool::{Config, Job, JobContext, JobError, Pool, Priority, Retry};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let pool = Pool::builder(Config { workers: 2, queue: 100, ..Config::default() }).build()?;
//! let job = Job::new(|ctx: JobContext| async move {
//!     if ctx.attempt() == 1 { return Err(JobError::retriable("connection reset")) }
//!     Ok(ctx.attempt())
//! });
//! let retry = Retry { max: 3, base: Duration::from_millis(5), cap: Duration::from_secs(1) };
//! let handle = pool.submit(job.priority(Priority::High).timeout(Duration::from_secs(30)).retry(retry)).await?;
//! assert_eq!(handle.await?, 2);
//! pool.resize(8)?;
//! let report = pool.close(Duration::from_secs(5)).await;
//! assert!(report.is_complete());
//! # Ok(()) }
//! ```
//!
//! **Order.** HIGH before NORMAL before LOW, except that a job counts one step higher for each `aging` it has
//! waited; among equals the group that holds the fewest workers, then the one unserved for longest, then the oldest.
//! While two groups are active, none holds more than `group_share` of the workers.
//!
//! **Promise.** Each accepted job ends exactly once: with its value, its error, a timeout, its own panic, a cancel, or
//! [`Closed`](ErrorKind::Closed) with its name in the [`Report`].
//!
//! **Bounds.** `queue` jobs wait, and up to `max_workers` retries beside them; `max_workers` run; group names are
//! capped.
//!
//! **Beside the pool**, each usable alone: [`Batcher`] makes one request of many callers', [`IoScheduler`] bounds what the
//! disk and the cores are asked at once, [`Objects`] lends what is dear to make, [`BatchSearch`] finds a batch size, and
//! [`MemoryMonitor`] says what a function or task did to the heap. Feature `tower` has a layer, `affinity` pins threads.
//!
//! **Cost.** A job is polled by its worker, not by a task of its own: one allocation while it waits, one while it runs,
//! no timer unless it awaits something.

#[cfg(all(feature = "affinity", target_os = "linux"))]
mod affinity;
mod attempt;
mod batch_size;
mod batcher;
mod blocking;
mod config;
mod context;
mod error;
mod event;
mod handle;
mod header;
mod inbox;
mod io;
mod job;
mod life;
mod memory;
mod objects;
mod panic;
mod pool;
mod priority;
mod queue;
mod report;
mod retry;
mod shared;
mod size;
mod stats;
mod sync;
mod tally;
mod task;
mod ticks;
#[cfg(feature = "tower")]
mod tower;
mod worker;

#[cfg(all(feature = "affinity", target_os = "linux"))]
pub use affinity::Affinity;
pub use batch_size::{BatchSearch, first_batch_size};
pub use batcher::{Batcher, Batching};
pub use blocking::Blocking;
pub use config::Config;
pub use context::{JobContext, Progress, ProgressWatch};
pub use error::{Error, ErrorKind, JobError};
pub use event::{Event, EventKind, JobInfo};
pub use handle::{JobHandle, Status};
pub use io::{IoKind, IoLimits, IoScheduler, IoSlot};
pub use job::Job;
pub use memory::{CountingAllocator, MemoryMonitor, MemoryUse};
pub use objects::{Object, ObjectStats, Objects};
pub use pool::{Builder, Pool, Rejected};
pub use priority::Priority;
pub use report::Report;
pub use retry::{Budget, Retry};
pub use size::{Load, Sizer, Sizing};
pub use stats::{Counts, GroupStats, Priorities, Stats};
#[cfg(feature = "tower")]
pub use tower::{PoolLayer, PoolService};
