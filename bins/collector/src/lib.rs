//! Collects market data from rate-limited APIs, continuously, without a refusal and without losing a row.

pub mod http;
