//! Log files: read, searched, clustered.
//!
//! A [`Follower`] reads what was added to a file, an [`Entry`] is a line with its time and level, a [`Miner`] finds which lines are
//! alike, a [`Store`] keeps them within bounds, and [`Logs`] is the shell that does all that each second.

mod config;
mod entry;
mod follow;
mod level;
mod miner;
mod pattern;
mod rate;
mod router;
mod search;
mod service;
mod split;
mod store;

pub use config::{Config, Source, Start};
pub use entry::Entry;
pub use follow::{Follower, Position};
pub use level::Level;
pub use miner::{Cluster, Miner};
pub use pattern::{Pattern, Patterns};
pub use rate::Rates;
pub use router::router;
pub use search::{Found, Query};
pub use service::{Handle, Logs};
pub use split::Splitter;
pub use store::Store;
