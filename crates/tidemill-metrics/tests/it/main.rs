//! Integration tests of the metrics: exactness under threads, quantiles, registration, exposition.

#![cfg(not(loom))]

mod expiry;
mod exposition;
mod protobuf;
mod quantiles;
mod registry;
mod threads;
