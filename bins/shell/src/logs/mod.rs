//! Logs to stderr, as text or as lines of JSON, with every registered secret masked.

mod redactor;
mod screen;
mod setup;

pub use redactor::{Redacted, Redactor};
pub use setup::{Format, Logs, LogsError, init};
