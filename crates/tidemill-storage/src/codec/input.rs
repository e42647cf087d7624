//! A file as the Parquet decoder reads it: nothing beyond its end, columns ahead.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::{Buf as _, Bytes};
use parquet::{
    errors::{ParquetError, Result as ParquetResult},
    file::reader::{ChunkReader, Length},
};
use tidemill_journal::ReadFile;

/// Bytes that are read at once where page follows page.
const AHEAD: u64 = 64 << 10;
/// Stretches kept, one a column that is read at the same time.
const STRETCHES: usize = 32;

/// No page is longer, packed or not: a value longer than this is refused when it is written.
pub(crate) const LONGEST_PAGE: u64 = 128 << 20;
/// No page holds more values.
const MOST_VALUES: u64 = 10_000_000;

/// A file for the decoder, which asks for headers byte by byte and for pages one by one: columns are read ahead.
#[derive(Clone)]
pub(crate) struct Input {
    file: Arc<dyn ReadFile>,
    /// Pages are asked for with their headers, found by the page index.
    pub(super) whole_pages: bool,
    /// What was read last, the newest in front, by position.
    ahead: Arc<Mutex<VecDeque<(u64, Bytes)>>>,
}

impl Input {
    pub(crate) fn new(file: Arc<dyn ReadFile>) -> Self {
        Self { file, whole_pages: false, ahead: Arc::default() }
    }

    fn read(&self, start: u64, length: u64) -> ParquetResult<Bytes> {
        // A damaged footer must not make us allocate more than the file holds.
        if start.checked_add(length).is_none_or(|end| end > self.file.size()) {
            return Err(ParquetError::EOF(format!("{length} bytes at {start} are beyond the file")));
        }
        let mut bytes = vec![0; length as usize];
        self.file.read_at(&mut bytes, start)?;
        Ok(bytes.into())
    }

    /// What was read ahead from `start` on; at least `length` bytes.
    fn held(&self, start: u64, length: u64) -> Option<Bytes> {
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        let end = start.checked_add(length)?;
        let at = ahead.iter().position(|(from, bytes)| *from <= start && end <= from + bytes.len() as u64)?;
        if at > 0
            && let Some(found) = ahead.remove(at)
        {
            ahead.push_front(found);
        }
        let (from, bytes) = ahead.front()?;
        Some(bytes.slice((start - from) as usize..))
    }
}

impl Length for Input {
    fn len(&self) -> u64 {
        self.file.size()
    }
}

/// The length of the metadata and the magic at the end, which are read through the same door as page headers.
const FOOTER: u64 = 8;
/// More than a page header takes.
const HEADER: u64 = 256;

impl ChunkReader for Input {
    type T = bytes::buf::Reader<Bytes>;

    /// Page headers, and nothing else, are read through this.
    fn get_read(&self, start: u64) -> ParquetResult<Self::T> {
        let left = self.file.size().saturating_sub(start);
        if left <= FOOTER {
            return Ok(self.read(start, left)?.reader());
        }
        if let Some(bytes) = self.held(start, HEADER.min(left)) {
            check(&bytes)?;
            return Ok(bytes.reader());
        }
        let bytes = self.read(start, AHEAD.min(left))?;
        check(&bytes)?;
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        ahead.truncate(STRETCHES - 1);
        ahead.push_front((start, bytes.clone()));
        Ok(bytes.reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        let bytes = match self.held(start, length as u64) {
            Some(bytes) => bytes.slice(..length),
            None => self.read(start, length as u64)?,
        };
        if self.whole_pages {
            check(&bytes)?;
        }
        Ok(bytes)
    }
}

/// The decoder believes what a page header says of sizes and allocates that much: no more than a page may have. Headers are structs
/// of Thrift's compact protocol; what is none is left for the decoder to refuse.
fn check(header: &[u8]) -> ParquetResult<()> {
    let mut bytes = header.iter().copied();
    let (mut field, mut unpacked) = (0, 0);
    loop {
        let Some(first) = bytes.next().filter(|first| *first != 0 && first >> 4 != 0) else { return Ok(()) };
        field += first >> 4;
        match (field, first & 15) {
            (2, 5) => {
                let Some(size) = integer(&mut bytes) else { return Ok(()) };
                unpacked = size;
                if size > LONGEST_PAGE {
                    return Err(ParquetError::General(format!("a page of {size} bytes")));
                }
            }
            (5 | 7 | 8, 12) => {
                // The struct of this kind of page; the number of values comes first.
                let Some(0x15) = bytes.next() else { return Ok(()) };
                let Some(values) = integer(&mut bytes) else { return Ok(()) };
                let most = if field == 7 { unpacked } else { MOST_VALUES };
                return match values > most {
                    true => Err(ParquetError::General(format!("a page of {values} values"))),
                    false => Ok(()),
                };
            }
            (_, 5) => {
                if integer(&mut bytes).is_none() {
                    return Ok(());
                }
            }
            (_, 1 | 2) => {}
            _ => return Ok(()),
        }
    }
}

/// A whole number that is not negative; one that is counts as too great.
fn integer(bytes: &mut impl Iterator<Item = u8>) -> Option<u64> {
    let mut value = 0u64;
    for shift in 0..10 {
        let byte = bytes.next()?;
        value |= u64::from(byte & 0x7f).checked_shl(7 * shift)?;
        if byte < 0x80 {
            return Some(if value & 1 == 1 { u64::MAX } else { value >> 1 });
        }
    }
    None
}
