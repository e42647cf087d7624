//! The one thread that writes: groups commits under one fsync, and publishes from time to time.
//!
//! Answers come through a bounded channel, so a slow disk slows the asking down instead of filling the memory. Nobody
//! waits for an acknowledgement before asking for the next symbol, so the thread may linger for a moment and make one
//! fsync serve many answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use tidemill_storage::{Changes, Receipt, Store};
use tokio::sync::{mpsc, oneshot};

/// How the writer groups and publishes. It may be changed while the writer works.
#[derive(Debug)]
pub struct Rhythm {
    group: AtomicUsize,
    linger_us: AtomicU64,
    publish_every_ms: AtomicU64,
    buffer_bytes: AtomicU64,
}

/// The way to the writing thread. The thread ends when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct Writer {
    to_thread: mpsc::Sender<Order>,
}

enum Order {
    Commit(Changes, Reply),
    Publish(oneshot::Sender<Result<()>>),
}

impl Rhythm {
    /// `group` commits under one fsync at most, each waiting `linger` for others to share it; the time between publishes
    /// while there is something new; and the bytes of rows in memory that are published at once.
    pub fn new(group: usize, linger: Duration, publish_every: Duration, buffer_bytes: u64) -> Self {
        let rhythm = Self {
            group: AtomicUsize::new(0),
            linger_us: AtomicU64::new(0),
            publish_every_ms: AtomicU64::new(0),
            buffer_bytes: AtomicU64::new(buffer_bytes),
        };
        rhythm.set_group(group);
        rhythm.set_linger(linger);
        rhythm.set_publish_every(publish_every);
        rhythm
    }

    /// Commits under one fsync, at most.
    pub fn group(&self) -> usize {
        self.group.load(Ordering::Relaxed)
    }

    /// Changes it; at least one.
    pub fn set_group(&self, group: usize) {
        self.group.store(group.max(1), Ordering::Relaxed);
    }

    /// Time a commit waits for others to share its fsync.
    pub fn linger(&self) -> Duration {
        Duration::from_micros(self.linger_us.load(Ordering::Relaxed))
    }

    /// Changes it, in whole microseconds.
    pub fn set_linger(&self, linger: Duration) {
        self.linger_us.store(u64::try_from(linger.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Time between publishes while there is something new.
    pub fn publish_every(&self) -> Duration {
        Duration::from_millis(self.publish_every_ms.load(Ordering::Relaxed))
    }

    /// Changes it, in whole milliseconds.
    pub fn set_publish_every(&self, every: Duration) {
        self.publish_every_ms.store(u64::try_from(every.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Bytes of rows in memory that are published at once.
    pub fn buffer_bytes(&self) -> u64 {
        self.buffer_bytes.load(Ordering::Relaxed)
    }

    /// Changes it; the store's own bound stands above it.
    pub fn set_buffer_bytes(&self, bytes: u64) {
        self.buffer_bytes.store(bytes, Ordering::Relaxed);
    }

    fn is_publish_due(&self, store: &Store, last: Instant) -> bool {
        let is_full = || store.stats().memory_bytes >= self.buffer_bytes();
        last.elapsed() >= self.publish_every() || store.needs_publish() || is_full()
    }
}

impl Writer {
    /// Starts the thread.
    pub fn start(store: Store, rhythm: Arc<Rhythm>) -> Result<(Self, JoinHandle<()>)> {
        let (to_thread, orders) = mpsc::channel(rhythm.group() * 2);
        let thread = std::thread::Builder::new()
            .name("writer".into())
            .spawn(move || write(&store, orders, &rhythm))
            .context("cannot start the writing thread")?;
        Ok((Self { to_thread }, thread))
    }

    /// Hands changes over; waits only where the thread is behind by a whole channel.
    pub async fn commit(&self, changes: Changes) -> Result<Acknowledgement> {
        let (reply, answer) = oneshot::channel();
        self.send(Order::Commit(changes, reply)).await?;
        Ok(Acknowledgement(answer))
    }

    /// Makes every committed row visible to readers.
    pub async fn publish(&self) -> Result<()> {
        let (reply, answer) = oneshot::channel();
        self.send(Order::Publish(reply)).await?;
        answer.await.map_err(|_| gone())?
    }

    async fn send(&self, order: Order) -> Result<()> {
        self.to_thread.send(order).await.map_err(|_| gone())
    }
}

/// A commit on its way. Until it says `Ok` a crash may lose the rows; from then on none does.
#[derive(Debug)]
pub struct Acknowledgement(oneshot::Receiver<Result<Receipt>>);

impl Acknowledgement {
    /// Waits for the disk.
    pub async fn kept(self) -> Result<Receipt> {
        self.0.await.map_err(|_| gone())?
    }
}

fn gone() -> anyhow::Error {
    anyhow!("the writing thread has ended; its error stands in the log")
}

fn write(store: &Store, mut orders: mpsc::Receiver<Order>, rhythm: &Rhythm) {
    let mut published = Instant::now();
    let mut dirty = false;
    let mut held = None;
    while let Some(order) = held.take().or_else(|| orders.blocking_recv()) {
        match order {
            Order::Publish(reply) => {
                let done = publish(store);
                published = Instant::now();
                dirty &= done.is_err();
                let _ = reply.send(done);
            }
            Order::Commit(first, reply) => {
                let (mut group, mut replies) = (vec![first], vec![reply]);
                let most = rhythm.group();
                held = gather(&mut orders, most, &mut group, &mut replies);
                if group.len() < most && held.is_none() && !orders.is_closed() {
                    std::thread::sleep(rhythm.linger());
                    held = gather(&mut orders, most, &mut group, &mut replies);
                }
                answer(store.commit_group(group), replies);
                dirty = true;
            }
        }
        if dirty && rhythm.is_publish_due(store, published) {
            match publish(store) {
                Ok(()) => dirty = false,
                Err(error) => tracing::warn!(
                    error = format!("{error:#}"),
                    "cannot publish now; committed rows stay in the journal"
                ),
            }
            published = Instant::now();
        }
    }
}

type Reply = oneshot::Sender<Result<Receipt>>;

/// Takes the commits that wait already, up to `most`; another order ends the group and is handed back.
fn gather(
    orders: &mut mpsc::Receiver<Order>,
    most: usize,
    group: &mut Vec<Changes>,
    replies: &mut Vec<Reply>,
) -> Option<Order> {
    while group.len() < most {
        match orders.try_recv() {
            Ok(Order::Commit(changes, reply)) => {
                group.push(changes);
                replies.push(reply);
            }
            Ok(other) => return Some(other),
            Err(_) => return None,
        }
    }
    None
}

fn publish(store: &Store) -> Result<()> {
    let report = store.publish().context("cannot publish")?;
    tracing::debug!(?report, "published");
    Ok(())
}

fn answer(
    done: Result<Vec<Receipt>, tidemill_storage::Error>,
    replies: Vec<oneshot::Sender<Result<Receipt>>>,
) {
    match done {
        Ok(receipts) => {
            for (receipt, reply) in receipts.into_iter().zip(replies) {
                let _ = reply.send(Ok(receipt));
            }
        }
        Err(error) => {
            let error = format!("{:#}", anyhow::Error::new(error).context("rows could not be kept"));
            for reply in replies {
                let _ = reply.send(Err(anyhow!(error.clone())));
            }
        }
    }
}
