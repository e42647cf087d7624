//! Permits for quotas that a server owns: slots anchored on the response, so that no window is ever exceeded.

mod builder;
mod config;
mod core;
mod error;
pub mod headers;
mod key;
mod learn;
mod outcome;
mod pace;
mod permit;
mod pool;
mod queue;
mod quota;
mod stamps;
mod stats;
mod window;

pub use crate::core::{Core, Cost, Poll, Priority, Ticket};
pub use builder::Builder;
pub use config::{Config, Limit, Model, Scope};
pub use error::{Error, ErrorKind};
pub use key::{KeyIndex, KeyState};
pub use outcome::{Hints, Outcome};
pub use permit::{InFlight, Permit};
pub use pool::{KeyPool, Report};
pub use stamps::{FileStamps, History, Record, Stamps};
pub use stats::{KeyStats, LimitStats, Stats};
