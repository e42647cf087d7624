//! Bytes of segment headers and frames: written here, checked here, described in FORMAT.md.

/// The number in every segment header. A later version opens every earlier one.
pub const FORMAT_VERSION: u16 = 1;

pub(crate) const MAGIC: [u8; 4] = *b"TMJL";
pub(crate) const SEGMENT_HEADER: usize = 32;
pub(crate) const FRAME_HEADER: usize = 20;

/// The first bytes of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    /// Every frame below this number was durable when the segment was begun.
    pub(crate) base: u64,
    /// Every frame up to and including this number is no longer needed.
    pub(crate) watermark: u64,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum HeaderError {
    Torn,
    Version(u16),
}

impl SegmentHeader {
    pub(crate) fn encode(self, segment: u64) -> [u8; SEGMENT_HEADER] {
        let mut out = [0; SEGMENT_HEADER];
        out[0..4].copy_from_slice(&MAGIC);
        out[4..6].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        out[8..16].copy_from_slice(&self.base.to_le_bytes());
        out[16..24].copy_from_slice(&self.watermark.to_le_bytes());
        let crc = header_crc(&out, segment);
        out[24..28].copy_from_slice(&crc.to_le_bytes());
        out
    }

    pub(crate) fn decode(bytes: &[u8], segment: u64) -> Result<Self, HeaderError> {
        let bytes: &[u8; SEGMENT_HEADER] =
            bytes.get(..SEGMENT_HEADER).and_then(|b| b.try_into().ok()).ok_or(HeaderError::Torn)?;
        if bytes[0..4] != MAGIC || u32_at(bytes, 24) != header_crc(bytes, segment) {
            return Err(HeaderError::Torn);
        }
        let version = u16::from_le_bytes([bytes[4], bytes[5]]);
        if version > FORMAT_VERSION {
            return Err(HeaderError::Version(version));
        }
        Ok(Self { base: u64_at(bytes, 8), watermark: u64_at(bytes, 16) })
    }
}

/// One frame found in a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) seq: u64,
    /// How many frames just before this one were not known durable when it was written.
    pub(crate) unsynced: u32,
    /// Where the payload stands in the segment.
    pub(crate) payload: std::ops::Range<usize>,
}

impl Frame {
    /// The highest frame that this one proves durable.
    pub(crate) fn proves(&self) -> u64 {
        self.seq.saturating_sub(1 + u64::from(self.unsynced))
    }
}

/// Adds one frame, its payload given in parts, to `out`.
pub(crate) fn encode(out: &mut Vec<u8>, segment: u64, seq: u64, unsynced: u32, payload: &[&[u8]]) {
    out.extend_from_slice(&header(segment, seq, unsynced, payload));
    payload.iter().for_each(|part| out.extend_from_slice(part));
}

/// What stands before a payload.
pub(crate) fn header(segment: u64, seq: u64, unsynced: u32, payload: &[&[u8]]) -> [u8; FRAME_HEADER] {
    let len: usize = payload.iter().map(|part| part.len()).sum();
    let mut out = [0; FRAME_HEADER];
    out[0..4].copy_from_slice(&(len as u32).to_le_bytes());
    out[8..16].copy_from_slice(&seq.to_le_bytes());
    out[16..20].copy_from_slice(&unsynced.to_le_bytes());
    let crc = payload.iter().fold(frame_crc(&out, segment), |crc, part| crc32c::crc32c_append(crc, part));
    out[4..8].copy_from_slice(&crc.to_le_bytes());
    out
}

/// What a segment's bytes hold after its header.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Scan {
    /// Every sound frame, in file order; after a damaged place the search goes on.
    pub(crate) frames: Vec<Frame>,
    /// Bytes that belong to no sound frame.
    pub(crate) unread: usize,
}

/// Finds every sound frame from `start` on. The work is bounded by 16 checksums over the segment's length: bytes made to
/// look like many overlapping long frames end the search early.
pub(crate) fn scan(bytes: &[u8], start: usize, segment: u64, max_frame: u32) -> Scan {
    let mut found = Scan::default();
    let mut at = start.min(bytes.len());
    let mut budget = bytes.len().saturating_mul(16);
    while at < bytes.len() {
        match decode(&bytes[at..], segment, max_frame, &mut budget) {
            Some((seq, unsynced, len)) => {
                let payload = at + FRAME_HEADER..at + FRAME_HEADER + len;
                at = payload.end;
                found.frames.push(Frame { seq, unsynced, payload });
            }
            None => {
                at += 1;
                found.unread += 1;
            }
        }
    }
    found
}

fn decode(bytes: &[u8], segment: u64, max_frame: u32, budget: &mut usize) -> Option<(u64, u32, usize)> {
    let header = bytes.get(..FRAME_HEADER)?;
    let len = u32_at(header, 0);
    // Zero is no sequence number: a hole of zeros is refused before any checksum is computed.
    let seq = u64_at(header, 8);
    if len > max_frame || seq == 0 {
        return None;
    }
    let frame = bytes.get(..FRAME_HEADER + len as usize)?;
    *budget = budget.checked_sub(frame.len())?;
    (u32_at(header, 4) == frame_crc(frame, segment)).then(|| (seq, u32_at(header, 16), len as usize))
}

/// The segment's number is part of every checksum, so that bytes copied from another segment are not taken for its own.
fn frame_crc(frame: &[u8], segment: u64) -> u32 {
    let crc = crc32c::crc32c(&segment.to_le_bytes());
    let crc = crc32c::crc32c_append(crc, &frame[0..4]);
    crc32c::crc32c_append(crc, &frame[8..])
}

fn header_crc(header: &[u8; SEGMENT_HEADER], segment: u64) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&segment.to_le_bytes()), &header[..24])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut out = [0; 4];
    out.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(out)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut out = [0; 8];
    out.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_read_as_written_and_every_flipped_bit_is_noticed() {
        let mut bytes = Vec::new();
        encode(&mut bytes, 3, 7, 2, &[b"high ", b"tide"]);
        let whole = scan(&bytes, 0, 3, 1 << 20);
        assert_eq!(whole.frames.len(), 1);
        assert_eq!(&bytes[whole.frames[0].payload.clone()], b"high tide");
        assert_eq!(whole.frames[0].proves(), 4);
        assert!(scan(&bytes, 0, 4, 1 << 20).frames.is_empty(), "another segment's number");
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(scan(&flipped, 0, 3, 1 << 20).frames.is_empty(), "bit {bit}");
        }
    }

    #[test]
    fn the_search_goes_on_behind_damage() {
        let mut bytes = Vec::new();
        for seq in 1..=3 {
            encode(&mut bytes, 1, seq, 0, &[b"payload"]);
        }
        bytes[FRAME_HEADER + 7 + 3] ^= 1;
        let found = scan(&bytes, 0, 1, 1 << 20);
        assert_eq!(found.frames.iter().map(|f| f.seq).collect::<Vec<_>>(), [1, 3]);
        assert_eq!(found.unread, FRAME_HEADER + 7);
    }

    #[test]
    fn bytes_made_to_look_like_many_long_frames_cost_a_bounded_time() {
        // Every offset claims a frame of 1 MiB: without the budget this is 4 TiB of checksums.
        let mut bytes = vec![0u8; 4 << 20];
        for at in (0..bytes.len()).step_by(4) {
            bytes[at..at + 4].copy_from_slice(&0x0010_0000u32.to_le_bytes());
        }
        assert!(scan(&bytes, 0, 1, 64 << 20).frames.is_empty());
    }
}
