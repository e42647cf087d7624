//! The bounds of a server; the defaults are those of the specification's row A7.

use std::time::Duration;

/// What a server grants. Answers are compressed with gzip; brotli is left out, it costs more than it saves here.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Connections at a time; further ones wait in the kernel's queue. Default 1000.
    pub max_connections: usize,
    /// Bytes of a request's head, at least 8192. Default 64 KiB. More is answered 431.
    pub head_max: usize,
    /// Headers of a request. Default 100. More is answered 431.
    pub max_headers: usize,
    /// Bytes of a request's body. Default 1 MiB. More is answered 413.
    pub body_max: usize,
    /// The head of a request, a handler's answer, and each write to a client that does not read. Default 30 s.
    pub timeout: Duration,
    /// Whether a connection serves several requests. Default true; it is closed after `timeout` without one.
    pub keep_alive: bool,
    /// Answers of a known length from this many bytes on are compressed where the client accepts it. Default 1 KiB.
    pub gzip_from: usize,
    /// Answers beyond this many bytes are sent as they are. Default 8 MiB.
    pub gzip_up_to: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 1000,
            head_max: 64 << 10,
            max_headers: 100,
            body_max: 1 << 20,
            timeout: Duration::from_secs(30),
            keep_alive: true,
            gzip_from: 1 << 10,
            gzip_up_to: 8 << 20,
        }
    }
}
