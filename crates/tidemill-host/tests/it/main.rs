//! Integration tests: every figure against an independent source, on a real system.

#![cfg_attr(
    target_os = "linux",
    expect(clippy::unwrap_used, clippy::print_stderr, reason = "helpers of tests fail and skip loudly")
)]

mod any;
mod doctor;
#[cfg(target_os = "linux")]
mod facts;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
mod node_exporter;
