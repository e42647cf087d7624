//! The crate seen from outside.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod cluster;
mod conformance;
mod keeper;
mod partition;
mod postgres;
mod proxy;
mod sqlite;
mod stopped;
mod takeover;
mod tls;
