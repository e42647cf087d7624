//! What the binaries of this package share: the measuring library, under one name.
//!
//! A benchmark is `src/bin/bench-AREA.rs`, a simulator `src/bin/sim-AREA.rs`, a soak run `src/bin/soak-AREA.rs`;
//! `cargo xtask bench AREA` builds and runs them. Each prints its rows by [`Row::emit`] and nothing else on stdout
//! that begins with a brace.

pub use tidemill_measure::*;
