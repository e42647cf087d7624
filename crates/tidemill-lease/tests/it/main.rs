//! The crate seen from outside.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod cluster;
mod conformance;
mod keeper;
mod postgres;
mod sqlite;
mod stopped;
mod takeover;
