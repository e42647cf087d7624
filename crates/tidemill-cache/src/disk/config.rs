//! What a disk tier may be told: where it is and how much it holds.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::log::Limits;
use crate::error::Error;

/// Files a tier has at most.
const MAX_SEGMENTS: usize = 4096;

/// Settings of a [`Disk`](crate::Disk) tier. Sizes are written `"10GB"` or `"64MiB"`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DiskConfig {
    /// A directory of its own; it is made when there is none. Default `"cache"`.
    pub dir: PathBuf,
    /// Bytes of all files: the oldest values go when it is full. From 1 MiB to 2^48. Default `"10GB"`.
    #[serde(with = "crate::config::size")]
    pub capacity: u64,
    /// Values: an index in memory has some 40 bytes of each. Default 16 million.
    pub max_entries: usize,
    /// Whether values are compressed (LZ4) where that saves an eighth. Default true.
    pub compress: bool,
}

impl Default for DiskConfig {
    fn default() -> Self {
        Self {
            dir: PathBuf::from("cache"),
            capacity: 10_000_000_000,
            max_entries: 16_000_000,
            compress: true,
        }
    }
}

impl DiskConfig {
    pub(super) fn limits(&self) -> Result<Limits, Error> {
        if self.capacity < 1 << 20 || self.capacity > 1 << 48 {
            return Err(Error::config("capacity", format!("{} is not within 1 MiB to 2^48", self.capacity)));
        }
        if self.max_entries == 0 {
            return Err(Error::config("max_entries", "must be at least 1".to_owned()));
        }
        // Room is made a segment at a time.
        let segment = (self.capacity / 16).clamp(64 << 10, 64 << 20);
        // A great capacity has greater segments rather than more of them.
        let segment = segment.max(self.capacity / (MAX_SEGMENTS as u64 / 2)).min(1 << 31);
        Ok(Limits { capacity: self.capacity, segment, entries: self.max_entries, segments: MAX_SEGMENTS })
    }
}
