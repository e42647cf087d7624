//! The writer's second home: sending what is published, and holding commits until it has arrived where that was asked for.

use std::sync::Arc;

use super::{Inner, Store};
use crate::{Ack, Error, PushReport, Receipt, RemoteStats, published::Published, remote::Origin};

impl Store {
    /// Sends the newest snapshot of each table to the remote, if there is one: what it lacks, then its manifest. Commits and
    /// publishes go on meanwhile, so call it from a thread of its own.
    ///
    /// # Errors
    /// `Remote` or `Disk`: call it again, it goes on where it ended. `Stale` when another writer took the table over; nothing is
    /// changed then, nor by any later push.
    pub fn push(&self) -> Result<PushReport, Error> {
        self.inner.push()
    }

    /// What the remote counted; none without a remote.
    pub fn remote_stats(&self) -> Option<RemoteStats> {
        self.inner.remote.as_ref().map(crate::Remote::stats)
    }
}

impl Inner {
    fn push(&self) -> Result<PushReport, Error> {
        let Some(remote) = &self.remote else { return Ok(PushReport::default()) };
        let newest = || -> Vec<(&str, Arc<Published>)> {
            let state = self.lock();
            let tables = self.tables.iter().zip(&state.tables);
            tables
                .filter_map(|(table, state)| Some((table.name.as_str(), state.published.clone()?)))
                .collect()
        };
        let origin = Origin { disk: &*self.disk, layout: &self.layout, now: (self.clock)() };
        remote.push(&origin, &newest)
    }

    /// With `ack = "remote"` a commit is kept once the bucket shows it; that it is a duplicate does not spare it the way, as the row
    /// it repeats may not have arrived.
    pub(super) fn acknowledge(&self, receipts: Vec<Receipt>) -> Result<Vec<Receipt>, Error> {
        if self.remote.as_ref().is_some_and(|remote| remote.ack() == Ack::Remote) {
            self.publish()?;
            self.push()?;
        }
        Ok(receipts)
    }
}
