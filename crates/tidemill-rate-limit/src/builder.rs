//! From a configuration to a pool, with what an earlier process left behind.

use std::sync::Arc;
use std::time::SystemTime;

use crate::config::Config;
use crate::core::Core;
use crate::error::{Cause, Error};
use crate::pool::KeyPool;
use crate::shared::Shared;
use crate::stamps::Stamps;

/// Builds a [`KeyPool`].
#[derive(Debug)]
pub struct Builder {
    config: Config,
    ids: Vec<u32>,
    stamps: Option<Box<dyn Stamps>>,
    wall: Option<SystemTime>,
}

impl Builder {
    pub(crate) fn new(config: Config) -> Self {
        Self { config, ids: vec![0], stamps: None, wall: None }
    }

    /// How many keys there are; default 1. With stamps, their order must be the same in each process: use
    /// [`key_names`](Self::key_names) where that is not sure.
    #[must_use]
    pub fn keys(mut self, count: usize) -> Self {
        self.ids = (0..count).map(|index| index as u32).collect();
        self
    }

    /// The keys by any name that does not change, in the caller's order; only a 32-bit hash of it is kept.
    #[must_use]
    pub fn key_names<I: IntoIterator<Item: AsRef<str>>>(mut self, names: I) -> Self {
        self.ids = names.into_iter().map(|name| fnv1a(name.as_ref().as_bytes())).collect();
        self
    }

    /// Where sends are stamped, so that a later process on the same keys knows of them. Default: nowhere.
    #[must_use]
    pub fn stamps(mut self, stamps: impl Stamps + 'static) -> Self {
        self.stamps = Some(Box::new(stamps));
        self
    }

    /// What the wall clock shows now; default [`SystemTime::now`]. Stamps and calendars use it.
    #[must_use]
    pub fn wall_clock(mut self, now: SystemTime) -> Self {
        self.wall = Some(now);
        self
    }

    /// The pool. Its clock starts here.
    ///
    /// # Errors
    /// `Config` names the field that is out of bounds; `Stamps` when they cannot be read.
    pub fn build(self) -> Result<KeyPool, Error> {
        let mut core = Core::new(&self.config, self.ids.len())?;
        if self.ids.is_empty() {
            return Err(Cause::Config { field: "keys".into(), why: "must name at least one".into() }.into());
        }
        for (index, id) in self.ids.iter().enumerate() {
            core.set_key_id(index, *id);
        }
        let wall = self.wall.unwrap_or_else(SystemTime::now);
        core.set_wall(wall);
        if let Some(stamps) = &self.stamps {
            let history = stamps.load(core.horizon(), wall)?;
            core.restore(&history, wall);
        }
        Ok(KeyPool { shared: Arc::new(Shared::new(core, &self.config, wall, self.stamps)) })
    }
}

/// FNV-1a, 32 bits.
pub(crate) fn fnv1a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}
