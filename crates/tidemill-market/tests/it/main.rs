//! Integration tests: provider traps, real bars, recordings, and what must hold for any bytes.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests fail and skip loudly")]

mod any_bytes;
mod calendar;
mod mapping;
mod real_bars;
mod recordings;
mod request;
mod rules;
mod shared;
mod traps;
