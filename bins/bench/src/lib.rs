//! Loads a server and says what it can bear, with figures that stand on a busy machine.
//!
//! The engine is `tidemill-load`. What is here: plans from arguments, the live view, reports, comparisons with
//! confidence ([`compare`]), change points over stored runs ([`history`]) and the component suite ([`suite`]).

pub mod args;
pub mod commands;
pub mod compare;
pub mod contenders;
pub mod entry;
pub mod history;
pub mod interrupt;
pub mod live;
pub mod outcome;
pub mod plans;
pub mod report;
pub mod statistics;
pub mod suite;
pub mod surroundings;

pub use entry::start;
