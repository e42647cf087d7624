//! The load program as an operator runs it, against servers in this process.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod cli;
mod comparing;
mod histories;
mod loads;
mod pages;
mod program;
mod server;
mod suites;
mod summaries;
