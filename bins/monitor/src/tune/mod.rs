//! Knobs of a target, moved on evidence.
//!
//! [`Steering`] is pure: what a target's knobs are and what was read goes in, what to set comes out; its rules, trials and undo are
//! those of `tidemill-autotune`. [`Remote`] speaks with the target, and [`Tuning`] is the shell that does both each interval.

mod config;
mod handle;
mod remote;
mod router;
mod service;
mod signals;
mod steering;
mod view;

pub use config::{Config, Signal, Target};
pub use handle::Handle;
pub use remote::{Refusal, Remote, Shown};
pub use router::{changes, router};
pub use service::{Around, Derive, Notify, Tuning};
pub use signals::Readings;
pub use steering::Steering;
