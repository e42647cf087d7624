//! What write-behind may be told: where its journal is, how much may wait, and how a failing backend is tried again.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::{duration, size};
use crate::error::Error;

/// Settings of a [`WriteBehind`](crate::WriteBehind).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WriteBehindConfig {
    /// A directory of its own for the journal; it is made when there is none. Default `"write-behind"`.
    pub dir: PathBuf,
    /// Whether a change is on the disk when it is acknowledged, and not only in the kernel's hands: what survives a machine that
    /// goes down, where without it only the process may. Default true.
    pub sync: bool,
    /// Changes of one call of the backend. Default 256.
    pub batch: usize,
    /// How long a change may wait for others of its batch. Default `"10ms"`.
    #[serde(with = "duration")]
    pub linger: Duration,
    /// Keys and values that may wait for the backend; whoever writes beyond that waits. Default `"64MB"`.
    #[serde(with = "size")]
    pub max_pending: u64,
    /// How long a writer waits for room. Default `"5s"`.
    #[serde(with = "duration")]
    pub patience: Duration,
    /// After this long a call of the backend counts as failed. Default `"30s"`.
    #[serde(with = "duration")]
    pub timeout: Duration,
    /// The first pause after a failure; each further one doubles it. Default `"50ms"`.
    #[serde(with = "duration")]
    pub first_pause: Duration,
    /// The longest pause. Default `"30s"`.
    #[serde(with = "duration")]
    pub longest_pause: Duration,
}

impl Default for WriteBehindConfig {
    fn default() -> Self {
        Self {
            dir: PathBuf::from("write-behind"),
            sync: true,
            batch: 256,
            linger: Duration::from_millis(10),
            max_pending: 64_000_000,
            patience: Duration::from_secs(5),
            timeout: Duration::from_secs(30),
            first_pause: Duration::from_millis(50),
            longest_pause: Duration::from_secs(30),
        }
    }
}

/// Bytes that one unit of room stands for.
pub(super) const UNIT: usize = 64;

impl WriteBehindConfig {
    pub(super) fn check(&self) -> Result<(), Error> {
        let bad = |field, says: &str| Err(Error::config(field, says.to_owned()));
        if self.batch == 0 || self.batch > 1 << 16 {
            return bad("batch", "is not within 1 to 65536");
        }
        if self.max_pending < 1 << 16 || self.max_pending > 1 << 34 {
            return bad("max_pending", "is not within 64 KiB to 16 GiB");
        }
        if self.timeout.is_zero() || self.first_pause.is_zero() || self.longest_pause < self.first_pause {
            return bad(
                "timeout",
                "and the pauses must be longer than nothing, the longest not below the first",
            );
        }
        Ok(())
    }

    pub(super) fn units(&self) -> usize {
        usize::try_from(self.max_pending).unwrap_or(usize::MAX) / UNIT
    }
}
