//! Integration tests of the metrics: exactness under threads, quantiles, registration, exposition.

#![cfg(not(loom))]
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "helpers of tests fail, and skip aloud")]

mod expiry;
mod exposition;
#[cfg(feature = "facade")]
mod facade;
mod health;
mod history;
#[cfg(feature = "tower")]
mod prometheus;
mod protobuf;
mod quantiles;
mod registry;
mod threads;
#[cfg(feature = "tower")]
mod tower;
