//! Puts a monitor together and lets it run.
