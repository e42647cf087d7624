//! Changes settings of a running program on evidence, and undoes them on harm.
//!
//! ```
//! use std::time::Duration;
//! use tidemill_autotune::{Config, Decision, Knob, Outcome, Tuner};
//!
//! let config: Config = toml::from_str(r#"
//!     builtin = false
//!     block_steps = 4
//!     washout_steps = 1
//!     [[rule]]
//!     name = "short-lives"
//!     when = "cache.hit_percent < 60 for 3"
//!     do = ["cache.*.ttl * 1.5"]
//!     objective = "cache.hit_percent higher"
//! "#)?;
//! let mut tuner = Tuner::builder(config).knob(Knob::new("cache.prices.ttl", 1.0, 3600.0), 60.0).build()?;
//! let mut ended = None;
//! for second in 0..600 {
//!     let now = Duration::from_secs(second);
//!     // A longer life does help here.
//!     let hits = 40.0 + tuner.value("cache.prices.ttl").unwrap_or(0.0) / 10.0 + (second % 7) as f64;
//!     tuner.read(now, "cache.hit_percent", hits);
//!     tuner.step(now);
//!     for record in tuner.take_records() {
//!         if let Decision::TrialEnded { outcome, .. } = record.decision { ended = ended.or(Some(outcome)); }
//!     }
//! }
//! assert_eq!(ended, Some(Outcome::Kept));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! **Why trials.** Under a load that drifts, "it got better after the change" calls nothing a change in every second case. So a
//! rule with an objective changes nothing by itself: it starts a [trial](Decision::TrialBegan) of the old value and the new in
//! blocks whose order is a coin's ([`TrialBy::Switchback`]), or on two groups of keys that a coin exchanges
//! ([`TrialBy::Split`]). The test of [`Evidence`] then holds whatever the load does, at every look. Kept, undone or
//! inconclusive, each with its effect and interval; inconclusive goes back.
//!
//! **What is safe is done at once.** A rule without objective changes outright, and is watched by the [`Guard`]s: harm takes it
//! back within a step and bars it for its cooldown. `restore` says when it is no longer needed. Bad steps in a row are an
//! emergency: every safe measure at once, then back one by one.
//!
//! **Parts, each usable alone.** [`Evidence`] tests paired differences; [`Experiment`] compares several variants; [`Rollout`]
//! brings a version to ever more keys; [`Gradient`], [`Aimd`], [`Ratio`] and [`HillClimb`] turn one knob each; [`plant`] has
//! things to try them on. [`Tuner`] is the pure core, [`Driver`] the same with a program's closures.
//!
//! **Bounds.** A knob never leaves its own; signals, readings, knobs, rules, records and pairs have theirs in [`Config`]. The
//! trials of a day together make at most `false_changes_a_day`.

mod adjust;
mod builtin;
mod condition;
mod config;
mod controller;
mod decision;
mod driver;
mod emergency;
mod error;
mod evidence;
mod experiment;
mod held;
mod knob;
mod objective;
pub mod plant;
mod random;
mod rollout;
mod rule;
mod signal;
mod split;
mod stats;
mod trial;
mod tuner;
mod words;

pub use adjust::Adjustment;
pub use builtin::{BUILTIN_RULES, builtin_rules};
pub use condition::Condition;
pub use config::Config;
pub use controller::{Aimd, Control, Gradient, HillClimb, Ratio};
pub use decision::{Decision, Outcome, Record, Turn};
pub use driver::{Driver, DriverBuilder};
pub use error::{Error, ErrorKind};
pub use evidence::{Effect, Evidence, Verdict, pairs_needed, time_needed};
pub use experiment::{Experiment, Finding};
pub use knob::{Cost, Knob, TrialBy};
pub use objective::{Guard, Objective};
pub use random::Random;
pub use rollout::{Phase, Rollout};
pub use rule::Rule;
pub use signal::{Reading, Series, Signals};
pub use split::{Side, Split, place};
pub use stats::Stats;
pub use trial::TrialView;
pub use tuner::{Action, Builder, Tuner};
