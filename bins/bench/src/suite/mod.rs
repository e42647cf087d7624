//! What our own parts do on this machine: the component suite, graded and comparable with an earlier run.

mod api;
mod before_after;
mod concurrency;
mod data;
mod figure;
mod memory;
mod parts;
mod provider;
mod storage;

pub use figure::{Figure, Grade, Part, Suite};
pub use parts::{Name, chosen, run};
