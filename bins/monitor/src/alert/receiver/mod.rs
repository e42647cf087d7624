//! Who is told, and how: each kind in a file of its own.

pub(super) mod alertmanager;
mod config;
pub(super) mod console;
pub(super) mod log;
pub(super) mod webhook;

pub use config::{ReceiverConfig, ReceiverKind, Secret};
