//! Permits for quotas that a server owns: slots anchored on the response, so that no window is ever exceeded.
//!
//! A limiter that counts from the *send* is refused by a server that counts *arrivals*: two requests a window apart at
//! the client may be less than a window apart at the server. Here a slot that was taken at the send is free again one
//! window after the **response**. The next arrival through it is then later than one window after the one before,
//! whatever the network did, so no window ever sees more than the quota. It costs one round trip a window: 99.5 % of
//! 75 a minute at 50-500 ms. The decision record `docs/adr/0005` has the proof, its conditions and its limits.
//!
//! ```
//! use std::time::Duration;
//! use tidemill_rate_limit::{Config, Cost, KeyPool, Model, Outcome, Priority};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), tidemill_rate_limit::Error> {
//! // Four keys, each allowed 75 requests in any minute.
//! let config = Config::per_key(75, Duration::from_secs(60), Model::SlidingLog);
//! let keys = ["k1", "k2", "k3", "k4"];
//! let pool = KeyPool::builder(config).key_names(keys).build()?;
//!
//! let permit = pool.acquire(Cost::ONE, Priority::Normal).await?; // dropped unsent, it is given back
//! let key = keys[permit.key().get()];
//! let flight = permit.send()?; // the send is stamped; dropped in flight, the slot is held long enough
//! let status = fetch(key).await; // your HTTP client, with its own retries off
//! flight.answered(Outcome::from_status(status, None))?;
//!
//! assert_eq!(pool.stats().sent, 1);
//! assert!(pool.forecast(3000) > Duration::from_secs(540)); // 300 a minute over four keys
//! # Ok(()) }
//! # async fn fetch(_: &str) -> u16 { 200 }
//! ```
//!
//! # What is where
//! - [`Config`] and [`Limit`]: what the server allows; several windows at once, on the key, the account or the address.
//! - [`KeyPool`]: callers wait here, by [`Priority`] and in order; [`Permit`] and [`InFlight`] are what they get.
//! - [`Outcome`] and [`Hints`]: how it ended, as numbers. Feature `headers`: reads them from the usual headers.
//! - [`Calendar`], [`Zone`]: quotas counted by the day of a zone. [`Adaptive`]: for quotas nobody knows; off by default.
//! - Feature `tower`: a layer for clients built of services.
//! - [`FileStamps`]: what a restarted process must know, so that it is not refused either.
//! - [`Core`]: the decisions alone, without clock, lock or I/O, for simulators and other runtimes.
//!
//! # What you must do
//! - One permit for every attempt: take it below retry, redirect and hedging, and turn the retries of the HTTP client
//!   off.
//! - Say how it ended when the final status has arrived. A gateway's 502-504 is no answer.
//! - Set [`Config::deadline`] to the timeout of your client.
//!
//! # Bounds
//! Waiters by [`Config::max_waiters`]; 12 bytes a slot, at most 4098 of them a window and key, larger windows in grains
//! that err to the safe side; stamps by twice what one window holds. A choice of a key compares at most 32 free ones.
//! It starts no task and no thread.

mod adaptive;
mod blocking;
mod builder;
mod calendar;
mod config;
mod core;
mod error;
#[cfg(feature = "headers")]
pub mod headers;
mod key;
mod learn;
mod outcome;
mod pace;
mod permit;
mod pool;
mod queue;
mod quota;
mod shared;
mod stamps;
mod stats;
mod sync;
#[cfg(feature = "tower")]
pub mod tower;
mod window;

pub use crate::core::{Core, Cost, Poll, Priority, Ticket};
pub use adaptive::Adaptive;
pub use builder::Builder;
pub use calendar::{Calendar, Zone};
pub use config::{Config, Limit, Model, Scope};
pub use error::{Error, ErrorKind};
pub use key::{KeyIndex, KeyState};
pub use outcome::{Hints, Outcome, Used};
pub use permit::{InFlight, Permit};
pub use pool::{KeyPool, Report};
pub use stamps::{FileStamps, History, Record, Stamps};
pub use stats::{KeyStats, LimitStats, Stats};
