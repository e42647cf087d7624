//! What was: a ring per series, and tiers on the disk.
