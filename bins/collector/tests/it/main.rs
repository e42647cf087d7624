//! The collector against real servers on loopback, and the program as an operator runs it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::print_stdout, reason = "a skipped test and a soak run say what they saw")]

mod bucket;
mod cli;
mod experiments;
mod http;
mod kill;
mod memory;
mod once;
mod program;
mod providers;
mod readers;
mod rollouts;
mod shared;
mod simulated;
mod trouble;
mod tuning;
