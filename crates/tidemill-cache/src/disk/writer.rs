//! The one who writes: takes the log's jobs in their order, on a thread that may wait for the disk.

use std::sync::Arc;

use super::log::Job;
use super::{Progress, Shared};
use crate::sync::lock;

/// Does the log's jobs until there are none.
pub(super) struct Writer {
    shared: Arc<Shared>,
    ended: bool,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, ended: false }
    }

    pub(super) fn drain(mut self) {
        let shared = Arc::clone(&self.shared);
        loop {
            let job = {
                let mut log = lock(&shared.log);
                let Some(job) = log.queue.front().cloned() else {
                    log.draining = false;
                    self.ended = true;
                    return;
                };
                job
            };
            let done = job.run();
            let mut log = lock(&shared.log);
            let written = match (done, job) {
                (Ok(()), Job::Write { bytes, .. }) => bytes.len() as u64,
                // What cannot be removed nor emptied is as bad as what cannot be written, but there is nothing left to do.
                (_, Job::Unlink(_)) => 0,
                (Err(_), Job::Write { .. }) => {
                    log.reset(shared.now_ms());
                    let now = Progress { written: log.handed(), resets: log.counts.resets };
                    shared.progress.send_replace(now);
                    continue;
                }
            };
            log.done();
            if written > 0 {
                shared.progress.send_modify(|now| now.written += written);
            }
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // A runtime that ends may drop it before it ran.
        if !self.ended {
            lock(&self.shared.log).draining = false;
        }
    }
}
