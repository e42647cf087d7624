//! A cache that loads each key once: TTL and size that change live, statistics, stale answers while it loads.
//!
//! ```
//! use std::time::Duration;
//! use tidemill_cache::{Capacity, Config, Memory};
//!
//! let config = Config { capacity: Capacity::Bytes(64 << 20), ttl: Duration::from_secs(60), ..Config::default() };
//! let quotes: Memory<String, Vec<f64>> = Memory::builder(config)
//!     .weigher(|symbol: &String, quotes: &Vec<f64>| (symbol.len() + 8 * quotes.len()) as u64)
//!     .build()?;
//! quotes.insert("AAPL".to_owned(), vec![189.5, 190.25]);
//! assert_eq!(quotes.get("AAPL").as_deref(), Some(&[189.5, 190.25][..]));
//! assert_eq!(quotes.stats().hits, 1);
//! # Ok::<(), tidemill_cache::Error>(())
//! ```

mod birth;
mod breaker;
mod builder;
mod cache;
mod clock;
mod codec;
mod config;
pub mod conformance;
mod entry;
mod error;
mod flight;
mod generation;
mod glob;
mod layer;
mod lifetime;
mod load;
mod memory;
#[cfg(feature = "l1-moka")]
mod moka;
mod quick;
#[cfg(feature = "redis")]
mod redis;
mod rounded;
mod stats;
mod store;
mod stripes;
mod sync;
mod tier;

pub use builder::{Builder, CacheBuilder};
pub use cache::{Cache, Report};
pub use clock::{Clock, ManualClock};
pub use codec::{Codec, Json};
pub use config::{Capacity, Config};
pub use entry::{Cause, ENTRY_BYTES, Listener, Mark, Timed};
pub use error::{Error, ErrorKind};
pub use generation::Tags;
pub use lifetime::{Freshness, Scale, Stamp};
pub use memory::{Found, Memory};
#[cfg(feature = "l1-moka")]
pub use moka::Moka;
pub use quick::Quick;
#[cfg(feature = "redis")]
pub use redis::{Redis, RedisConfig, RedisUrl};
pub use stats::{CacheStats, Evictions, LoadStats, Stats, TierStats};
pub use store::{EvictionSink, Key, Store, Value};
pub use tier::{Answer, Claim, Peers, Read, Record, Tier, TierError};
