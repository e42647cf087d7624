//! The shell against real sockets and real signals.

mod serve;
#[cfg(unix)]
mod signals;
