//! Looks at a machine and says how to set it.

pub mod args;
pub mod doctor;
pub mod entry;

pub use entry::start;
