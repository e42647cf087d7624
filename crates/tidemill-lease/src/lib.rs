//! Named leases with fencing: one owner at a time, in memory, SQLite or PostgreSQL, and a guard that says when to stop.
//!
//! Several processes want one thing that only one may use at a time: an API key's quota, a dataset's writer, a schedule. A
//! lease gives it to one **owner** until the end of a **term**, which the owner renews. Each acquisition has an **epoch**,
//! a number that only rises. An owner that was stopped for a minute and goes on has lost its lease without knowing: so it
//! asks its **guard** before each act, which answers by a clock that ran on, and what is written with its old epoch
//! is refused.
//!
//! ```
//! use std::sync::Arc;
//! use tidemill_lease::{Config, ErrorKind, Leases, Memory, Name, Owner};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), tidemill_lease::Error> {
//! let store = Arc::new(Memory::default()); // or Sqlite::open, or Postgres::connect
//! let one = Leases::builder(Config::default(), store.clone(), Owner::try_new("host-1 4711")?).build()?;
//! let two = Leases::builder(Config::default(), store, Owner::try_new("host-2 815")?).build()?;
//!
//! let key = Name::try_new("api.example.com/key/1")?;
//! let held = one.acquire(&key).await?;
//! if held.may_act(one.now()) {
//!     // use the key; hand held.epoch() to whatever can refuse a smaller one
//! }
//! let refused = two.acquire(&key).await.unwrap_err();
//! assert_eq!(refused.kind(), ErrorKind::Held); // and retry_after() says for how long
//!
//! one.release(&held, Some(b"where I stopped")).await?; // everything done under it has ended
//! let next = two.acquire(&key).await?;
//! assert!(next.epoch() > held.epoch() && next.handover().is_clean());
//! assert_eq!(next.inherited(), b"where I stopped");
//! # Ok(()) }
//! ```
//!
//! # What is where
//! - [`Leases`]: acquires, renews, releases and reads as one owner; [`Leases::keep`] starts a [`Keeper`] that does it for you.
//! - [`Held`]: the guard; [`Handover`]: what the predecessor left behind, and how long to wait for it.
//! - [`Memory`]; `Sqlite` (feature `sqlite`) for the processes of a machine; `Postgres` (feature `postgres`) for machines.
//! - [`Store`] for a place of your own: three functions, judged by [`conformance`].
//! - [`rules`]: the decisions alone, without clock or I/O, for simulators.
//!
//! # What you must do
//! - Ask [`Held::may_act`] right before each act. What passes it and arrives late, at most what you have in the air at
//!   once, is what [`Config::reserve`] announces: it stays on record until [`Leases::confirm`].
//! - Release only what has ended. Otherwise drop it, and let the term run out.
//! - Set [`Config::margin`] above the largest step of the store's clock.
//!
//! # Bounds
//! Names and owners 256 bytes, payloads 64 KiB, 256 leases a page, 64 unconfirmed former owners, names by the store's
//! `max_names`, eight tries a write, each operation by [`Config::timeout`]. A record is never deleted, since its epoch must
//! not be given twice. It starts one task for each [`Keeper`] and each PostgreSQL connection, and no thread.

mod clock;
mod config;
pub mod conformance;
mod error;
mod held;
mod keeper;
mod lease;
mod leases;
mod memory;
mod name;
#[cfg(feature = "postgres")]
mod postgres;
pub mod rules;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod schema;
#[cfg(feature = "sqlite")]
mod sqlite;
mod stats;
mod store;
mod tenure;

pub use clock::Clock;
pub use config::Config;
pub use error::{Error, ErrorKind};
pub use held::Held;
pub use keeper::{Event, Keeper, Report};
pub use lease::{
    Epoch, Former, Handover, Lease, MAX_PAGE, MAX_PAYLOAD, MAX_UNCONFIRMED, Moment, Record, Standing,
};
pub use leases::{Builder, Leases};
pub use memory::Memory;
pub use name::{MAX_NAME, Name, Owner};
#[cfg(feature = "postgres")]
pub use postgres::{Postgres, PostgresConfig};
#[cfg(feature = "sqlite")]
pub use sqlite::{Sqlite, SqliteConfig};
pub use stats::Stats;
pub use store::{Loaded, Page, Pending, Store};
