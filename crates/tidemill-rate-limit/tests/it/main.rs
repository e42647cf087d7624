//! The crate seen from outside.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod core;
mod kill;
mod pool;
mod servers;
mod sim;
mod threads;
#[cfg(feature = "tower")]
mod tower;
