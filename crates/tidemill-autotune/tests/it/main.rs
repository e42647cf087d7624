//! The tuner as a program sees it: plants to control, loads to try values on, and things that go wrong.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod control;
mod model;
mod restart;
mod rules;
mod trials;
