//! Inflates gzip (RFC 1952), zlib (RFC 1950) and raw deflate (RFC 1951) as it arrives, within bounds, with reused buffers.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use flate2::{Crc, Decompress, FlushDecompress, Status};
use http::HeaderMap;
use http::header::CONTENT_ENCODING;

/// Free inflaters kept at most; each holds about 50 KB of state and one output buffer.
const KEEP: usize = 32;
/// An output buffer that grew beyond this is given back to the allocator after use.
const KEEP_BUFFER: usize = 1 << 20;
/// Output room added at a time, at least.
const STEP: usize = 32 << 10;
/// A gzip header (its name and comment included) is refused when longer.
const MAX_GZIP_HEADER: usize = 16 << 10;

/// How a body is encoded, if it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// `gzip` or `x-gzip`; several members are one body.
    Gzip,
    /// `deflate`: zlib as the standard says, or the raw stream that many servers send.
    Deflate,
}

impl Encoding {
    /// What the headers say; `None` is a body as it is.
    ///
    /// # Errors
    /// The name (at most 32 characters of it) of an encoding we do not read, or of two that are stacked.
    pub fn of(headers: &HeaderMap) -> Result<Option<Self>, String> {
        let mut found = None;
        for value in headers.get_all(CONTENT_ENCODING) {
            for name in value.to_str().unwrap_or("?").split(',').map(str::trim) {
                let next = match name {
                    "" => continue,
                    name if name.eq_ignore_ascii_case("identity") => continue,
                    name if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") => {
                        Self::Gzip
                    }
                    name if name.eq_ignore_ascii_case("deflate") => Self::Deflate,
                    other => return Err(other.chars().take(32).collect()),
                };
                if found.replace(next).is_some() {
                    return Err("stacked encodings".to_owned());
                }
            }
        }
        Ok(found)
    }
}

/// Why bytes were not inflated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// More than the bound would come out.
    #[error("inflates beyond the bound")]
    Bomb,
    /// Not what the encoding promises: wrong magic, a broken block, a checksum or length that differs, bytes after the end.
    #[error("not a valid stream")]
    Corrupt,
    /// The input ended first.
    #[error("ended early")]
    Truncated,
}

/// Hands out inflaters and takes them back, so that an answer costs no large allocation. Clones share it.
#[derive(Clone, Default)]
pub struct InflaterPool(Arc<Mutex<Vec<Parts>>>);

/// What is worth keeping of an inflater.
struct Parts {
    core: Decompress,
    out: Vec<u8>,
}

impl InflaterPool {
    /// An inflater for one body whose output is at most `max` bytes.
    pub fn take(&self, encoding: Encoding, max: usize) -> Inflater {
        let parts = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut parts = parts.unwrap_or_else(|| Parts { core: Decompress::new(false), out: Vec::new() });
        parts.core.reset(false);
        parts.out.clear();
        let stage = match encoding {
            Encoding::Deflate => Stage::DeflateHead,
            Encoding::Gzip => Stage::GzipHead,
        };
        let (crc, head) = (Crc::new(), Vec::new());
        Inflater { parts: Some(parts), pool: self.clone(), stage, head, crc, member_from: 0, max }
    }

    fn put(&self, mut parts: Parts) {
        if parts.out.capacity() > KEEP_BUFFER {
            parts.out = Vec::new();
        }
        let mut free = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < KEEP {
            free.push(parts);
        }
    }
}

/// One body on its way: `push` what arrives, `finish` at the end. Goes back to its pool on drop.
pub struct Inflater {
    parts: Option<Parts>,
    pool: InflaterPool,
    stage: Stage,
    /// Bytes of a header or trailer that came in pieces.
    head: Vec<u8>,
    crc: Crc,
    /// Where the output of the current gzip member begins.
    member_from: usize,
    max: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    GzipHead,
    GzipBody,
    GzipTail,
    /// A member is complete: another one, zero padding or nothing may follow.
    GzipNext,
    DeflateHead,
    DeflateBody,
    DeflateDone,
}

impl Inflater {
    /// Takes the next bytes of the body.
    ///
    /// # Errors
    /// [`Refusal::Bomb`] as soon as the output would pass its bound, [`Refusal::Corrupt`] at the first wrong byte.
    pub fn push(&mut self, mut input: &[u8]) -> Result<(), Refusal> {
        while !input.is_empty() {
            input = match self.stage {
                Stage::GzipHead => self.gzip_head(input)?,
                Stage::GzipBody => {
                    let from = self.out().len();
                    let (rest, ended) = self.inflate(input)?;
                    let (crc, parts) = (&mut self.crc, self.parts.as_ref());
                    crc.update(&parts.map_or(&[][..], |parts| &parts.out)[from..]);
                    if ended {
                        self.stage = Stage::GzipTail;
                    }
                    rest
                }
                Stage::GzipTail => self.gzip_tail(input)?,
                Stage::GzipNext => match input {
                    [0, rest @ ..] => rest,
                    _ => {
                        self.core().reset(false);
                        self.crc = Crc::new();
                        self.member_from = self.out().len();
                        self.stage = Stage::GzipHead;
                        input
                    }
                },
                Stage::DeflateHead => self.deflate_head(input),
                Stage::DeflateBody => {
                    let (rest, ended) = self.inflate(input)?;
                    if ended {
                        self.stage = Stage::DeflateDone;
                    }
                    rest
                }
                Stage::DeflateDone => return Err(Refusal::Corrupt),
            };
        }
        Ok(())
    }

    /// The whole body. An empty input is an empty body.
    ///
    /// # Errors
    /// [`Refusal::Truncated`] when the stream did not come to its end.
    pub fn finish(mut self) -> Result<Bytes, Refusal> {
        if self.stage == Stage::DeflateHead && !self.head.is_empty() {
            // A single byte: too short for a zlib header, so it can only be a raw stream.
            let byte = std::mem::take(&mut self.head);
            self.stage = Stage::DeflateBody;
            self.push(&byte)?;
        }
        match self.stage {
            Stage::GzipNext | Stage::DeflateDone => Ok(Bytes::copy_from_slice(self.out())),
            Stage::GzipHead | Stage::DeflateHead if self.head.is_empty() && self.out().is_empty() => {
                Ok(Bytes::new())
            }
            _ => Err(Refusal::Truncated),
        }
    }

    /// Inflates until the input is used up or the stream ends; returns what is left of the input.
    fn inflate<'a>(&mut self, mut input: &'a [u8]) -> Result<(&'a [u8], bool), Refusal> {
        let max = self.max;
        let Some(Parts { core, out }) = self.parts.as_mut() else { return Err(Refusal::Corrupt) };
        loop {
            if out.len() == out.capacity() {
                // Grow with what came so far, never beyond one byte over the bound: that byte proves the bomb.
                let room = out.len().clamp(STEP, 4 << 20).min((max + 1).saturating_sub(out.len()));
                out.reserve_exact(room);
            }
            let (read, written) = (core.total_in(), out.len());
            let status =
                core.decompress_vec(input, out, FlushDecompress::None).map_err(|_| Refusal::Corrupt)?;
            let used = usize::try_from(core.total_in() - read).map_err(|_| Refusal::Corrupt)?;
            input = &input[used..];
            if out.len() > max {
                return Err(Refusal::Bomb);
            }
            match status {
                Status::StreamEnd => return Ok((input, true)),
                _ if out.len() == out.capacity() => {}
                _ if input.is_empty() => return Ok((input, false)),
                _ if used == 0 && out.len() == written => return Err(Refusal::Corrupt),
                _ => {}
            }
        }
    }

    fn gzip_head<'a>(&mut self, input: &'a [u8]) -> Result<&'a [u8], Refusal> {
        let before = self.head.len();
        let found = if before == 0 {
            gzip_header_len(input)?
        } else {
            let take = input.len().min(MAX_GZIP_HEADER + 1 - before);
            self.head.extend_from_slice(&input[..take]);
            gzip_header_len(&self.head)?
        };
        match found {
            Some(len) => {
                self.head.clear();
                self.stage = Stage::GzipBody;
                Ok(&input[len - before..])
            }
            None if before + input.len() > MAX_GZIP_HEADER => Err(Refusal::Corrupt),
            None => {
                if before == 0 {
                    self.head.extend_from_slice(input);
                }
                Ok(&[])
            }
        }
    }

    fn gzip_tail<'a>(&mut self, input: &'a [u8]) -> Result<&'a [u8], Refusal> {
        let take = input.len().min(8 - self.head.len());
        self.head.extend_from_slice(&input[..take]);
        if let Ok(tail) = <[u8; 8]>::try_from(self.head.as_slice()) {
            let [a, b, c, d, e, f, g, h] = tail;
            let length = self.out().len() - self.member_from;
            let whole = u32::from_le_bytes([a, b, c, d]) == self.crc.sum()
                && u32::from_le_bytes([e, f, g, h]) as usize == length & 0xffff_ffff;
            if !whole {
                return Err(Refusal::Corrupt);
            }
            self.head.clear();
            self.stage = Stage::GzipNext;
        }
        Ok(&input[take..])
    }

    /// Two bytes tell zlib from a raw stream: the method is 8 and the pair a multiple of 31.
    fn deflate_head<'a>(&mut self, input: &'a [u8]) -> &'a [u8] {
        let held = self.head.first().copied();
        let (first, second) = match (held, input) {
            (Some(first), [second, ..]) => (first, *second),
            (None, [first, second, ..]) => (*first, *second),
            _ => {
                self.head.extend_from_slice(input);
                return &[];
            }
        };
        let zlib = first & 0x0f == 8 && (u16::from(first) << 8 | u16::from(second)).is_multiple_of(31);
        self.core().reset(zlib);
        self.stage = Stage::DeflateBody;
        if held.is_some() {
            self.head.clear();
            // The held byte yields no output and cannot fail alone: the header of a block is longer.
            self.core().decompress(&[first], &mut [], FlushDecompress::None).ok();
        }
        input
    }

    fn core(&mut self) -> &mut Decompress {
        &mut self.parts.get_or_insert_with(|| Parts { core: Decompress::new(false), out: Vec::new() }).core
    }

    fn out(&self) -> &[u8] {
        self.parts.as_ref().map_or(&[], |parts| &parts.out)
    }
}

impl Drop for Inflater {
    fn drop(&mut self) {
        if let Some(parts) = self.parts.take() {
            self.pool.put(parts);
        }
    }
}

/// Length of the gzip header at the start of `bytes`; `None` while more bytes are needed.
fn gzip_header_len(bytes: &[u8]) -> Result<Option<usize>, Refusal> {
    for (byte, magic) in bytes.iter().zip([0x1f, 0x8b, 8]) {
        if *byte != magic {
            return Err(Refusal::Corrupt);
        }
    }
    let Some(&flags) = bytes.get(3) else { return Ok(None) };
    if flags & 0b1110_0000 != 0 {
        return Err(Refusal::Corrupt);
    }
    let mut at = 10;
    if flags & 4 != 0 {
        let Some(&[low, high]) = bytes.get(at..at + 2) else { return Ok(None) };
        at += 2 + usize::from(u16::from_le_bytes([low, high]));
    }
    for flag in [8, 16] {
        if flags & flag != 0 {
            let Some(end) = bytes.get(at..).and_then(|rest| rest.iter().position(|byte| *byte == 0)) else {
                return Ok(None);
            };
            at += end + 1;
        }
    }
    if flags & 2 != 0 {
        at += 2;
    }
    Ok((bytes.len() >= at).then_some(at))
}
