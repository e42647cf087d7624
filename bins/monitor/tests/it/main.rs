//! The program as an operator runs it.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod browser;
mod doctor;
mod web;
