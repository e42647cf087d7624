//! Integration tests: whole runs against a server that does what it is told, and properties of the pure parts.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod curves;
mod engines;
mod errors;
mod scenarios;
mod searches;
#[cfg(all(feature = "tls", feature = "http2"))]
mod secure;
mod server;
mod stalls;
mod verdicts;
#[cfg(feature = "websocket")]
mod websockets;
