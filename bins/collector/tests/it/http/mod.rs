//! One attempt against real TCP, HTTP/1.1, h2c and TLS servers.

mod bodies;
mod connections;
mod failures;
mod server;
mod tls;
