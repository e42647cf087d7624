//! Integration tests: every figure against an independent source, on a real system.

#![expect(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod any;
#[cfg(target_os = "linux")]
mod linux;
