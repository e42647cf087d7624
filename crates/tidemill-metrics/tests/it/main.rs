//! Integration tests of the metrics: exactness under threads, quantiles, registration, exposition.

#![cfg(not(loom))]

mod expiry;
mod exposition;
#[cfg(feature = "facade")]
mod facade;
mod protobuf;
mod quantiles;
mod registry;
mod threads;
#[cfg(feature = "tower")]
mod tower;
