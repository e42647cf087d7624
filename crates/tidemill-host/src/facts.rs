//! All that Linux tells of a machine, under the names of node_exporter.

#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "only Linux tells facts"))]
mod about;
#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "only Linux tells facts"))]
mod book;
#[cfg(target_os = "linux")]
mod clock;
#[cfg(target_os = "linux")]
mod cpu;
#[cfg(target_os = "linux")]
mod disks;
#[cfg(target_os = "linux")]
mod files;
#[cfg(target_os = "linux")]
mod filesystems;
#[cfg(target_os = "linux")]
mod identity;
#[cfg(target_os = "linux")]
mod interfaces;
#[cfg(target_os = "linux")]
mod kernel;
#[cfg(target_os = "linux")]
mod memory;
#[cfg(target_os = "linux")]
mod network;
#[cfg(target_os = "linux")]
mod sensors;
#[cfg_attr(target_os = "linux", path = "facts/linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "facts/other.rs")]
mod source;
#[cfg(target_os = "linux")]
mod words;

use std::time::SystemTime;

pub use about::{About, Fact, FactKind};
use book::Book;

use crate::config::FactsConfig;
use crate::error::Error;
use crate::stats::FactsStats;

/// Reads all facts of this machine, again and again.
///
/// ```
/// use std::time::SystemTime;
/// use tidemill_host::{Facts, FactsConfig};
///
/// # fn main() -> Result<(), tidemill_host::Error> {
/// let mut facts = Facts::builder(FactsConfig::default()).build()?;
/// for fact in facts.read(SystemTime::now()) {
///     // node_cpu_seconds_total{cpu="0",mode="idle"} 7868.77
///     println!("{} {}", fact.about, fact.value);
/// }
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Facts {
    source: source::Source,
    book: Book,
}

/// Builds [`Facts`].
#[derive(Clone, Debug)]
pub struct FactsBuilder {
    config: FactsConfig,
}

impl Facts {
    /// Starts from a configuration.
    #[must_use]
    pub fn builder(config: FactsConfig) -> FactsBuilder {
        FactsBuilder { config }
    }

    /// Reads everything that is there. `now` is told as `node_time_seconds`.
    ///
    /// Each fact is told once. Its [`About`] is the same allocation as in the call before for as long as it is told, so
    /// that a caller knows it again by [`Arc::ptr_eq`](std::sync::Arc::ptr_eq), and most often at the same place. What is
    /// missing, refused or odd is left out and counted in [`stats`](Self::stats); the rest is told. On other systems than
    /// Linux there are none.
    ///
    /// It asks local file systems for their size, which may block: call it off the async threads where that matters.
    pub fn read(&mut self, now: SystemTime) -> &[Fact] {
        self.book.begin();
        self.source.read(now, &mut self.book);
        self.book.end()
    }

    /// What was counted since the start.
    #[must_use]
    pub fn stats(&self) -> FactsStats {
        self.book.stats()
    }
}

impl FactsBuilder {
    /// Opens nothing yet: what is not there may come.
    ///
    /// # Errors
    /// [`Config`](crate::ErrorKind::Config) names the field that is out of bounds.
    pub fn build(self) -> Result<Facts, Error> {
        self.config.check()?;
        Ok(Facts { book: Book::new(self.config.max_facts), source: source::Source::new(&self.config) })
    }
}
