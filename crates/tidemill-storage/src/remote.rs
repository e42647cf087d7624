//! A second home of the published snapshots in an object store: immutable keys, and a manifest a table that only the writer
//! who read the last one may replace.

mod bucket;
mod config;
mod disk;
mod http;
mod manifest;
mod plan;
mod push;
mod restore;
mod state;
mod stats;

pub use config::{Ack, Credentials, RemoteConfig};
pub use http::Https;
pub(crate) use push::Origin;
pub use push::{PushReport, PushedTable, Remote};
pub use stats::RemoteStats;
