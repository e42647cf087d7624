//! Named leases with fencing: one owner at a time, in memory, SQLite or PostgreSQL, and a guard that says when to stop.

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
