//! Knobs of a target, moved on evidence.
