//! Integration tests of the pool: order, time, faults, drains, a model and stress.

#![expect(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod drain;
mod faults;
mod model;
mod order;
mod stress;
mod time;

use std::time::Duration;

use tidemill_worker_pool::{Config, Pool};

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

fn pool(config: Config) -> Pool {
    Pool::builder(config).build().unwrap()
}

fn workers(workers: usize) -> Config {
    Config { workers, ..Config::default() }
}
