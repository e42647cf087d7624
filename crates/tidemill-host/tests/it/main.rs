//! Integration tests: every figure against an independent source, on a real system.

mod any;
#[cfg(target_os = "linux")]
mod linux;
