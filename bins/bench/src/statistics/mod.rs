//! The arithmetic under comparisons and histories: pure, seeded, without a clock.

pub mod random;
pub mod sample;
pub mod student;
