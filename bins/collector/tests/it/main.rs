//! The collector against real servers on loopback.

mod http;
