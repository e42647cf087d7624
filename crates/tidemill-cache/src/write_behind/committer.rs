//! The one who has the journal: takes the changes of many callers, writes them as one frame, and tells each.

use std::sync::Arc;
use std::time::Duration;

use tidemill_journal::{Disk as _, Journal, Lock, OsDisk};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::frame::{self, Bytes};
use super::{Shared, WriteBehindConfig, closed};
use crate::error::Error;
use crate::store::{Key, Value};
use crate::sync::{Ordering, lock};

/// Bytes of a change.
pub(super) const MAX_CHANGE: usize = 32 << 20;
/// Bytes after which a frame takes no more changes.
const FRAME: usize = 1 << 20;
/// How often a journal that need not sync at once does.
const TICK: Duration = Duration::from_secs(1);

/// One change and who waits for it.
pub(super) struct Commit<K, V> {
    pub(super) key: K,
    pub(super) value: Option<V>,
    pub(super) bytes: Bytes,
    pub(super) cost: u32,
    pub(super) reply: oneshot::Sender<Result<(), Error>>,
}

/// The journal, and the lock of its directory.
type Held = (Journal, Box<dyn Lock>);
/// Changes that an earlier process left, each with its frame.
type Left = Vec<(u64, Bytes)>;

pub(super) struct Committer<K, V> {
    shared: Arc<Shared<K, V>>,
    /// With the lock of its directory, wherever it is being written.
    journal: Option<Held>,
    trims: watch::Sender<u64>,
    began: Instant,
}

impl<K: Key, V: Value> Committer<K, V> {
    pub(super) fn open(config: &WriteBehindConfig, shared: Arc<Shared<K, V>>) -> Result<(Self, Left), Error> {
        let (journal, left) = open_journal(config)?;
        let trims = watch::Sender::new(0);
        Ok((Self { shared, journal: Some(journal), trims, began: Instant::now() }, left))
    }

    /// Where the flusher says up to which frame everything is written.
    pub(super) fn trims(&self) -> watch::Sender<u64> {
        self.trims.clone()
    }

    pub(super) async fn run(mut self, mut wanted: mpsc::Receiver<Commit<K, V>>) {
        let (mut trims, mut closing) = (self.trims.subscribe(), self.shared.closing.subscribe());
        let mut tick = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                biased;
                Ok(()) = trims.changed() => {
                    let to = *trims.borrow_and_update();
                    // A journal that cannot trim now does so at the next call.
                    _ = self.with(move |journal, _| journal.trim(to)).await;
                }
                commit = wanted.recv() => match commit {
                    Some(first) => self.commit(first, &mut wanted).await,
                    None => break,
                },
                _ = tick.tick() => { _ = self.with(|journal, now| journal.tick(now)).await; }
                () = closed(&mut closing) => break,
            }
        }
        wanted.close();
        while let Ok(late) = wanted.try_recv() {
            self.shared.give_back(late.cost);
            _ = late.reply.send(Err(Error::closed()));
        }
        let to = lock(&self.shared.pending).watermark();
        _ = self
            .with(move |journal, _| {
                journal.trim(to)?;
                journal.close().map(drop)
            })
            .await;
    }

    async fn commit(&mut self, first: Commit<K, V>, wanted: &mut mpsc::Receiver<Commit<K, V>>) {
        let mut frame = frame::begin();
        frame::push(&mut frame, &first.bytes);
        let mut group = vec![first];
        while frame.len() < FRAME
            && let Ok(next) = wanted.try_recv()
        {
            frame::push(&mut frame, &next.bytes);
            group.push(next);
        }
        let committed = self.with(move |journal, now| journal.append(&[&frame], now)).await;
        let seq = match committed {
            Ok(seq) => seq,
            Err(error) => {
                for commit in group {
                    self.shared.give_back(commit.cost);
                    _ = commit.reply.send(Err(error.clone()));
                }
                return;
            }
        };
        let mut replies = Vec::with_capacity(group.len());
        {
            let mut pending = lock(&self.shared.pending);
            for commit in group {
                let freed = pending.add(commit.key, commit.value, seq, commit.cost);
                if freed > 0 {
                    self.shared.counts.coalesced.fetch_add(1, Ordering::Relaxed);
                    self.shared.give_back(freed);
                }
                replies.push(commit.reply);
            }
        }
        self.shared.news.notify_one();
        for reply in replies {
            _ = reply.send(Ok(()));
        }
    }

    /// On a thread that may wait for the disk.
    async fn with<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Journal, Duration) -> Result<T, tidemill_journal::Error> + Send + 'static,
    ) -> Result<T, Error> {
        let Some((mut journal, lock)) = self.journal.take() else { return Err(Error::closed()) };
        let now = self.began.elapsed();
        let worked = tokio::task::spawn_blocking(move || {
            let result = work(&mut journal, now);
            ((journal, lock), result)
        });
        let (journal, result) = worked.await.map_err(|error| Error::journal(error.into()))?;
        self.journal = Some(journal);
        result.map_err(|error| Error::journal(error.into()))
    }
}

/// The journal in its directory, which is locked.
fn open_journal(config: &WriteBehindConfig) -> Result<(Held, Left), Error> {
    let io = |error| Error::disk(&config.dir, error);
    std::fs::create_dir_all(&config.dir).map_err(io)?;
    let disk = Arc::new(OsDisk);
    let lock = disk.lock(&config.dir.join("LOCK"), "write-behind").map_err(io)?;
    let sync = if config.sync {
        tidemill_journal::Sync::Commit
    } else {
        tidemill_journal::Sync::Interval(Duration::from_secs(1))
    };
    let settings = tidemill_journal::Config { sync, segment_bytes: 16 << 20, ..Default::default() };
    let mut left = Vec::new();
    let (journal, _) = Journal::open(disk, &config.dir, settings, 0, &mut |seq, payload| {
        let changes = frame::parse(payload).ok_or("a frame of another release")?;
        left.extend(changes.into_iter().map(|change| (seq, change)));
        Ok(())
    })
    .map_err(|error| Error::journal(error.into()))?;
    Ok(((journal, lock), left))
}
