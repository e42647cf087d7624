//! Opening a store: what it holds, on which disk, by which clock.

use std::{path::Path, sync::Arc, time::SystemTime};

use tidemill_journal::{Disk, OsDisk};

use crate::{Config, Error, Store, TableSpec};

/// Collects what a [`Store`] needs.
pub struct Builder {
    pub(crate) config: Config,
    pub(crate) specs: Vec<TableSpec>,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) clock: Arc<dyn Fn() -> SystemTime + Send + Sync>,
    pub(crate) holder: String,
    #[cfg(feature = "s3")]
    pub(crate) remote: Option<crate::Remote>,
}

impl Builder {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            config,
            specs: Vec::new(),
            disk: Arc::new(OsDisk),
            clock: Arc::new(SystemTime::now),
            holder: format!("pid {}", std::process::id()),
            #[cfg(feature = "s3")]
            remote: None,
        }
    }

    /// Declares a table.
    pub fn table(mut self, spec: TableSpec) -> Self {
        self.specs.push(spec);
        self
    }

    /// Another disk than the operating system's, such as [`SimDisk`](tidemill_journal::sim::SimDisk).
    pub fn disk(mut self, disk: Arc<dyn Disk>) -> Self {
        self.disk = disk;
        self
    }

    /// The clock that dates snapshots; the system's by default.
    pub fn clock(mut self, clock: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// What the lock file says about this writer; `"pid <number>"` by default.
    pub fn holder(mut self, holder: impl Into<String>) -> Self {
        self.holder = holder.into();
        self
    }

    /// Where snapshots are sent by [`Store::push`], and, with `ack = "remote"`, by every commit.
    #[cfg(feature = "s3")]
    pub fn remote(mut self, remote: crate::Remote) -> Self {
        self.remote = Some(remote);
        self
    }

    /// Takes the lock, creates what is missing, and brings back what was committed and not yet published.
    ///
    /// # Errors
    /// `Locked` while another process writes; `Config` for a declaration that is wrong or differs from what was written;
    /// `Corrupt` when a manifest or a durable journal frame cannot be read; `Disk`.
    pub fn open(self, dir: &Path) -> Result<Store, Error> {
        Store::open(self, dir)
    }
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder")
            .field("config", &self.config)
            .field("tables", &self.specs)
            .finish_non_exhaustive()
    }
}
