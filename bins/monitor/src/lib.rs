//! Watches a host and its services live, keeps their history, judges, alerts and tunes.

pub mod alert;
pub mod api;
pub mod args;
pub mod client;
pub mod config;
pub mod doctor;
pub mod entry;
pub mod event;
pub mod health;
pub mod history;
pub mod logs;
pub mod probe;
pub mod run;
pub mod series;
pub mod top;
pub mod tune;
pub mod watch;
pub mod web;

pub use entry::start;
