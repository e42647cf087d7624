//! What the journal promises, checked on the simulated disk and on the real one.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod crash;
mod damage;
mod format;
mod real;

use std::{path::Path, sync::Arc, time::Duration};

use tidemill_journal::{Config, Error, Journal, Recovery, sim::SimDisk};

pub(crate) const DIR: &str = "/journal";

pub(crate) type Frames = Vec<(u64, Vec<u8>)>;

/// Opens and collects what is handed back.
pub(crate) fn open(disk: &SimDisk, config: &Config) -> Result<(Journal, Recovery, Frames), Error> {
    open_above(disk, config, 0)
}

pub(crate) fn open_above(
    disk: &SimDisk,
    config: &Config,
    floor: u64,
) -> Result<(Journal, Recovery, Frames), Error> {
    let mut frames = Vec::new();
    let (journal, recovery) =
        Journal::open(Arc::new(disk.clone()), Path::new(DIR), config.clone(), floor, &mut |seq, payload| {
            frames.push((seq, payload.to_vec()));
            Ok(())
        })?;
    Ok((journal, recovery, frames))
}

pub(crate) fn append(journal: &mut Journal, payload: &[u8]) -> Result<u64, Error> {
    journal.append(&[payload], Duration::ZERO)
}
