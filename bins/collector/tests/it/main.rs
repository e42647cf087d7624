//! The collector against real servers on loopback.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod http;
