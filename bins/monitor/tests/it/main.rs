//! The program as an operator runs it.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod alert;
mod alert_delivery;
mod alert_kills;
mod alert_run;
mod alertmanager;
mod browser;
mod config;
mod copies;
mod detail;
mod doctor;
mod grafana;
mod history;
mod kills;
mod logs;
mod pressure;
mod promtool;
mod real;
mod running;
mod surface;
mod targets;
mod top;
mod tune;
mod watching;
mod web;
