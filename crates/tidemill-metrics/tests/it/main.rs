//! Integration tests of the metrics: exactness under threads, quantiles, registration, exposition.

#![cfg(not(loom))]

mod expiry;
mod exposition;
#[cfg(feature = "facade")]
mod facade;
#[cfg(feature = "tower")]
mod prometheus;
mod protobuf;
mod quantiles;
mod registry;
mod threads;
#[cfg(feature = "tower")]
mod tower;
