//! The disk among the tiers: what a cache asks of it.

use std::io::ErrorKind;
use std::sync::Arc;

use super::frame::{self, Event};
use super::log::Source;
use super::segment::Quick;
use super::{Disk, NoRuntime, Shared};
use crate::glob;
use crate::sync::lock;
use crate::tier::{Answer, Claim, Read, Record, Tier, TierError};

impl Tier for Disk {
    fn name(&self) -> &'static str {
        "disk"
    }

    fn read<'a>(&'a self, key: &'a [u8], claim: bool) -> Answer<'a, Read> {
        Box::pin(async move {
            let hash = frame::hash(key);
            let (found, mark) = {
                let log = lock(&self.0.log);
                (log.find(hash), log.mark(hash))
            };
            let absent = Ok(Read::Absent(claim.then_some(Claim(u128::from(mark)))));
            let Some((place, source)) = found else { return absent };
            let bytes = match source {
                Source::Bytes(bytes) => bytes,
                Source::File(file, at, len) => match file.read_quick(at, len)? {
                    Quick::Bytes(bytes) => bytes,
                    Quick::Waits => match blocking(move || file.read(at, len)).await? {
                        // A file that somebody cut: damaged.
                        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Vec::new(),
                        bytes => bytes?,
                    },
                },
            };
            let Some(put) = frame::read(&bytes, self.0.now_ms()) else {
                let mut log = lock(&self.0.log);
                log.counts.damaged += u64::from(log.forget(hash, place));
                return absent;
            };
            if put.key != key {
                // Another key of the same hash.
                return absent;
            }
            let record = put.record;
            let lives = record.life.is_none_or(|life| record.age < life);
            let mut log = lock(&self.0.log);
            if lives && log.is_valid(&record) {
                return Ok(Read::Found(record));
            }
            // It counts for nobody, in this process or a later one.
            log.forget(hash, place);
            absent
        })
    }

    fn write<'a>(&'a self, key: &'a [u8], record: Record, claim: Option<Claim>) -> Answer<'a, bool> {
        Box::pin(async move {
            let (hash, limit) = (frame::hash(key), usize::try_from(self.0.limits.segment / 4)?);
            let frame = if record.life.is_some_and(|life| record.age >= life) {
                None
            } else {
                frame::put(key, &record, self.0.now_ms(), self.0.compress, limit)
            };
            let kept = match frame {
                Some(frame) => self.put(hash, frame, &record, claim).await?,
                None => false,
            };
            // What is not kept does not leave an older value standing either.
            if !kept && claim.is_none() {
                self.remove(key).await?;
            }
            Ok(kept)
        })
    }

    fn release<'a>(&'a self, _key: &'a [u8], _claim: Claim) -> Answer<'a, ()> {
        // Nobody waits for it: within a process, flights see to that.
        Box::pin(std::future::ready(Ok(())))
    }

    fn remove<'a>(&'a self, key: &'a [u8]) -> Answer<'a, ()> {
        Box::pin(async move {
            let hash = frame::hash(key);
            let written = {
                let mut log = lock(&self.0.log);
                log.touch(hash);
                if !log.remove(hash, self.0.now_ms()) {
                    return Ok(());
                }
                log.cut();
                let target = log.appended();
                self.written(log, target)
            };
            written.await
        })
    }

    fn remove_matching<'a>(&'a self, pattern: &'a [u8]) -> Answer<'a, u64> {
        Box::pin(async move {
            lock(&self.0.log).touch_all();
            self.flush().await?;
            let (shared, pattern) = (Arc::clone(&self.0), pattern.to_vec());
            let removed = blocking(move || sweep(&shared, &pattern)).await??;
            self.flush().await?;
            Ok(removed)
        })
    }

    fn invalidate_tag(&self, tag: u32) -> Answer<'_, ()> {
        Box::pin(async move {
            let written = {
                let mut log = lock(&self.0.log);
                log.strike(tag, self.0.now_ms());
                log.cut();
                let target = log.appended();
                self.written(log, target)
            };
            written.await
        })
    }

    fn invalidate_all(&self) -> Answer<'_, ()> {
        Box::pin(async move {
            let written = {
                let mut log = lock(&self.0.log);
                log.touch_all();
                log.strike_everything(self.0.now_ms());
                let target = log.appended();
                self.written(log, target)
            };
            written.await
        })
    }

    fn generation(&self) -> u64 {
        lock(&self.0.log).generations.current()
    }

    fn size(&self) -> (u64, u64) {
        let log = lock(&self.0.log);
        (log.entries() as u64, log.bytes())
    }
}

/// Takes the keys that match out of the index, a file at a time.
fn sweep(shared: &Shared, pattern: &[u8]) -> Result<u64, TierError> {
    let segments: Vec<_> = {
        let log = lock(&shared.log);
        log.segments().map(|segment| (segment.number, Arc::clone(&segment.file), segment.len)).collect()
    };
    let mut removed = 0;
    for (number, file, len) in segments {
        let bytes = file.read_head(usize::try_from(len)?)?;
        let mut matching = Vec::new();
        frame::scan(&bytes, |event| {
            if let Event::Put { at, hash, key, .. } = event
                && glob::matches(pattern, key)
            {
                matching.push((hash, at));
            }
        });
        for some in matching.chunks(256) {
            let mut log = lock(&shared.log);
            for (hash, at) in some {
                if log.stands_at(*hash, number, *at) {
                    removed += u64::from(log.remove(*hash, shared.now_ms()));
                }
            }
        }
    }
    Ok(removed)
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, TierError> {
    let runtime = tokio::runtime::Handle::try_current().map_err(|_| NoRuntime)?;
    Ok(runtime.spawn_blocking(work).await?)
}
