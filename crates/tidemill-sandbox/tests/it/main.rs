//! The sandbox as its clients see it: over real sockets, in bytes.

#![expect(clippy::unwrap_used, reason = "a test that cannot unwrap has failed")]

mod client;
mod counting;
mod data;
mod faults;
mod protocol;
mod readme;
mod shapes;
