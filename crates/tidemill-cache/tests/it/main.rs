//! Integration tests of the cache: lifetimes, sizes, loads, a model and stress.

#![expect(clippy::unwrap_used, reason = "a test may fail by a panic")]

#[cfg(feature = "macros")]
mod cached;
mod conformance;
#[cfg(feature = "disk")]
mod disk;
#[cfg(feature = "disk")]
mod disk_kill;
#[cfg(feature = "disk")]
mod killed;
mod load;
mod memory;
mod model;
mod prefetch;
#[cfg(feature = "redis")]
mod proxy;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "redis")]
mod redis_cluster;
#[cfg(feature = "redis")]
mod redis_server;
mod tiers;
#[cfg(feature = "tower")]
mod tower;
#[cfg(feature = "disk")]
mod write_behind;
#[cfg(feature = "disk")]
mod write_kill;
mod write_through;

use std::time::Duration;

use tidemill_cache::{Capacity, Clock, Config, ManualClock, Memory};

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

/// So many entries that live for ten seconds, on a clock that stands.
fn memory(entries: u64) -> (Memory<u64, u64>, ManualClock) {
    with(Config { capacity: Capacity::Entries(entries), ttl: 10 * SECOND, ..Config::default() })
}

fn with(config: Config) -> (Memory<u64, u64>, ManualClock) {
    let (clock, hand) = Clock::manual();
    (Memory::builder(config).clock(clock).build().unwrap(), hand)
}

/// How often a process with write-behind is killed; one with a disk tier a fifth of it.
#[cfg(feature = "disk")]
fn kills() -> u64 {
    let short = if std::env::var_os("TIDEMILL_TEST_FULL").is_some() { 1000 } else { 25 };
    let said = std::env::var("TIDEMILL_TEST_KILLS").ok();
    said.and_then(|kills| kills.parse().ok()).unwrap_or(short).max(25)
}
