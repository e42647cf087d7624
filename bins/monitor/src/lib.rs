//! Watches a host and its services live, keeps their history, judges, alerts and tunes.

pub mod address;
pub mod alert;
pub mod api;
pub mod args;
pub mod backup;
pub mod commands;
pub mod config;
pub mod current;
pub mod doctor;
pub mod entry;
pub mod event;
pub mod health;
pub mod history;
pub mod http;
pub mod logs;
pub mod meters;
pub mod probe;
pub mod run;
pub mod series;
pub mod state;
mod time;
pub mod top;
pub mod tune;
pub mod watch;
pub mod web;

pub use entry::start;
pub(crate) use time::now_ms;
