//! The bytes of a segment: a header of the file, then frames, each of which says whose it is even when its body is damaged.
//!
//! A frame's header has a checksum of its own and the hash of its key. So a damaged body costs its key alone, and a damaged
//! header everything older, for nobody knows what it would have replaced. `DISK-FORMAT.md` describes the layout.

use std::hash::BuildHasher;
use std::time::Duration;

use crate::lifetime::millis;
use crate::tier::Record;

/// Bytes at the head of a segment.
pub(super) const FILE_HEADER: usize = 16;
/// Bytes at the head of a frame.
pub(super) const HEADER: usize = 24;
/// Of the format below.
const VERSION: u16 = 1;
const MAGIC: [u8; 6] = *b"TMDISK";
/// The hash of a strike at everything.
pub(super) const EVERYTHING: u64 = u64::MAX;

const PUT: u8 = 1;
const REMOVE: u8 = 2;
const STRIKE: u8 = 3;

const OWN: u8 = 1;
const COMPRESSED: u8 = 2;
/// Values below this many bytes stay as they are.
const COMPRESS_FROM: usize = 64;
/// The fixed part of a put's body.
const BODY: usize = 8 + 8 + 8 + 4 + 2 + 1;
/// What LZ4 can make of a byte, at most.
const MOST_EXPANSION: usize = 256;

/// Gives the same number in every process that runs the same release; the file's header says whether it does.
const HASHER: foldhash::quality::FixedState = foldhash::quality::FixedState::with_seed(0x6469_736b);

/// A key as the index knows it.
pub(super) fn hash(key: &[u8]) -> u64 {
    HASHER.hash_one(key)
}

/// What a segment begins with.
pub(super) fn file_header() -> [u8; FILE_HEADER] {
    let mut header = [0; FILE_HEADER];
    header[..6].copy_from_slice(&MAGIC);
    header[6..8].copy_from_slice(&VERSION.to_le_bytes());
    header[8..].copy_from_slice(&hash(&MAGIC).to_le_bytes());
    header
}

/// A value's frame, its value compressed where that saves an eighth. `None`: a key of more than 65535 bytes, a frame of
/// more than `limit`.
pub(super) fn put(key: &[u8], record: &Record, now_ms: u64, compress: bool, limit: usize) -> Option<Vec<u8>> {
    let key_len = u16::try_from(key.len()).ok()?;
    // A cache keeps no value of more than 16 tags.
    let tags = u8::try_from(record.tags.len()).ok()?;
    let raw = u32::try_from(record.bytes.len()).ok()?;
    let mut flags = if record.own { OWN } else { 0 };
    let mut packed = Vec::new();
    if compress && record.bytes.len() >= COMPRESS_FROM {
        packed = lz4_flex::block::compress(&record.bytes);
        if packed.len() <= record.bytes.len() - record.bytes.len() / 8 {
            flags |= COMPRESSED;
        }
    }
    let value = if flags & COMPRESSED == 0 { &record.bytes } else { &packed };
    let len = BODY + 4 * usize::from(tags) + key.len() + value.len();
    if HEADER + len > limit {
        return None;
    }
    let mut frame = Vec::with_capacity(HEADER + len);
    frame.resize(HEADER, 0);
    frame.extend_from_slice(&now_ms.saturating_sub(millis(record.age)).to_le_bytes());
    frame.extend_from_slice(&record.life.map_or(u64::MAX, millis).to_le_bytes());
    frame.extend_from_slice(&record.generation.to_le_bytes());
    frame.extend_from_slice(&raw.to_le_bytes());
    frame.extend_from_slice(&key_len.to_le_bytes());
    frame.push(tags);
    record.tags.iter().for_each(|tag| frame.extend_from_slice(&tag.to_le_bytes()));
    frame.extend_from_slice(key);
    frame.extend_from_slice(value);
    Some(seal(frame, PUT, flags, hash(key)))
}

/// The frame that says that a key is gone.
pub(super) fn remove(hash: u64) -> Vec<u8> {
    seal(vec![0; HEADER], REMOVE, 0, hash)
}

/// The frame that says what `generation` struck: a tag's hash or [`EVERYTHING`].
pub(super) fn strike(at: u64, generation: u64) -> Vec<u8> {
    let mut frame = vec![0; HEADER];
    frame.extend_from_slice(&generation.to_le_bytes());
    seal(frame, STRIKE, 0, at)
}

fn seal(mut frame: Vec<u8>, kind: u8, flags: u8, hash: u64) -> Vec<u8> {
    let (header, body) = frame.split_at_mut(HEADER);
    // `put` and `strike` have seen to it that a body's length fits.
    header[..4].copy_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
    header[4] = kind;
    header[5] = flags;
    header[8..16].copy_from_slice(&hash.to_le_bytes());
    header[16..20].copy_from_slice(&crc32c::crc32c(body).to_le_bytes());
    let sum = crc32c::crc32c(&header[..20]);
    header[20..].copy_from_slice(&sum.to_le_bytes());
    frame
}

/// A frame's header whose checksum is right.
#[derive(Clone, Copy, Debug)]
struct Header {
    len: usize,
    kind: u8,
    flags: u8,
    hash: u64,
    sum: u32,
}

fn header(bytes: &[u8]) -> Option<Header> {
    let (header, _) = bytes.split_first_chunk::<HEADER>()?;
    let word = |at: usize| [header[at], header[at + 1], header[at + 2], header[at + 3]];
    if crc32c::crc32c(&header[..20]) != u32::from_le_bytes(word(20)) {
        return None;
    }
    let (low, high) = (u32::from_le_bytes(word(8)), u32::from_le_bytes(word(12)));
    Some(Header {
        len: usize::try_from(u32::from_le_bytes(word(0))).ok()?,
        kind: header[4],
        flags: header[5],
        hash: u64::from(high) << 32 | u64::from(low),
        sum: u32::from_le_bytes(word(16)),
    })
}

/// A value as it stands in a frame.
pub(super) struct Put<'a> {
    pub(super) key: &'a [u8],
    pub(super) record: Record,
}

/// What it says of a value without unpacking it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Brief {
    pub(super) generation: u64,
    /// The wall clock's time at which its life ends, in milliseconds; `u64::MAX` is never.
    pub(super) end_ms: u64,
}

struct Body<'a> {
    written_ms: u64,
    life_ms: u64,
    generation: u64,
    raw: usize,
    tags: &'a [u8],
    key: &'a [u8],
    value: &'a [u8],
}

fn body(bytes: &[u8]) -> Option<Body<'_>> {
    let (written, rest) = bytes.split_first_chunk()?;
    let (life, rest) = rest.split_first_chunk()?;
    let (generation, rest) = rest.split_first_chunk()?;
    let (raw, rest) = rest.split_first_chunk()?;
    let (key, rest) = rest.split_first_chunk()?;
    let (&tags, rest) = rest.split_first()?;
    let (tags, rest) = rest.split_at_checked(4 * usize::from(tags))?;
    let (key, value) = rest.split_at_checked(usize::from(u16::from_le_bytes(*key)))?;
    Some(Body {
        written_ms: u64::from_le_bytes(*written),
        life_ms: u64::from_le_bytes(*life),
        generation: u64::from_le_bytes(*generation),
        raw: usize::try_from(u32::from_le_bytes(*raw)).ok()?,
        tags,
        key,
        value,
    })
}

/// The value of a whole frame, its age by `now_ms`; `None` when it is damaged or no value.
pub(super) fn read(frame: &[u8], now_ms: u64) -> Option<Put<'_>> {
    let header = header(frame)?;
    let bytes = frame.get(HEADER..)?.get(..header.len)?;
    if header.kind != PUT || crc32c::crc32c(bytes) != header.sum {
        return None;
    }
    let body = body(bytes)?;
    let value = if header.flags & COMPRESSED == 0 {
        body.value.to_vec()
    } else {
        if body.raw > body.value.len().saturating_mul(MOST_EXPANSION) {
            return None;
        }
        lz4_flex::block::decompress(body.value, body.raw).ok()?
    };
    if value.len() != body.raw {
        return None;
    }
    let record = Record {
        bytes: value,
        age: Duration::from_millis(now_ms.saturating_sub(body.written_ms)),
        life: (body.life_ms != u64::MAX).then(|| Duration::from_millis(body.life_ms)),
        own: header.flags & OWN != 0,
        tags: body.tags.as_chunks().0.iter().map(|tag| u32::from_le_bytes(*tag)).collect(),
        generation: body.generation,
    };
    Some(Put { key: body.key, record })
}

/// One thing a segment says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event<'a> {
    /// A value, unless a later event takes it back.
    Put { at: usize, len: usize, hash: u64, key: &'a [u8], brief: Brief },
    /// The key is gone.
    Remove { hash: u64 },
    /// A tag, or [`EVERYTHING`], was struck in this generation.
    Strike { at: u64, generation: u64 },
    /// Something of this key is damaged: what is older of it may be out of date.
    Damaged { hash: u64 },
    /// Bytes that are no frame: whatever is older may be out of date.
    Lost,
}

/// Tells what a segment says, in order. Returns how many bytes of it are whole: the rest is a frame that was being written.
pub(super) fn scan<'a>(segment: &'a [u8], mut tell: impl FnMut(Event<'a>)) -> usize {
    if segment.len() < FILE_HEADER && file_header().starts_with(segment) {
        return 0;
    }
    if segment.get(..FILE_HEADER) != Some(&file_header()[..]) {
        // Another version's, or none of ours: nothing of it counts.
        tell(Event::Lost);
        return segment.len();
    }
    let mut at = FILE_HEADER;
    while at < segment.len() {
        let rest = &segment[at..];
        if rest.len() < HEADER {
            return at;
        }
        let Some(found) = header(rest) else {
            tell(Event::Lost);
            // Two checksums have to fit before bytes in the midst of others count as a frame.
            let next = (at + 1..segment.len()).find(|next| is_whole(&segment[*next..]));
            at = next.unwrap_or(segment.len());
            continue;
        };
        let Some(bytes) = rest[HEADER..].get(..found.len) else { return at };
        tell(event(&found, bytes, at));
        at += HEADER + found.len;
    }
    segment.len()
}

fn is_whole(bytes: &[u8]) -> bool {
    header(bytes).is_some_and(|header| {
        bytes[HEADER..].get(..header.len).is_some_and(|body| crc32c::crc32c(body) == header.sum)
    })
}

fn event<'a>(header: &Header, bytes: &'a [u8], at: usize) -> Event<'a> {
    let whole = crc32c::crc32c(bytes) == header.sum;
    match header.kind {
        PUT => match body(bytes).filter(|_| whole) {
            Some(body) => {
                let end_ms = body.written_ms.saturating_add(body.life_ms);
                let brief = Brief { generation: body.generation, end_ms };
                Event::Put { at, len: HEADER + bytes.len(), hash: header.hash, key: body.key, brief }
            }
            None => Event::Damaged { hash: header.hash },
        },
        REMOVE => Event::Remove { hash: header.hash },
        STRIKE if whole && bytes.len() == 8 => {
            let generation = bytes.try_into().map_or(0, u64::from_le_bytes);
            Event::Strike { at: header.hash, generation }
        }
        // A strike whose generation is damaged, or a kind of another release.
        _ => Event::Lost,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(bytes: Vec<u8>) -> Record {
        let life = Some(Duration::from_secs(60));
        Record { bytes, age: Duration::ZERO, life, own: false, tags: vec![7], generation: 3 }
    }

    fn segment() -> Vec<u8> {
        let mut bytes = file_header().to_vec();
        for (key, value) in [("a", 10), ("b", 1000), ("c", 70)] {
            bytes.extend(put(key.as_bytes(), &record(vec![5; value]), 1000, true, 1 << 20).unwrap());
        }
        bytes.extend(remove(hash(b"a")));
        bytes.extend(strike(EVERYTHING, 9));
        bytes
    }

    fn events(bytes: &[u8]) -> (Vec<Event<'_>>, usize) {
        let mut events = Vec::new();
        let whole = scan(bytes, |event| events.push(event));
        (events, whole)
    }

    #[test]
    fn what_is_written_is_told() {
        let bytes = segment();
        let (events, whole) = events(&bytes);
        assert_eq!((events.len(), whole), (5, bytes.len()));
        let Event::Put { at, len, key, brief, .. } = events[1] else { panic!("{events:?}") };
        assert!(key == b"b" && len < 200, "a thousand equal bytes are compressed: {len}");
        assert_eq!(brief, Brief { generation: 3, end_ms: 61_000 });
        let there = read(&bytes[at..at + len], 3000).unwrap();
        assert_eq!((there.key, there.record.bytes.len(), there.record.age.as_secs()), (&b"b"[..], 1000, 2));
        assert_eq!(
            events[3..],
            [Event::Remove { hash: hash(b"a") }, Event::Strike { at: EVERYTHING, generation: 9 }]
        );
    }

    #[test]
    fn a_frame_that_was_being_written_is_cut() {
        let bytes = segment();
        let last = bytes.len() - HEADER - 8;
        for cut in last + 1..bytes.len() {
            let (events, whole) = events(&bytes[..cut]);
            assert_eq!((events.len(), whole), (4, last), "cut at {cut}");
        }
        assert_eq!(events(&bytes[..9]), (vec![], 0), "of the file's own header");
    }

    #[test]
    fn damage_is_told_and_the_rest_is_read() {
        let bytes = segment();
        let (whole, _) = events(&bytes);
        let Event::Put { at, hash, .. } = whole[1] else { panic!("{whole:?}") };
        let mut body = bytes.clone();
        body[at + HEADER + 20] ^= 1;
        let (told, _) = events(&body);
        assert!(told.len() == 5 && told[1] == Event::Damaged { hash }, "{told:?}");
        let mut head = bytes.clone();
        head[at] ^= 1;
        let (told, _) = events(&head);
        assert!(told.len() == 5 && told[1] == Event::Lost, "{told:?}");
    }

    #[test]
    fn another_versions_file_counts_for_nothing() {
        let mut bytes = segment();
        bytes[6] = 9;
        assert_eq!(events(&bytes).0, [Event::Lost]);
    }

    #[test]
    fn what_is_too_large_has_no_frame() {
        assert!(put(b"k", &record(vec![0; 100]), 0, false, 100).is_none());
        assert!(put(&[0; 70_000], &record(Vec::new()), 0, false, 1 << 20).is_none());
    }

    proptest! {
        /// No bytes make it panic, none make it take more memory than the file has, and a changed byte never changes a value.
        #[test]
        fn foreign_bytes_do_no_harm(at in any::<prop::sample::Index>(), bytes in prop::collection::vec(any::<u8>(), 1..40)) {
            let good = segment();
            let (before, _) = events(&good);
            let mut bad = good.clone();
            let at = at.index(bad.len());
            for (to, from) in bad[at..].iter_mut().zip(&bytes) {
                *to = *from;
            }
            scan(&bad, |event| {
                if let Event::Put { at, len, .. } = event {
                    assert!(before.contains(&event), "a value that was never written");
                    assert!(read(&bad[at..at + len], 0).is_some());
                }
            });
            scan(&bytes, |_| {});
            read(&bytes, 0);
        }
    }
}
