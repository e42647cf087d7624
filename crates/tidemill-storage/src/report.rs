//! What a publish did.

use std::time::Duration;

use serde::Serialize;

/// What one publish wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Tables that got a new snapshot.
    pub tables: Vec<PublishedTable>,
    /// Everything up to this journal frame is published.
    pub watermark: u64,
    /// How long it took.
    pub took: Duration,
}

/// One new snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PublishedTable {
    /// The table.
    pub name: String,
    /// Number of the snapshot.
    pub snapshot: u64,
    /// Rows in it, all files together.
    pub rows: u64,
    /// Rows that were in memory and are in it now.
    pub merged: u64,
    /// Files written.
    pub files_written: u64,
    /// Files that had grown too long and were cut into several, all of them counted as written too.
    pub files_split: u64,
    /// Files taken over from the snapshot before by hard link.
    pub files_linked: u64,
    /// Bytes of the files written.
    pub bytes_written: u64,
}
