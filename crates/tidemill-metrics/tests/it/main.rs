//! Integration tests of the metrics: exactness under threads, quantiles, registration, exposition.

#![cfg(not(loom))]
#![expect(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]
#![cfg_attr(feature = "tower", expect(clippy::print_stderr, reason = "a skipped test says so aloud"))]

mod expiry;
mod exposition;
#[cfg(feature = "facade")]
mod facade;
mod health;
mod history;
mod memory;
#[cfg(feature = "tower")]
mod prometheus;
mod protobuf;
mod quantiles;
mod registry;
mod threads;
#[cfg(feature = "tower")]
mod tower;
