//! The crate seen from outside.

mod core;
mod pool;
mod servers;
mod sim;
