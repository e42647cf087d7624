//! A framed write-ahead log with group commit, and a simulated disk to test durability with.
//!
//! A [`Journal`] is a directory of segment files. One call to [`Journal::append`] writes one frame
//! (`[len, crc32c, seq, unsynced]` and a payload) and, with `sync = "commit"`, returns when the frame is durable.
//! At the next [`Journal::open`] every frame that was acknowledged is handed back, in order, once.
//!
//! - A tail that a crash tore is cut and counted.
//! - A damaged frame that is *proved* to have been durable is corruption: it is reported, never skipped in silence.
//! - After a failed fsync the segment is poisoned: it is never synced again, what it held un-synced goes to a new one.
//! - What a reopened journal cannot prove durable it writes again, because a page cache may hold what the disk does not.
//!
//! All disk calls go through the [`Disk`] trait. [`sim::SimDisk`] implements it in memory and, at a simulated crash, keeps
//! any subset of the un-synced writes and directory entries; use it to test your own crash safety too.
//!
//! ```
//! use std::{path::Path, sync::Arc};
//! use tidemill_journal::{Config, Journal, sim::{Keep, SimDisk}};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let disk = SimDisk::new();
//! let dir = Path::new("/journal");
//! let (mut journal, _) = Journal::open(Arc::new(disk.clone()), dir, Config::default(), 0, &mut |_, _| Ok(()))?;
//! journal.append(&[b"rain"], std::time::Duration::ZERO)?;
//!
//! // The power fails; of what was not synced, nothing is kept.
//! let disk = disk.crash(Keep::Nothing);
//! let mut seen = Vec::new();
//! let (_, recovery) = Journal::open(Arc::new(disk), dir, Config::default(), 0, &mut |seq, payload| {
//!     seen.push((seq, payload.to_vec()));
//!     Ok(())
//! })?;
//! assert_eq!(seen, [(1, b"rain".to_vec())]);
//! assert_eq!(recovery.last_seq, 1);
//! # Ok(())
//! # }
//! ```
//!
//! The bytes on disk are described in `FORMAT.md`.

mod config;
mod disk;
mod error;
mod frame;
mod group;
mod journal;
mod recovery;
pub mod sim;
mod stats;

pub use config::{Config, OnCorruption, Sync};
pub use disk::{AppendFile, Disk, Entry, EntryKind, Lock, OsDisk, ReadFile};
pub use error::{Error, ErrorKind};
pub use frame::FORMAT_VERSION;
pub use group::Group;
pub use journal::{Journal, Replay};
pub use recovery::{Corruption, Recovery};
pub use stats::Stats;
