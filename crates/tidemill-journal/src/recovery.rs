//! What a directory of segments still holds: which frames are sound, which were proved durable, what is torn or corrupt.

use std::{
    collections::BTreeMap,
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

use serde::Serialize;

use crate::{
    Config, Disk, EntryKind, Error,
    frame::{self, Frame, HeaderError, SEGMENT_HEADER, SegmentHeader},
};

/// What an open found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Recovery {
    /// Frames handed to the replay function.
    pub frames: u64,
    /// The highest frame number in use, 0 in an empty journal.
    pub last_seq: u64,
    /// Everything up to this frame was declared no longer needed.
    pub watermark: u64,
    /// Bytes of torn frames that were cut, all of them behind what was proved durable.
    pub cut_bytes: u64,
    /// Durable frames that could not be read; only with `on_corruption = "set-aside"`.
    pub lost: Vec<Corruption>,
    /// Segments renamed to `*.corrupt`.
    pub set_aside: Vec<PathBuf>,
}

/// Frames that were durable and cannot be read any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Corruption {
    /// First missing frame.
    pub first_seq: u64,
    /// Last missing frame.
    pub last_seq: u64,
    /// The segment it should stand in, where one is known.
    pub segment: PathBuf,
}

/// One sound frame and where it stands.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) seq: u64,
    pub(crate) segment: usize,
    pub(crate) payload: std::ops::Range<usize>,
}

#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) id: u64,
    pub(crate) path: PathBuf,
    pub(crate) unread: usize,
    base: Option<u64>,
    frames: Vec<Frame>,
}

impl Segment {
    pub(crate) fn last_seq(&self) -> u64 {
        self.frames.iter().map(|frame| frame.seq).max().unwrap_or(0)
    }
}

#[derive(Debug)]
pub(crate) struct Survey {
    pub(crate) segments: Vec<Segment>,
    /// What must be replayed, by number.
    pub(crate) frames: Vec<Found>,
    /// Every frame up to this one was durable.
    pub(crate) proven: u64,
    pub(crate) watermark: u64,
    /// The highest frame that is kept.
    pub(crate) last_seq: u64,
    /// Numbers of durable frames that are missing.
    pub(crate) missing: Vec<RangeInclusive<u64>>,
    pub(crate) cut_bytes: u64,
}

type Visit<'a> = dyn FnMut(u64, &[u8]) -> Result<(), Error> + 'a;

pub(crate) const SUFFIX: &str = ".journal";

pub(crate) fn segment_path(dir: &Path, id: u64) -> PathBuf {
    dir.join(format!("{id:010}{SUFFIX}"))
}

/// Reads every segment once, one at a time in memory.
///
/// A frame is needed when it is above the watermark. It was durable when a later header or frame says so: a writer begins a
/// segment, and writes a frame, knowing which frames were durable by then. So a missing frame at or below the highest such
/// number is corruption, and one above it is a torn tail, which also ends what can be kept.
pub(crate) fn survey(disk: &dyn Disk, dir: &Path, config: &Config) -> Result<Survey, Error> {
    let mut segments = Vec::new();
    let mut watermark = 0;
    for (id, path) in list(disk, dir)? {
        let bytes = disk.read(&path).map_err(|e| Error::disk("read", &path, e))?;
        let base = match SegmentHeader::decode(&bytes, id) {
            Ok(header) => {
                watermark = watermark.max(header.watermark);
                Some(header.base)
            }
            Err(HeaderError::Torn) => None,
            Err(HeaderError::Version(found)) => {
                return Err(Error::version(&path, found, frame::FORMAT_VERSION));
            }
        };
        let scan = frame::scan(&bytes, SEGMENT_HEADER, id, config.max_frame_bytes);
        segments.push(Segment { id, path, unread: scan.unread, base, frames: scan.frames });
    }

    let proven = segments
        .iter()
        .flat_map(|s| {
            s.base.map(|b| b.saturating_sub(1)).into_iter().chain(s.frames.iter().map(Frame::proves))
        })
        .fold(watermark, u64::max);

    // A number may stand in two segments: what was not durable is written again to a later one. The later one counts.
    let mut by_seq: BTreeMap<u64, Found> = BTreeMap::new();
    for (at, segment) in segments.iter().enumerate() {
        for frame in segment.frames.iter().filter(|frame| frame.seq > watermark) {
            by_seq.insert(frame.seq, Found { seq: frame.seq, segment: at, payload: frame.payload.clone() });
        }
    }

    let mut missing = Vec::new();
    let mut last_seq = watermark;
    let mut frames = Vec::new();
    for (seq, found) in by_seq {
        if seq > last_seq + 1 {
            if last_seq >= proven {
                break;
            }
            missing.push(last_seq + 1..=(seq - 1).min(proven));
            if seq > proven + 1 {
                last_seq = proven;
                break;
            }
        }
        last_seq = seq;
        frames.push(found);
    }
    if last_seq < proven {
        missing.push(last_seq + 1..=proven);
        last_seq = proven;
    }
    let cut_bytes = segments.iter().map(|s| s.unread as u64).sum();
    Ok(Survey { segments, frames, proven, watermark, last_seq, missing, cut_bytes })
}

impl Survey {
    /// Hands every kept frame to `replay`, by number, holding one segment in memory.
    pub(crate) fn replay(&self, disk: &dyn Disk, replay: &mut Visit<'_>) -> Result<(), Error> {
        let mut open: Option<(usize, Vec<u8>)> = None;
        for found in &self.frames {
            if open.as_ref().is_none_or(|(at, _)| *at != found.segment) {
                let path = &self.segments[found.segment].path;
                open = Some((found.segment, disk.read(path).map_err(|e| Error::disk("read", path, e))?));
            }
            let Some(payload) = open.as_ref().and_then(|(_, bytes)| bytes.get(found.payload.clone())) else {
                let path = &self.segments[found.segment].path;
                return Err(Error::corrupt(path, "the segment shrank while it was read".into()));
            };
            replay(found.seq, payload)?;
        }
        Ok(())
    }

    pub(crate) fn losses(&self) -> Vec<Corruption> {
        let place = |seq: u64| {
            let owner = self.segments.iter().rev().find(|s| s.base.is_some_and(|base| base <= seq));
            owner.or(self.segments.first()).map(|s| s.path.clone()).unwrap_or_default()
        };
        self.missing
            .iter()
            .map(|range| Corruption {
                first_seq: *range.start(),
                last_seq: *range.end(),
                segment: place(*range.start()),
            })
            .collect()
    }

    pub(crate) fn refuse(&self) -> Result<(), Error> {
        let losses = self.losses();
        let Some(first) = losses.first() else { return Ok(()) };
        let detail = format!(
            "frames {} to {} were durable and cannot be read; restore the file, or keep the rest with \
             on_corruption = \"set-aside\"",
            first.first_seq, first.last_seq
        );
        Err(Error::corrupt(&first.segment, detail))
    }
}

fn list(disk: &dyn Disk, dir: &Path) -> Result<Vec<(u64, PathBuf)>, Error> {
    let entries = disk.list(dir).map_err(|e| Error::disk("list", dir, e))?;
    let mut found: Vec<(u64, PathBuf)> = entries
        .iter()
        .filter(|entry| entry.kind == EntryKind::File)
        .filter_map(|entry| Some((entry.name.strip_suffix(SUFFIX)?.parse().ok()?, dir.join(&entry.name))))
        .collect();
    found.sort();
    Ok(found)
}
