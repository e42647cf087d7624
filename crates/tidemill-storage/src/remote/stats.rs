//! What a remote counted since it was opened.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde::Serialize;

/// Monotone counters of a remote, and a gauge.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RemoteStats {
    /// Manifests replaced: tables whose newest snapshot became the bucket's.
    pub pushes: u64,
    /// Files sent.
    pub uploads: u64,
    /// Bytes of files sent.
    pub uploaded_bytes: u64,
    /// Files found under their key, sent by a push that did not end.
    pub resumed: u64,
    /// Keys deleted because nobody needs them.
    pub deleted: u64,
    /// Pushes refused because another writer had taken the table over.
    pub refused: u64,
    /// Pushes that failed for any reason.
    pub errors: u64,
    /// Gauge: tables whose newest snapshot is not in the bucket.
    pub behind: u64,
}

impl RemoteStats {
    /// What was counted since `earlier`; the gauge keeps its present value.
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            pushes: self.pushes - earlier.pushes,
            uploads: self.uploads - earlier.uploads,
            uploaded_bytes: self.uploaded_bytes - earlier.uploaded_bytes,
            resumed: self.resumed - earlier.resumed,
            deleted: self.deleted - earlier.deleted,
            refused: self.refused - earlier.refused,
            errors: self.errors - earlier.errors,
            behind: self.behind,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) pushes: AtomicU64,
    pub(super) uploads: AtomicU64,
    pub(super) uploaded_bytes: AtomicU64,
    pub(super) resumed: AtomicU64,
    pub(super) deleted: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) errors: AtomicU64,
    pub(super) behind: AtomicU64,
}

impl Counters {
    pub(super) fn read(&self) -> RemoteStats {
        RemoteStats {
            pushes: self.pushes.load(Relaxed),
            uploads: self.uploads.load(Relaxed),
            uploaded_bytes: self.uploaded_bytes.load(Relaxed),
            resumed: self.resumed.load(Relaxed),
            deleted: self.deleted.load(Relaxed),
            refused: self.refused.load(Relaxed),
            errors: self.errors.load(Relaxed),
            behind: self.behind.load(Relaxed),
        }
    }
}
