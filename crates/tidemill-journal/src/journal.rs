//! The writer: appends, syncs, rotates, gives up on a failed segment, trims what is published.

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use crate::{
    AppendFile, Config, Disk, Error, OnCorruption, Recovery, Stats, Sync,
    frame::{self, SegmentHeader},
    recovery::{self, Survey},
};

/// Takes the number and the payload of one frame; its error stops the open.
pub type Replay<'a> =
    dyn FnMut(u64, &[u8]) -> Result<(), Box<dyn std::error::Error + Send + std::marker::Sync>> + 'a;

/// A write-ahead log in one directory, with one writer; the owner sees to that with [`Disk::lock`].
pub struct Journal {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    config: Config,
    current: Option<Current>,
    closed: VecDeque<Closed>,
    next_id: u64,
    next_seq: u64,
    watermark: u64,
    /// The watermark that a synced segment header carries: what lies below may be removed.
    durable_watermark: u64,
    /// Acknowledged under a lazy `sync` and not yet durable: kept to be written again when the segment fails.
    pending: VecDeque<(u64, Vec<u8>)>,
    pending_bytes: u64,
    pending_since: Duration,
    buffer: Vec<u8>,
    stats: Stats,
}

struct Current {
    id: u64,
    path: PathBuf,
    file: Box<dyn AppendFile>,
    bytes: u64,
    watermark: u64,
    /// The highest acknowledged frame in it.
    last_seq: Option<u64>,
    dirty: bool,
    named: bool,
}

struct Closed {
    path: PathBuf,
    last_seq: u64,
}

impl Journal {
    /// Opens the journal in `dir`, which must exist, and hands every frame above the watermark to `replay`, in order.
    ///
    /// `floor` is the highest number the caller has made durable elsewhere (0 if none): numbering continues above it even
    /// when the segments that held it are gone. Frames whose durability cannot be proved are written again and synced
    /// before this returns, because they may stand in a page cache only.
    ///
    /// # Errors
    /// `Corrupt` when a durable frame cannot be read and the config says `refuse`; `Version`; `Disk`; `Replay` when
    /// `replay` fails, in which case nothing on disk was changed.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        config: Config,
        floor: u64,
        replay: &mut Replay<'_>,
    ) -> Result<(Self, Recovery), Error> {
        config.check()?;
        let survey = recovery::survey(&*disk, dir, &config)?;
        let salvage = !survey.missing.is_empty();
        if salvage && config.on_corruption == OnCorruption::Refuse {
            survey.refuse()?;
        }
        // What is salvaged gets new numbers, so that the gap never has to be explained again.
        let renumber = if salvage { survey.last_seq.max(floor) } else { 0 };
        let mut pending = VecDeque::new();
        let mut pending_bytes = 0;
        let mut frames = 0;
        survey.replay(&*disk, &mut |seq, payload| {
            frames += 1;
            let number = if salvage { renumber + frames } else { seq };
            replay(number, payload).map_err(|e| Error::replay(number, e))?;
            if salvage || seq > survey.proven {
                pending_bytes += payload.len() as u64;
                pending.push_back((number, payload.to_vec()));
            }
            Ok(())
        })?;
        let (last_seq, watermark) = match () {
            () if salvage => (renumber + frames, renumber),
            // The segments that held the numbers up to the floor are gone: all of it is published.
            () if survey.last_seq < floor => {
                pending.clear();
                (floor, floor)
            }
            () => (survey.last_seq, survey.watermark),
        };
        let mut journal = Self {
            disk,
            dir: dir.to_owned(),
            config,
            current: None,
            closed: VecDeque::new(),
            next_id: survey.segments.last().map_or(1, |last| last.id + 1),
            next_seq: last_seq + 1,
            watermark,
            durable_watermark: 0,
            pending,
            pending_bytes,
            pending_since: Duration::ZERO,
            buffer: Vec::new(),
            stats: Stats::default(),
        };
        let mut recovery = Recovery {
            frames,
            last_seq,
            watermark,
            cut_bytes: survey.cut_bytes,
            lost: survey.losses(),
            set_aside: Vec::new(),
        };
        journal.settle(survey, salvage, &mut recovery)?;
        Ok((journal, recovery))
    }

    /// Reads a journal without changing it, as a second process or a checker may.
    pub fn read(
        disk: &dyn Disk,
        dir: &Path,
        config: &Config,
        replay: &mut Replay<'_>,
    ) -> Result<Recovery, Error> {
        let survey = recovery::survey(disk, dir, config)?;
        if config.on_corruption == OnCorruption::Refuse {
            survey.refuse()?;
        }
        let mut frames = 0;
        survey.replay(disk, &mut |seq, payload| {
            frames += 1;
            replay(seq, payload).map_err(|e| Error::replay(seq, e))
        })?;
        Ok(Recovery {
            frames,
            last_seq: survey.last_seq,
            watermark: survey.watermark,
            cut_bytes: survey.cut_bytes,
            lost: survey.losses(),
            set_aside: Vec::new(),
        })
    }

    /// Writes one frame, its payload given in parts, and returns its number. With `sync = "commit"` it is durable then.
    ///
    /// `now` is the time since any fixed origin; only an interval looks at it. After an error the frame counts as not
    /// written (a crash may still bring it back), everything acknowledged before it is kept, and the next call begins a
    /// new segment.
    pub fn append(&mut self, payload: &[&[u8]], now: Duration) -> Result<u64, Error> {
        let len: usize = payload.iter().map(|part| part.len()).sum();
        if len > self.config.max_frame_bytes as usize {
            return Err(Error::too_large(len, self.config.max_frame_bytes));
        }
        if self.current.as_ref().is_some_and(|current| current.bytes >= self.config.segment_bytes) {
            self.sync()?;
            self.retire();
        }
        let seq = self.next_seq;
        let written = self.write(Some((seq, payload)))?;
        let bytes = self.pending_bytes + len as u64;
        let since = if self.pending.is_empty() { now } else { self.pending_since };
        let due = match self.config.sync {
            Sync::Commit => true,
            Sync::Interval(every) => now.saturating_sub(since) >= every || bytes >= self.config.segment_bytes,
            Sync::Size(limit) => bytes >= limit,
        };
        if due {
            self.sync_current("journal.frame", "journal.name")?;
        } else {
            let mut copy = Vec::with_capacity(len);
            payload.iter().for_each(|part| copy.extend_from_slice(part));
            self.pending.push_back((seq, copy));
            self.pending_bytes = bytes;
            self.pending_since = since;
        }
        if let Some(current) = &mut self.current {
            current.last_seq = Some(seq);
        }
        self.next_seq += 1;
        self.stats.frames += 1;
        self.stats.bytes += written;
        Ok(seq)
    }

    /// Makes everything acknowledged durable. Does nothing when it is.
    pub fn sync(&mut self) -> Result<(), Error> {
        self.sync_at("journal.frame", "journal.name")
    }

    /// Syncs when the interval has passed; for owners who may not append for a while.
    pub fn tick(&mut self, now: Duration) -> Result<(), Error> {
        match self.config.sync {
            Sync::Interval(every)
                if !self.pending.is_empty() && now.saturating_sub(self.pending_since) >= every =>
            {
                self.sync()
            }
            _ => Ok(()),
        }
    }

    /// Declares every frame up to `seq` no longer needed and removes segments that hold nothing else.
    ///
    /// What `seq` covers must be durable elsewhere. Removing waits until a segment whose header carries the new watermark
    /// is durable, so it happens at the next sync, or at [`Journal::close`]: a crash may undo any of several removals, and
    /// without that header the rest would look like a gap. A file that cannot be removed is tried again at the next sync.
    pub fn trim(&mut self, seq: u64) -> Result<(), Error> {
        self.watermark = self.watermark.max(seq.min(self.next_seq - 1));
        while self.pending.front().is_some_and(|(first, _)| *first <= self.watermark) {
            self.pending.pop_front();
        }
        self.pending_bytes = self.pending.iter().map(|(_, payload)| payload.len() as u64).sum();
        if !self.pending.is_empty() {
            self.sync()?;
        }
        self.retire();
        Ok(())
    }

    /// The number of the last acknowledged frame, 0 before the first.
    pub fn last_seq(&self) -> u64 {
        self.next_seq - 1
    }

    /// Everything up to this frame was declared no longer needed.
    pub fn watermark(&self) -> u64 {
        self.watermark
    }

    /// What was counted since the open.
    pub fn stats(&self) -> Stats {
        let segments = self.closed.len() as u64 + u64::from(self.current.is_some());
        Stats { unsynced_bytes: self.pending_bytes, segments, ..self.stats.clone() }
    }

    /// Syncs and removes what was trimmed; after an error it may be called again. Dropping a journal without it loses
    /// nothing that was durable.
    pub fn close(&mut self) -> Result<Stats, Error> {
        self.sync()?;
        if self.watermark > self.durable_watermark && !self.closed.is_empty() {
            self.retire();
            self.write(None)?;
            self.sync_current("journal.close", "journal.close-name")?;
        }
        Ok(self.stats())
    }

    /// Brings a just opened directory into a state that is proved durable.
    fn settle(&mut self, survey: Survey, salvage: bool, recovery: &mut Recovery) -> Result<(), Error> {
        let old = survey.segments.iter().map(|s| Closed { path: s.path.clone(), last_seq: s.last_seq() });
        // Damaged segments stay out of reach of trimming until what is sound in them is durable elsewhere.
        let old: Vec<Closed> = old.collect();
        let old = if salvage {
            old
        } else {
            self.closed.extend(old);
            Vec::new()
        };
        if !self.pending.is_empty() || salvage {
            self.write(None)?;
            self.sync_current("journal.reopen", "journal.reopen-name")?;
            if let Some(current) = &mut self.current {
                current.last_seq = Some(self.next_seq - 1);
            }
        }
        if !salvage {
            return Ok(());
        }
        // The sound frames stand in the new segment; the old ones are kept for people, out of the journal's sight.
        let damaged: Vec<PathBuf> = recovery.lost.iter().map(|loss| loss.segment.clone()).collect();
        for closed in old {
            if damaged.contains(&closed.path) {
                let aside = closed.path.with_extension("corrupt");
                self.disk
                    .rename(&closed.path, &aside)
                    .map_err(|e| Error::disk("set aside", &closed.path, e))?;
                recovery.set_aside.push(aside);
            } else {
                self.closed.push_back(closed);
            }
        }
        self.remove_trimmed();
        Ok(())
    }

    /// Writes to the current segment, or to a new one together with everything pending.
    fn write(&mut self, frame: Option<(u64, &[&[u8]])>) -> Result<u64, Error> {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        let fresh = self.current.is_none();
        let id = self.current.as_ref().map_or(self.next_id, |current| current.id);
        if fresh {
            let base = self.pending.front().map_or(self.next_seq, |(seq, _)| *seq);
            buffer.extend_from_slice(&SegmentHeader { base, watermark: self.watermark }.encode(id));
            for (behind, (seq, payload)) in self.pending.iter().enumerate() {
                frame::encode(&mut buffer, id, *seq, behind as u32, &[payload]);
            }
        }
        let mut bytes = 0;
        let mut parts = Vec::with_capacity(8);
        if let Some((seq, payload)) = frame {
            let header = frame::header(id, seq, self.pending.len() as u32, payload);
            buffer.extend_from_slice(&header);
            parts.extend_from_slice(payload);
            bytes = (header.len() + payload.iter().map(|part| part.len()).sum::<usize>()) as u64;
        }
        parts.insert(0, &buffer);
        // The payload is not copied: it may be many times what stands in the buffer.
        let done = self.write_out(&parts, fresh);
        drop(parts);
        // One long backlog must not hold its memory for good.
        if buffer.capacity() <= 1 << 20 {
            self.buffer = buffer;
        }
        done.map(|()| bytes)
    }

    fn write_out(&mut self, parts: &[&[u8]], fresh: bool) -> Result<(), Error> {
        if fresh {
            let id = self.next_id;
            let path = recovery::segment_path(&self.dir, id);
            let file = self.disk.create(&path).map_err(|e| Error::disk("create", &path, e))?;
            self.next_id += 1;
            self.stats.segments_created += 1;
            let last_seq = self.pending.back().map(|(seq, _)| *seq);
            let watermark = self.watermark;
            let current =
                Current { id, path, file, bytes: 0, watermark, last_seq, dirty: false, named: false };
            self.current = Some(current);
        }
        let Some(current) = &mut self.current else { return Ok(()) };
        current.dirty = true;
        if let Err(error) = current.file.append_parts(parts) {
            let error = Error::disk("append to", &current.path, error);
            self.give_up();
            return Err(error);
        }
        current.bytes += parts.iter().map(|part| part.len() as u64).sum::<u64>();
        Ok(())
    }

    fn sync_at(&mut self, site: &'static str, name_site: &'static str) -> Result<(), Error> {
        if self.current.is_none() && !self.pending.is_empty() {
            self.write(None)?;
        }
        self.sync_current(site, name_site)
    }

    fn sync_current(&mut self, site: &'static str, name_site: &'static str) -> Result<(), Error> {
        let Some(current) = self.current.as_mut().filter(|current| current.dirty) else { return Ok(()) };
        let mut done = current.file.sync(site).map_err(|e| Error::disk("sync", &current.path, e));
        if done.is_ok() && !current.named {
            done = self.disk.sync_dir(&self.dir, name_site).map_err(|e| Error::disk("sync", &self.dir, e));
        }
        if done.is_err() {
            self.give_up();
            return done;
        }
        current.dirty = false;
        current.named = true;
        self.durable_watermark = current.watermark;
        self.pending.clear();
        self.pending_bytes = 0;
        self.stats.syncs += 1;
        self.remove_trimmed();
        Ok(())
    }

    /// Poisons the current segment: after a failed write or fsync the kernel may have dropped the pages and will call a
    /// second fsync a success, so this file is never synced again.
    fn give_up(&mut self) {
        let Some(current) = self.current.take() else { return };
        self.stats.segments_poisoned += 1;
        let empty = current.last_seq.is_none();
        if empty && self.disk.remove(&current.path).is_ok() {
            return;
        }
        self.closed.push_back(Closed { path: current.path, last_seq: current.last_seq.unwrap_or(0) });
    }

    fn retire(&mut self) {
        if let Some(current) = self.current.take() {
            self.closed.push_back(Closed { path: current.path, last_seq: current.last_seq.unwrap_or(0) });
        }
    }

    fn remove_trimmed(&mut self) {
        let below = self.durable_watermark;
        // Oldest first. What cannot be removed stays listed; it is never read again for content below the watermark.
        let (disk, stats) = (&self.disk, &mut self.stats);
        self.closed.retain(|closed| {
            let gone = closed.last_seq <= below && disk.remove(&closed.path).is_ok();
            stats.segments_removed += u64::from(gone);
            !gone
        });
    }
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal")
            .field("dir", &self.dir)
            .field("last_seq", &self.last_seq())
            .field("watermark", &self.watermark)
            .finish_non_exhaustive()
    }
}
