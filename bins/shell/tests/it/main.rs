//! The shell against real sockets and real signals.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod serve;
#[cfg(unix)]
mod signals;
