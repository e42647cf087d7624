//! A lease as it is kept and as it is read: owner, epoch, end, payload.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::name::{Name, Owner};

/// The most bytes in a payload.
pub const MAX_PAYLOAD: usize = 64 * 1024;
/// The most former owners that a lease remembers as unconfirmed; the next takeover is refused.
pub const MAX_UNCONFIRMED: usize = 64;
/// The most leases in one page of a list.
pub const MAX_PAGE: usize = 256;

/// The fencing token: it rises by at least one with every acquisition of a name and is never given twice, not
/// even after a release. Hand it to whatever you write to, and let that refuse any smaller one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// An instant by the clock of a store.
///
/// Instants of different eras cannot be compared. A store that measures time since boot uses the boot's identity as
/// the era: **a new era says that every owner of an earlier one is dead.** Other stores have the era 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Which origin `since` counts from.
    pub era: u128,
    /// Time since that origin.
    pub since: Duration,
}

/// What a store keeps under a name. It is never deleted, since the epoch must outlive its owners.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The current epoch.
    pub epoch: Epoch,
    /// Counts the writes; with the epoch it is the condition of the next one.
    pub version: u64,
    /// Who has it, or had it last.
    pub owner: Owner,
    /// Whether the owner gave it back cleanly.
    pub released: bool,
    /// When the term ends; when it was given back, for a released one.
    pub ends: Moment,
    /// What the owner may have in the air at once, in units of its choice.
    pub reserve: u32,
    /// Former owners that lost the lease without giving it back and have not said that they stopped. At most
    /// [`MAX_UNCONFIRMED`].
    pub unconfirmed: Vec<Former>,
    /// Bytes of the owner's. At most [`MAX_PAYLOAD`].
    pub payload: Vec<u8>,
}

/// An owner that lost the lease without giving it back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Former {
    /// The epoch it held.
    pub epoch: Epoch,
    /// Who it was.
    pub owner: Owner,
    /// What it may still have in the air.
    pub reserve: u32,
}

/// Whether a lease can be had, by the clock of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Standing {
    /// Somebody has it, for so long unless it is renewed.
    Held {
        /// What is left of the term.
        remaining: Duration,
    },
    /// The term ended without a release.
    Expired {
        /// At least so long ago.
        since: Duration,
    },
    /// It was given back cleanly.
    Released {
        /// At least so long ago.
        since: Duration,
    },
}

/// A lease as [`Leases::read`](crate::Leases::read) tells it; old as soon as it is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lease {
    /// The resource.
    pub name: Name,
    /// The current epoch.
    pub epoch: Epoch,
    /// Who has it, or had it last.
    pub owner: Owner,
    /// Whether it can be had.
    pub standing: Standing,
    /// What the owner may have in the air at once.
    pub reserve: u32,
    /// Former owners that have not said that they stopped.
    pub unconfirmed: Vec<Former>,
    /// Bytes of the owner's.
    pub payload: Vec<u8>,
}

impl Lease {
    /// What `record` says at `now`.
    pub fn from_record(name: Name, record: Record, now: Moment) -> Self {
        Self {
            name,
            epoch: record.epoch,
            standing: record.standing(now),
            owner: record.owner,
            reserve: record.reserve,
            unconfirmed: record.unconfirmed,
            payload: record.payload,
        }
    }
}

impl Record {
    /// Whether it can be had at `now`. In a new era a lease has ended, nobody knows when: at least zero ago.
    pub fn standing(&self, now: Moment) -> Standing {
        let same = self.ends.era == now.era;
        let since = if same { now.since.saturating_sub(self.ends.since) } else { Duration::ZERO };
        if self.released {
            Standing::Released { since }
        } else if same && now.since < self.ends.since {
            Standing::Held { remaining: self.ends.since - now.since }
        } else {
            Standing::Expired { since }
        }
    }
}

/// In what state a new owner found the lease: what it may assume about what its predecessor did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Handover {
    /// Nobody ever had it.
    First,
    /// The last owner gave it back and had stopped by then; its payload is its last word.
    Clean {
        /// At least so long ago.
        since: Duration,
    },
    /// The last owner's term ended. It did not act later than that, but for what was in the air.
    Expired {
        /// At least so long ago.
        since: Duration,
    },
    /// We had it ourselves and forgot. An earlier life of this owner might act until the term that it knew ends.
    Again {
        /// How long that is.
        remaining: Duration,
    },
}

impl Handover {
    /// How long after the acquisition everything that the predecessor did is at least `window` old.
    ///
    /// For a rate limit of N in `window`: all N slots count as taken for so long. After a clean handover it is the
    /// whole of what is left of the window too; who has the predecessor's stamps in the payload knows better and uses
    /// those.
    pub fn guard(&self, window: Duration) -> Duration {
        match *self {
            Self::First => Duration::ZERO,
            Self::Clean { since } | Self::Expired { since } => window.saturating_sub(since),
            Self::Again { remaining } => window.saturating_add(remaining),
        }
    }

    /// Whether the payload is the last word of an owner that had stopped.
    pub fn is_clean(&self) -> bool {
        matches!(self, Self::First | Self::Clean { .. })
    }
}
