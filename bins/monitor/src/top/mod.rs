//! The terminal view: a monitor, a collector, or this machine, at a glance.
//!
//! [`Dashboard`] is pure: snapshots go in, [`draw()`] and [`line()`] come out. [`run`] is the shell that asks, waits and reads
//! keys.

mod dashboard;
mod draw;
mod eta;
mod plain;
mod session;
mod snapshot;
mod source;
mod words;

pub use dashboard::Dashboard;
pub use draw::{Palette, draw};
pub use eta::Eta;
pub use plain::line;
pub use session::{Options, run};
pub use snapshot::{Alert, Seen, Snapshot, Target};
pub use source::Source;
