//! A cache that loads each key once, over tiers; its size and TTL change live; it says what it did.
//!
//! ```
//! use std::time::Duration;
//! use tidemill_cache::{Cache, Capacity, Config, Memory};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), tidemill_cache::Error> {
//! let config = Config { capacity: Capacity::Bytes(64 << 20), ttl: Duration::from_secs(60), ..Config::default() };
//! let memory = Memory::builder(config)
//!     .weigher(|symbol: &String, quotes: &Vec<f64>| (symbol.len() + 8 * quotes.len()) as u64)
//!     .tags(|symbol, _, tags| tags.add(&symbol[..1]));
//! let quotes: Cache<String, Vec<f64>> = Cache::builder(memory).build()?;
//!
//! let load = |symbol: String| async move { Ok::<_, std::io::Error>(vec![189.5, symbol.len() as f64]) };
//! assert_eq!(quotes.get_or_load(&"AAPL".to_owned(), load).await?, [189.5, 4.0]);
//! quotes.memory().resize(0.7)?;
//! quotes.memory().scale_ttl(1.5);
//! quotes.invalidate_tag("A").await;
//! assert_eq!(quotes.get(&"AAPL".to_owned()).await, None);
//! # Ok(()) }
//! ```
//!
//! [`Memory`] alone is a bounded map whose values end, without a runtime. [`Cache`] adds one flight a key, stale answers and
//! tiers below: `Redis` (feature `redis`), `Disk` (feature `disk`), or what implements [`Tier`]. [`Memo`] is an async function
//! behind a cache, and so is one with the attribute `cached` (feature `macros`); [`Named`] are the settings of several.
//! `WriteBehind` (feature `disk`) acknowledges changes before the backend has them; `tower::CacheLayer` (feature `tower`) keeps
//! HTTP answers as their headers say; [`Prefetch`] loads before anybody asks.
//!
//! **Promise.** A load never publishes over a later invalidation, in this process or, on a shared tier, another. No value is given
//! past its life and [`Config::stale_cap`], and its life begins with its load, whichever tier it comes from. A tier that fails
//! costs time and never an error.
//!
//! **Bounds.** Entries or bytes by [`Capacity`]; refreshes beside stale answers by `max_refreshes`; 4096 generations for tags and namespaces;
//! one flight a key that is being asked for, so as many as there are callers.
//!
//! **Sources.** S3-FIFO (Yang et al., SOSP 2023) is the policy of quick_cache. Leases on a miss are those of Nishtala et al.,
//! "Scaling Memcache at Facebook", NSDI 2013. Stale answers are named as in RFC 5861.

mod birth;
mod breaker;
mod builder;
mod cache;
mod clock;
mod codec;
mod config;
pub mod conformance;
#[cfg(feature = "disk")]
mod disk;
mod entry;
mod error;
mod flight;
mod generation;
mod glob;
mod layer;
mod lifetime;
mod load;
mod memo;
mod memory;
#[cfg(feature = "l1-moka")]
mod moka;
mod named;
mod namespace;
mod prefetch;
mod quick;
#[cfg(feature = "redis")]
mod redis;
mod rounded;
mod stats;
mod store;
mod stripes;
mod sync;
mod tier;
#[cfg(feature = "tower")]
pub mod tower;
#[cfg(feature = "disk")]
mod write_behind;
mod writers;

pub use builder::{Builder, CacheBuilder};
pub use cache::{Cache, Report};
pub use clock::{Clock, ManualClock};
pub use codec::{Codec, Json};
pub use config::{Capacity, Config};
#[cfg(feature = "disk")]
pub use disk::{Disk, DiskConfig, DiskStats, Recovered};
pub use entry::{Cause, ENTRY_BYTES, Found, Listener, Mark, Timed};
pub use error::{Error, ErrorKind};
pub use generation::Tags;
pub use lifetime::{Freshness, Scale, Stamp};
pub use memo::{Fallible, Memo};
pub use memory::Memory;
#[cfg(feature = "l1-moka")]
pub use moka::Moka;
pub use named::Named;
pub use namespace::Namespace;
pub use prefetch::{Prefetch, PrefetchConfig, PrefetchStats, Reader};
pub use quick::Quick;
#[cfg(feature = "redis")]
pub use redis::{Redis, RedisConfig, RedisUrl};
pub use stats::{CacheStats, Evictions, LoadStats, Stats, TierStats};
pub use store::{EvictionSink, Key, Store, Value};
#[cfg(feature = "macros")]
pub use tidemill_cache_macros::cached;
pub use tier::{Answer, Claim, Peers, Read, Record, Tier, TierError};
#[cfg(feature = "disk")]
pub use write_behind::{
    Backend, Change, Failure, WriteBehind, WriteBehindConfig, WriteBehindReport, WriteBehindStats, Written,
};
