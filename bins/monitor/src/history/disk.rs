//! The one thread that writes history to the disk. Nobody waits for it: what finds its queue full is dropped and counted.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use tidemill_storage::Store;

use super::config::Config;
use super::tier::{Row, Stores, Tier};
use super::track::Closed;
use crate::series::Series;

/// Rounds that wait for the disk, at most.
const QUEUE: usize = 256;
/// Rows written with one fsync, about.
const GROUP: usize = 20_000;

/// Rows of each tier.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) raw: Vec<Row>,
    pub(super) minute: Vec<Row>,
    pub(super) hour: Vec<Row>,
}

/// The way to the thread, and the stores it shares.
#[derive(Debug)]
pub(super) struct Disk {
    orders: SyncSender<Order>,
    tiers: Arc<[Mutex<Stores>; 3]>,
    failed: Arc<AtomicU64>,
}

/// The thread itself.
#[derive(Debug)]
pub struct Writing {
    orders: SyncSender<Order>,
    thread: JoinHandle<Result<()>>,
}

#[derive(Debug)]
enum Order {
    Rows(Rows),
    Publish(SyncSender<Result<()>>),
    Close,
}

impl Rows {
    pub(super) fn is_empty(&self) -> bool {
        self.raw.is_empty() && self.minute.is_empty() && self.hour.is_empty()
    }

    pub(super) fn add(&mut self, series: &Arc<Series>, closed: Closed) {
        let row = |span| Row { series: Arc::clone(series), span };
        self.minute.extend(closed.minute.map(row));
        self.hour.extend(closed.hour.map(row));
    }

    fn append(&mut self, mut other: Self) {
        self.raw.append(&mut other.raw);
        self.minute.append(&mut other.minute);
        self.hour.append(&mut other.hour);
    }

    fn of(&self, tier: Tier) -> &[Row] {
        match tier {
            Tier::Raw => &self.raw,
            Tier::Minute => &self.minute,
            Tier::Hour => &self.hour,
        }
    }
}

impl Disk {
    pub(super) fn start(dir: &Path, config: &Config) -> Result<(Self, Writing)> {
        let tiers = Arc::new(Tier::ALL.map(|tier| Mutex::new(Stores::new(dir, tier))));
        let failed = Arc::new(AtomicU64::new(0));
        let (orders, received) = sync_channel(QUEUE);
        let writer =
            Writer { tiers: Arc::clone(&tiers), failed: Arc::clone(&failed), config: config.clone() };
        let thread = std::thread::Builder::new()
            .name("history".into())
            .spawn(move || writer.run(&received))
            .context("cannot start the writing thread")?;
        Ok((Self { orders: orders.clone(), tiers, failed }, Writing { orders, thread }))
    }

    /// False when the disk is behind by a whole queue.
    pub(super) fn send(&self, rows: Rows) -> bool {
        self.orders.try_send(Order::Rows(rows)).is_ok()
    }

    pub(super) fn publish(&self) -> Result<()> {
        let (reply, answer) = sync_channel(1);
        self.orders.send(Order::Publish(reply)).map_err(|_| gone())?;
        answer.recv().map_err(|_| gone())?
    }

    pub(super) fn failed(&self) -> u64 {
        self.failed.load(Relaxed)
    }

    /// The stores that a stretch of time touches. Blocks while the thread writes to this tier.
    pub(super) fn within(&self, tier: Tier, from_ms: i64, to_ms: i64) -> Result<Vec<Store>> {
        locked(&self.tiers, tier).within(from_ms, to_ms)
    }
}

impl Writing {
    /// Writes what waits, publishes, and ends the thread. Blocks.
    ///
    /// # Errors
    /// What the disk said; everything committed before is kept all the same.
    pub fn close(self) -> Result<()> {
        self.orders.send(Order::Close).map_err(|_| gone())?;
        self.thread.join().map_err(|_| anyhow!("the thread that writes history panicked"))?
    }
}

fn gone() -> anyhow::Error {
    anyhow!("the thread that writes history has ended; its error stands in the log")
}

fn locked(tiers: &[Mutex<Stores>; 3], tier: Tier) -> MutexGuard<'_, Stores> {
    tiers[tier as usize].lock().unwrap_or_else(PoisonError::into_inner)
}

struct Writer {
    tiers: Arc<[Mutex<Stores>; 3]>,
    failed: Arc<AtomicU64>,
    config: Config,
}

impl Writer {
    fn run(&self, orders: &Receiver<Order>) -> Result<()> {
        let mut published = Instant::now();
        loop {
            let wait = self.config.publish_every.saturating_sub(published.elapsed());
            match orders.recv_timeout(wait.max(Duration::from_millis(1))) {
                Ok(Order::Rows(mut rows)) => {
                    let mut next = None;
                    while rows.raw.len() < GROUP && next.is_none() {
                        match orders.try_recv() {
                            Ok(Order::Rows(more)) => rows.append(more),
                            Ok(other) => next = Some(other),
                            Err(_) => break,
                        }
                    }
                    self.commit(&rows);
                    match next {
                        Some(Order::Publish(reply)) => {
                            reply.send(self.publish()).ok();
                            published = Instant::now();
                        }
                        Some(Order::Close) => return self.close(),
                        Some(Order::Rows(_)) | None => {}
                    }
                }
                Ok(Order::Publish(reply)) => {
                    reply.send(self.publish()).ok();
                    published = Instant::now();
                }
                Ok(Order::Close) | Err(RecvTimeoutError::Disconnected) => return self.close(),
                Err(RecvTimeoutError::Timeout) => {}
            }
            let full = Tier::ALL.iter().any(|tier| locked(&self.tiers, *tier).needs_publish());
            if full || published.elapsed() >= self.config.publish_every {
                if let Err(error) = self.publish() {
                    self.failed.fetch_add(1, Relaxed);
                    tracing::warn!(
                        error = format!("{error:#}"),
                        "history is committed but cannot be published now"
                    );
                }
                published = Instant::now();
            }
        }
    }

    /// A failure is told and counted; memory has what did not reach the disk.
    fn commit(&self, rows: &Rows) {
        for tier in Tier::ALL {
            if rows.of(tier).is_empty() {
                continue;
            }
            if let Err(error) = locked(&self.tiers, tier).commit(rows.of(tier)) {
                self.failed.fetch_add(1, Relaxed);
                tracing::error!(error = format!("{error:#}"), tier = tier.name(), "history cannot be kept");
            }
        }
    }

    fn publish(&self) -> Result<()> {
        let now = crate::now_ms();
        let keep = [self.config.raw, self.config.minute, self.config.hour];
        for (tier, keep) in Tier::ALL.into_iter().zip(keep) {
            locked(&self.tiers, tier).publish(now, keep)?;
        }
        Ok(())
    }

    fn close(&self) -> Result<()> {
        let ended = Tier::ALL.map(|tier| locked(&self.tiers, tier).close());
        let failed: Vec<String> =
            ended.into_iter().filter_map(|end| Some(format!("{:#}", end.err()?))).collect();
        ensure!(failed.is_empty(), "{}", failed.join("; "));
        Ok(())
    }
}
