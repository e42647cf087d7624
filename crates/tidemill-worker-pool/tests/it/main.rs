//! Integration tests of the pool: order, time, faults, drains, a model and stress.

#![expect(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod batcher;
mod drain;
mod faults;
mod io;
mod many;
mod memory;
mod model;
mod objects;
mod order;
mod stress;
mod time;
#[cfg(feature = "tower")]
mod tower;

use std::time::Duration;

use tidemill_worker_pool::{Config, CountingAllocator, Pool};

#[global_allocator]
static HEAP: CountingAllocator = CountingAllocator::system();

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

fn pool(config: Config) -> Pool {
    Pool::builder(config).build().unwrap()
}

fn workers(workers: usize) -> Config {
    Config { workers, ..Config::default() }
}
