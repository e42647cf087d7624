//! The tier on this machine's disk: values that outlive the process, in segments that are appended to and dropped whole.

use std::fs::File;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use tokio::sync::watch;

use crate::error::Error;
use crate::lifetime::millis;
use crate::sync::lock;
use crate::tier::{Claim, Record, TierError};

mod config;
mod frame;
mod log;
mod recovery;
mod segment;
mod tier;
mod writer;

pub use config::DiskConfig;
use log::{Limits, Log};
pub use recovery::Recovered;
use recovery::State;
use tier::blocking;
use writer::Writer;

/// Bytes that may wait for the disk; beyond, whoever writes waits too.
const MAX_QUEUED: u64 = 4 << 20;

/// Values on this machine's disk. Needs the feature `disk`, a Unix, and a tokio runtime with blocking threads.
///
/// A handle: a clone is the same tier, so keep one beside the cache for [`stats`](Self::stats) and [`close`](Self::close).
///
/// **What is kept.** A process that is killed loses new values of its last moments and nothing else: what replaces or removes a value
/// is in the kernel's hands before the call returns. A machine that goes down empties the tier, unless it was closed before. A disk
/// that refuses a write empties it too: better no value than an old one.
///
/// **Room.** Values lie in the order of their writing, in some 16 files, and the oldest file goes when room is needed or when all in
/// it has ended. Each value costs 55 bytes beside its key, and 40 in memory.
///
/// **Damage** is noticed by checksums: a damaged value is absent, and what may have been replaced by it too.
#[derive(Clone)]
pub struct Disk(Arc<Shared>);

struct Shared {
    log: Mutex<Log>,
    progress: watch::Sender<Progress>,
    wall: Box<dyn Fn() -> SystemTime + Send + Sync>,
    limits: Limits,
    compress: bool,
    dir: PathBuf,
    recovered: Recovered,
    /// Held as long as anybody has the directory.
    _lock: File,
}

/// What the writer has done.
#[derive(Clone, Copy, Default)]
struct Progress {
    /// Of the bytes ever appended.
    written: u64,
    resets: u64,
}

/// What a [`Disk`] has done and holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DiskStats {
    /// What the open found.
    pub recovered: Recovered,
    /// Values whose room was needed.
    pub evicted: u64,
    /// Values that ended and whose file went.
    pub expired: u64,
    /// Values that were damaged when they were read.
    pub damaged: u64,
    /// How often the disk refused a write, after which the tier is empty.
    pub resets: u64,
    /// Values (gauge).
    pub entries: u64,
    /// Bytes of all files (gauge).
    pub bytes: u64,
}

/// The disk refused a write: the tier is empty now.
#[derive(Debug, thiserror::Error)]
#[error("the disk refused a write; the tier begins anew")]
struct Refused;

/// The tier was asked outside a runtime.
#[derive(Debug, thiserror::Error)]
#[error("a disk tier needs a tokio runtime")]
struct NoRuntime;

impl Disk {
    /// Opens the directory and reads what is there, one file after another: call it before the runtime has work to do.
    ///
    /// # Errors
    /// `Config` for a setting out of its bounds, `Disk` when the directory cannot be used or another process has it.
    pub fn open(config: &DiskConfig) -> Result<Self, Error> {
        Self::open_with(config, SystemTime::now)
    }

    /// With another wall clock than the machine's.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(
        config: &DiskConfig,
        wall: impl Fn() -> SystemTime + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        let limits = config.limits()?;
        let lock = recovery::lock(&config.dir).map_err(|error| Error::disk(&config.dir, error))?;
        let (log, recovered) = recovery::recover(&config.dir, limits, unix_ms(wall()))
            .map_err(|error| Error::disk(&config.dir, error))?;
        Ok(Self(Arc::new(Shared {
            log: Mutex::new(log),
            progress: watch::Sender::new(Progress::default()),
            wall: Box::new(wall),
            limits,
            compress: config.compress,
            dir: config.dir.clone(),
            recovered,
            _lock: lock,
        })))
    }

    /// What it has done and holds.
    #[must_use]
    pub fn stats(&self) -> DiskStats {
        let log = lock(&self.0.log);
        let counts = log.counts;
        DiskStats {
            recovered: self.0.recovered,
            evicted: counts.evicted,
            expired: counts.expired,
            damaged: counts.damaged,
            resets: counts.resets,
            entries: log.entries() as u64,
            bytes: log.bytes(),
        }
    }

    /// Writes everything down and says so, so that it is believed even after the machine went down. The tier goes on, and what
    /// is written later is not covered: close the last thing before the end.
    ///
    /// # Errors
    /// `Disk` when it could not be written, or not before the deadline.
    pub async fn close(&self, deadline: Duration) -> Result<(), Error> {
        let late = || std::io::Error::new(ErrorKind::TimedOut, "not written before the deadline");
        let closing = async {
            self.flush().await.map_err(std::io::Error::other)?;
            let shared = Arc::clone(&self.0);
            blocking(move || shared.seal()).await.map_err(std::io::Error::other)?
        };
        let closed = tokio::time::timeout(deadline, closing).await.unwrap_or_else(|_| Err(late()));
        closed.map_err(|error| Error::disk(&self.0.dir, error))
    }

    /// Until the kernel has everything that was appended before.
    async fn flush(&self) -> Result<(), TierError> {
        let written = {
            let mut log = lock(&self.0.log);
            log.cut();
            let target = log.appended();
            self.written(log, target)
        };
        written.await
    }

    /// Waits until so much is written; starts the writer.
    fn written(
        &self,
        mut log: std::sync::MutexGuard<'_, Log>,
        target: u64,
    ) -> impl Future<Output = Result<(), TierError>> + Send + use<> {
        let mut progress = self.0.progress.subscribe();
        let resets = log.counts.resets;
        let started = self.start(&mut log);
        drop(log);
        async move {
            started?;
            let done = |now: &Progress| now.written >= target || now.resets != resets;
            let now = progress.wait_for(done).await.map_err(|_| Refused)?;
            if now.resets == resets { Ok(()) } else { Err(Refused.into()) }
        }
    }

    /// A blocking thread for the jobs, unless one has them.
    fn start(&self, log: &mut Log) -> Result<(), NoRuntime> {
        if log.draining || log.queue.is_empty() {
            return Ok(());
        }
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| NoRuntime)?;
        log.draining = true;
        let writer = Writer::new(Arc::clone(&self.0));
        runtime.spawn_blocking(move || writer.drain());
        Ok(())
    }

    /// Adds a value's frame. `false`: the key was touched since the claim, or what the record says is no longer so.
    async fn put(
        &self,
        hash: u64,
        frame: Vec<u8>,
        record: &Record,
        claim: Option<Claim>,
    ) -> Result<bool, TierError> {
        let now_ms = self.0.now_ms();
        let age = millis(record.age);
        let end_ms =
            record.life.map_or(u64::MAX, |life| now_ms.saturating_sub(age).saturating_add(millis(life)));
        let written = {
            let mut log = lock(&self.0.log);
            if claim.is_some_and(|claim| claim.0 != u128::from(log.mark(hash))) || !log.is_valid(record) {
                return Ok(false);
            }
            log.touch(hash);
            let replaced = log.put(hash, &frame, end_ms, now_ms);
            if replaced {
                log.cut();
            }
            let appended = log.appended();
            let target = if replaced {
                appended
            } else {
                // Whoever fills faster than the disk writes waits for it.
                appended.saturating_sub(MAX_QUEUED)
            };
            if !replaced && log.queued() <= MAX_QUEUED {
                self.start(&mut log)?;
                return Ok(true);
            }
            self.written(log, target)
        };
        written.await?;
        Ok(true)
    }
}

impl Drop for Shared {
    /// The last handle goes in order: the kernel gets what is left.
    fn drop(&mut self) {
        let log = self.log.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        log.cut();
        while let Some(job) = log.queue.front().cloned() {
            if job.run().is_err() {
                return;
            }
            log.done();
        }
    }
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Disk").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl Shared {
    fn now_ms(&self) -> u64 {
        unix_ms((self.wall)())
    }

    /// Everything has been written: makes it last, and says so.
    fn seal(&self) -> std::io::Result<()> {
        let files: Vec<_> = {
            let log = lock(&self.log);
            log.segments().map(|segment| (segment.number, Arc::clone(&segment.file), segment.len)).collect()
        };
        for (_, file, _) in &files {
            file.sync()?;
        }
        let clean = files.last().map(|(number, _, len)| (*number, *len));
        State { boot: recovery::boot_id(), clean }.write(&self.dir)
    }
}

fn unix_ms(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, millis)
}
