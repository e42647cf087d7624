//! The crate seen from outside.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod allocations;
mod core;
#[cfg(feature = "headers")]
mod headers;
mod kill;
mod outcomes;
mod pool;
mod servers;
mod sim;
mod threads;
#[cfg(feature = "tower")]
mod tower;
mod used;
