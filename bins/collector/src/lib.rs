//! Collects market data from rate-limited APIs, continuously, without a refusal and without losing a row.
//!
//! Data flows one way: universe, plan, work item, worker, permit, HTTP, classify, decode, validate, append, publish.
//! Nothing flows back but statistics, the limiter's hints and the ledger, which becomes the next plan.

pub mod access;
pub mod args;
pub mod bridge;
pub mod builtin;
pub mod collector;
pub mod commands;
pub mod config;
pub mod dataset;
pub mod entry;
pub mod experiments;
pub mod grade;
pub mod http;
pub mod keys;
pub mod lease;
pub mod ledger;
pub mod load;
pub mod meters;
pub mod pace;
pub mod pass;
pub mod permit;
pub mod plan;
pub mod provider;
pub mod remote;
pub mod report;
pub mod rollouts;
pub mod rows;
pub mod run;
pub mod tuning;
pub mod work;
pub mod workers;
pub mod writer;

pub use entry::start;
