//! When a value came to be, which is when its load began.

use std::time::Duration;

/// What a cache's origin counts as, so that a tier may bring values older than the cache: eight years.
pub(crate) const PAST_MS: u64 = 1 << 38;

/// When a value came to be: its life is counted from the beginning of its load, and so are invalidations.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Birth {
    pub(crate) at_ms: u64,
    pub(crate) generation: u64,
    /// A life that came with it from a tier below; zero is for ever.
    pub(crate) ttl: Option<Duration>,
}
