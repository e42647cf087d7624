//! The one who tells the backend: batches, in the order of the first change, tried again until they are written.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::pending::Sent;
use super::{Backend, Change, Failure, Shared, WriteBehindConfig, closed};
use crate::store::{Key, Value};
use crate::sync::{Ordering, lock};

pub(super) struct Flusher<K, V, B> {
    shared: Arc<Shared<K, V>>,
    backend: B,
    trims: watch::Sender<u64>,
    batch: usize,
    linger: Duration,
    timeout: Duration,
    pauses: (Duration, Duration),
}

/// Frames that are written before the journal is told: each time it begins a new file.
const TRIM_EVERY: u64 = 1024;

impl<K: Key, V: Value, B: Backend<K, V>> Flusher<K, V, B> {
    pub(super) fn new(
        config: &WriteBehindConfig,
        shared: Arc<Shared<K, V>>,
        backend: B,
        trims: watch::Sender<u64>,
    ) -> Self {
        let pauses = (config.first_pause, config.longest_pause);
        let (batch, linger, timeout) = (config.batch, config.linger, config.timeout);
        Self { shared, backend, trims, batch, linger, timeout, pauses }
    }

    pub(super) async fn run(self) {
        let mut closing = self.shared.closing.subscribe();
        tokio::select! {
            () = self.write_for_ever() => {}
            () = closed(&mut closing) => {}
        }
    }

    async fn write_for_ever(&self) {
        let (mut pause, mut trimmed) = (self.pauses.0, 0);
        loop {
            let waits = lock(&self.shared.pending).len();
            if waits == 0 {
                self.shared.news.notified().await;
                continue;
            }
            if waits < self.batch && !self.shared.room.is_closed() {
                tokio::time::sleep(self.linger).await;
            }
            let (sent, changes) = self.next();
            match tokio::time::timeout(self.timeout, self.backend.write(&changes)).await {
                Ok(Ok(())) => {
                    pause = self.pauses.0;
                    self.shared.counts.batches.fetch_add(1, Ordering::Relaxed);
                    self.shared.counts.written.fetch_add(sent.len() as u64, Ordering::Relaxed);
                    trimmed = self.let_go(&sent, trimmed);
                }
                Ok(Err(Failure::Reject { at, error })) if at < sent.len() => {
                    self.shared.counts.rejected.fetch_add(1, Ordering::Relaxed);
                    trimmed = self.let_go(&sent[at..=at], trimmed);
                    if let (Some(reject), Some(change)) = (&self.shared.reject, changes.into_iter().nth(at)) {
                        reject(change, error);
                    }
                }
                Ok(Err(_)) | Err(_) => {
                    self.shared.counts.failures.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(self.pauses.1);
                }
            }
        }
    }

    fn next(&self) -> (Vec<Sent<K>>, Vec<Change<K, V>>) {
        let batch = lock(&self.shared.pending).batch(self.batch);
        let change = |(sent, value): (Sent<K>, Option<V>)| {
            let key = sent.key.clone();
            (sent, value.map_or_else(|| Change::Remove(key.clone()), |value| Change::Put(key.clone(), value)))
        };
        batch.into_iter().map(change).unzip()
    }

    /// What is written makes room; returns up to which frame the journal was told.
    fn let_go(&self, sent: &[Sent<K>], trimmed: u64) -> u64 {
        let (freed, watermark, empty) = {
            let mut pending = lock(&self.shared.pending);
            let freed = sent.iter().map(|sent| pending.written(sent)).sum();
            (freed, pending.watermark(), pending.len() == 0)
        };
        self.shared.give_back(freed);
        self.shared.progress.send_modify(|written| *written += 1);
        if watermark < trimmed + if empty { TRIM_EVERY / 8 } else { TRIM_EVERY } {
            return trimmed;
        }
        self.trims.send_replace(watermark);
        watermark
    }
}
