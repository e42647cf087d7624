//! Where everything stands: the index over segments, what is still to be written, and what has to make room. Without I/O.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use super::frame::{self, EVERYTHING};
use crate::generation::Generations;
use crate::tier::Record;

/// Bytes that are handed to the file system at once.
const CHUNK: usize = 256 << 10;
/// Marks of keys that were touched, shared by hash: a claim of a key that shares one with a touched key is refused.
const MARKS: usize = 1 << 14;

/// How much there may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Bytes of all segments.
    pub(super) capacity: u64,
    /// Bytes of one.
    pub(super) segment: u64,
    /// Values.
    pub(super) entries: usize,
    /// Segments.
    pub(super) segments: usize,
}

/// Where a value's frame stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) segment: u32,
    pub(super) at: u32,
    pub(super) len: u32,
}

/// One file.
pub(super) struct Segment {
    pub(super) number: u32,
    pub(super) file: Arc<SegmentFile>,
    pub(super) len: u64,
    /// When the last of its values ends, in milliseconds of wall-clock time.
    end_ms: u64,
    /// Of its values, those included that have moved on.
    hashes: Vec<u64>,
}

/// A path, and its file from the first write on.
pub(super) struct SegmentFile {
    pub(super) path: PathBuf,
    pub(super) file: OnceLock<File>,
}

/// What the writer has to do, in this order.
#[derive(Clone)]
pub(super) enum Job {
    /// Bytes for a file at an offset.
    Write { segment: u32, file: Arc<SegmentFile>, at: u64, bytes: Arc<Vec<u8>> },
    /// A file that is no longer needed.
    Unlink(Arc<SegmentFile>),
}

/// Where a frame's bytes are to be had.
pub(super) enum Source {
    Bytes(Vec<u8>),
    File(Arc<SegmentFile>, u64, usize),
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) evicted: u64,
    pub(super) expired: u64,
    pub(super) damaged: u64,
    pub(super) resets: u64,
}

pub(super) struct Log {
    dir: PathBuf,
    limits: Limits,
    index: HashMap<u64, Place, foldhash::fast::RandomState>,
    segments: VecDeque<Segment>,
    bytes: u64,
    /// The end of the last segment, from `buffer_at` on.
    buffer: Vec<u8>,
    buffer_at: u64,
    pub(super) queue: VecDeque<Job>,
    queued: u64,
    /// Bytes ever appended.
    appended: u64,
    next: u32,
    pub(super) generations: Generations,
    marks: Vec<u32>,
    all_marks: u32,
    pub(super) draining: bool,
    pub(super) counts: Counts,
}

impl Log {
    pub(super) fn new(dir: PathBuf, limits: Limits) -> Self {
        Self {
            dir,
            limits,
            index: HashMap::default(),
            segments: VecDeque::new(),
            bytes: 0,
            buffer: Vec::new(),
            buffer_at: 0,
            queue: VecDeque::new(),
            queued: 0,
            appended: 0,
            next: 1,
            generations: Generations::new(4096),
            marks: vec![0; MARKS],
            all_marks: 0,
            draining: false,
            counts: Counts::default(),
        }
    }

    pub(super) fn path(&self, number: u32) -> PathBuf {
        self.dir.join(format!("{number:010}.tmseg"))
    }

    /// A segment that was found, whole up to `len`.
    pub(super) fn adopt(&mut self, number: u32, file: File, len: u64) {
        let file = Arc::new(SegmentFile { path: self.path(number), file: OnceLock::from(file) });
        self.segments.push_back(Segment { number, file, len, end_ms: 0, hashes: Vec::new() });
        self.bytes += len;
        self.next = self.next.max(number.saturating_add(1));
    }

    /// A value of the last segment adopted.
    pub(super) fn adopt_value(&mut self, hash: u64, at: usize, len: usize, end_ms: u64) {
        let (Ok(at), Ok(len)) = (u32::try_from(at), u32::try_from(len)) else { return };
        let Some(last) = self.segments.back_mut() else { return };
        last.end_ms = last.end_ms.max(end_ms);
        last.hashes.push(hash);
        let segment = last.number;
        self.index.insert(hash, Place { segment, at, len });
    }

    /// The segment adopted last holds nothing: its number is free again.
    pub(super) fn release_last(&mut self) {
        if let Some(last) = self.segments.pop_back() {
            self.bytes -= last.len;
            self.next = last.number;
        }
    }

    /// The segment adopted last is whole up to here.
    pub(super) fn adopted(&mut self, len: u64) {
        if let Some(last) = self.segments.back_mut() {
            self.bytes += len - last.len;
            last.len = len;
        }
    }

    pub(super) fn disown(&mut self, hash: u64) {
        self.index.remove(&hash);
    }

    pub(super) fn disown_all(&mut self) {
        self.index.clear();
    }

    /// Room as the limits want it; a new segment, for an old one is never appended to.
    pub(super) fn begin(&mut self, now_ms: u64) {
        self.roll(now_ms);
    }

    /// What a claim on the key says until something touches the key.
    pub(super) fn mark(&self, hash: u64) -> u64 {
        u64::from(self.all_marks) << 32 | u64::from(self.marks[mark_of(hash)])
    }

    pub(super) fn touch(&mut self, hash: u64) {
        let mark = &mut self.marks[mark_of(hash)];
        *mark = mark.wrapping_add(1);
    }

    pub(super) fn touch_all(&mut self) {
        self.all_marks = self.all_marks.wrapping_add(1);
    }

    pub(super) fn entries(&self) -> usize {
        self.index.len()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn appended(&self) -> u64 {
        self.appended
    }

    /// Bytes of those that the writer was given or that are lost.
    pub(super) fn handed(&self) -> u64 {
        self.appended - self.buffer.len() as u64
    }

    /// Bytes that wait for the writer.
    pub(super) fn queued(&self) -> u64 {
        self.queued
    }

    pub(super) fn find(&self, hash: u64) -> Option<(Place, Source)> {
        let place = *self.index.get(&hash)?;
        Some((place, self.source(place)?))
    }

    pub(super) fn stands_at(&self, hash: u64, segment: u32, at: usize) -> bool {
        self.index.get(&hash).is_some_and(|place| place.segment == segment && place.at as usize == at)
    }

    fn source(&self, place: Place) -> Option<Source> {
        let (at, len) = (u64::from(place.at), place.len as usize);
        let slice = |bytes: &[u8], from: u64| {
            let start = usize::try_from(at.checked_sub(from)?).ok()?;
            bytes.get(start..start.checked_add(len)?).map(<[u8]>::to_vec)
        };
        let last = self.segments.back()?;
        if last.number == place.segment
            && let Some(bytes) = slice(&self.buffer, self.buffer_at)
        {
            return Some(Source::Bytes(bytes));
        }
        for job in &self.queue {
            if let Job::Write { segment, at, bytes, .. } = job
                && *segment == place.segment
                && let Some(bytes) = slice(bytes, *at)
            {
                return Some(Source::Bytes(bytes));
            }
        }
        let found = self.segments.binary_search_by_key(&place.segment, |segment| segment.number).ok()?;
        Some(Source::File(Arc::clone(&self.segments[found].file), at, len))
    }

    /// Takes a value out when it still stands there; nothing is written.
    pub(super) fn forget(&mut self, hash: u64, place: Place) -> bool {
        let here = self.index.get(&hash) == Some(&place);
        if here {
            self.index.remove(&hash);
        }
        here
    }

    /// Adds a value. Says whether one was there, whose end must be on its way to the disk before this one counts.
    pub(super) fn put(&mut self, hash: u64, frame: &[u8], end_ms: u64, now_ms: u64) -> bool {
        let (at, segment) = self.append(frame, now_ms);
        let len = u32::try_from(frame.len()).unwrap_or(u32::MAX);
        if let Some(last) = self.segments.back_mut() {
            last.end_ms = last.end_ms.max(end_ms);
            last.hashes.push(hash);
        }
        self.index.insert(hash, Place { segment, at, len }).is_some()
    }

    /// Takes the key out; `false`: it was not there, and nothing needs to be written.
    pub(super) fn remove(&mut self, hash: u64, now_ms: u64) -> bool {
        let was = self.index.remove(&hash).is_some();
        if was {
            self.append(&frame::remove(hash), now_ms);
        }
        was
    }

    pub(super) fn strike(&mut self, tag: u32, now_ms: u64) {
        self.generations.strike(tag);
        self.append(&frame::strike(u64::from(tag), self.generations.current()), now_ms);
    }

    /// Every file but a new one goes, after it is written that nothing counts.
    pub(super) fn strike_everything(&mut self, now_ms: u64) {
        self.generations.strike_everything();
        self.index.clear();
        self.roll(now_ms);
        self.append(&frame::strike(EVERYTHING, self.generations.current()), now_ms);
        self.cut();
        while self.segments.len() > 1 {
            self.drop_oldest();
        }
    }

    /// Whether what `record` says is still so.
    pub(super) fn is_valid(&self, record: &Record) -> bool {
        self.generations.spares(record.generation, &record.tags)
    }

    fn append(&mut self, frame: &[u8], now_ms: u64) -> (u32, u32) {
        let has_room = |last: &Segment| {
            last.len + frame.len() as u64 <= self.limits.segment
                && last.hashes.len() <= self.limits.entries / 8
        };
        if !self.segments.back().is_some_and(has_room) {
            self.roll(now_ms);
        }
        let (at, number) = self.segments.back().map_or((0, 0), |last| (last.len, last.number));
        self.extend(frame);
        if self.buffer.len() >= CHUNK {
            self.cut();
        }
        // A segment is shorter than 2^32 bytes.
        (u32::try_from(at).unwrap_or(u32::MAX), number)
    }

    fn extend(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
        let len = bytes.len() as u64;
        if let Some(last) = self.segments.back_mut() {
            last.len += len;
        }
        self.bytes += len;
        self.appended += len;
    }

    /// Hands what stands in the buffer to the writer.
    pub(super) fn cut(&mut self) {
        let Some(last) = self.segments.back() else { return };
        if self.buffer.is_empty() {
            return;
        }
        let bytes = Arc::new(std::mem::replace(&mut self.buffer, Vec::with_capacity(CHUNK + CHUNK / 4)));
        self.queued += bytes.len() as u64;
        let (segment, file, at) = (last.number, Arc::clone(&last.file), self.buffer_at);
        self.buffer_at += bytes.len() as u64;
        self.queue.push_back(Job::Write { segment, file, at, bytes });
    }

    /// The first job is done.
    pub(super) fn done(&mut self) {
        if let Some(Job::Write { bytes, .. }) = self.queue.pop_front() {
            self.queued -= bytes.len() as u64;
        }
    }

    fn roll(&mut self, now_ms: u64) {
        self.cut();
        self.make_room(now_ms);
        let number = self.next;
        self.next = self.next.saturating_add(1);
        let file = Arc::new(SegmentFile { path: self.path(number), file: OnceLock::new() });
        self.segments.push_back(Segment { number, file, len: 0, end_ms: 0, hashes: Vec::new() });
        self.buffer_at = 0;
        self.extend(&frame::file_header());
    }

    /// The oldest segments go: those whose values have all ended, then as many as a new one needs.
    fn make_room(&mut self, now_ms: u64) {
        while let Some(oldest) = self.segments.front() {
            let ended = oldest.end_ms <= now_ms;
            let full = self.bytes + self.limits.segment > self.limits.capacity
                || self.index.len() >= self.limits.entries
                || self.segments.len() >= self.limits.segments;
            if !ended && !full {
                return;
            }
            let gone = self.drop_oldest();
            let counter = if ended { &mut self.counts.expired } else { &mut self.counts.evicted };
            *counter += gone;
        }
    }

    /// Its values leave the index; returns how many.
    fn drop_oldest(&mut self) -> u64 {
        let Some(oldest) = self.segments.pop_front() else { return 0 };
        let before = self.index.len();
        for hash in &oldest.hashes {
            if self.index.get(hash).is_some_and(|place| place.segment == oldest.number) {
                self.index.remove(hash);
            }
        }
        self.bytes -= oldest.len;
        self.queue.push_back(Job::Unlink(oldest.file));
        (before - self.index.len()) as u64
    }

    /// The disk does not take what it is given: what it has may be out of date, so nothing of it counts.
    pub(super) fn reset(&mut self, now_ms: u64) {
        self.counts.resets += 1;
        self.index.clear();
        self.buffer.clear();
        self.queue.retain(|job| matches!(job, Job::Unlink(_)));
        self.queued = 0;
        self.touch_all();
        while !self.segments.is_empty() {
            self.drop_oldest();
        }
        self.roll(now_ms);
    }

    /// Every segment, from the oldest, with its length on disk once the queue is empty.
    pub(super) fn segments(&self) -> impl Iterator<Item = &Segment> {
        self.segments.iter()
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the low bits choose")]
fn mark_of(hash: u64) -> usize {
    hash as usize % MARKS
}
