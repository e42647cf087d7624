//! Rules, their state and who is told.
//!
//! [`Engine`] is pure: rounds and the time go in, [`Event`]s come out. [`Outbox`] turns them into notifications with a key each,
//! [`State`] keeps both in one file, and [`Alerts`] is the shell that waits, stores and sends.

mod active;
mod baseline;
mod build;
mod config;
mod deliver;
mod engine;
mod matcher;
mod names;
mod notice;
mod outbox;
mod receiver;
mod router;
mod rule;
mod service;
mod severity;
mod silence;
mod span;
mod standing;
mod state;
mod stats;
mod value;
mod view;

pub use active::{Acknowledged, Alert, Change, Event};
pub use baseline::Baseline;
pub use build::Builder;
pub use config::{BUILTIN_RULES, Config, Thresholds};
pub use engine::Engine;
pub use matcher::{Labels, MAX_MATCHERS, Matcher};
pub use names::{AUTO_TUNING, POOR_ROUNDS, STARTED};
pub use notice::Notice;
pub use outbox::{Notification, Outbox};
pub use receiver::{ReceiverConfig, ReceiverKind, Secret};
pub use router::{changes, router};
pub use rule::{Fold, Kind, Rule, Worse};
pub use service::{Alerts, Counted, Handle, Report};
pub use severity::Severity;
pub use silence::{Inhibit, NewSilence, Silence};
pub use state::State;
pub use stats::Stats;
