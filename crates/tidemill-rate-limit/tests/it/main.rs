//! The crate seen from outside.

mod core;
mod servers;
mod sim;
