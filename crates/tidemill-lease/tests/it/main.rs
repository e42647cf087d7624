//! The crate seen from outside.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

#[cfg(feature = "postgres")]
mod cluster;
mod conformance;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "sqlite")]
mod sqlite;
