//! The program as an operator runs it.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod browser;
mod config;
mod copies;
mod doctor;
mod grafana;
mod kills;
mod real;
mod running;
mod targets;
mod top;
mod watching;
mod web;
