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

/// A file for the decoder, which asks for headers byte by byte and for pages one by one: columns are read ahead.
#[derive(Clone)]
pub(crate) struct Input {
    file: Arc<dyn ReadFile>,
    /// What was read last, the newest in front, by position.
    ahead: Arc<Mutex<VecDeque<(u64, Bytes)>>>,
}

impl Input {
    pub(crate) fn new(file: Arc<dyn ReadFile>) -> Self {
        Self { file, ahead: Arc::default() }
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

/// More than a page header takes.
const HEADER: u64 = 256;

impl ChunkReader for Input {
    type T = bytes::buf::Reader<Bytes>;

    /// Page headers, and nothing else, are read through this.
    fn get_read(&self, start: u64) -> ParquetResult<Self::T> {
        let left = self.file.size().saturating_sub(start);
        if let Some(bytes) = self.held(start, HEADER.min(left)) {
            return Ok(bytes.reader());
        }
        let bytes = self.read(start, AHEAD.min(left))?;
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        ahead.truncate(STRETCHES - 1);
        ahead.push_front((start, bytes.clone()));
        Ok(bytes.reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        match self.held(start, length as u64) {
            Some(bytes) => Ok(bytes.slice(..length)),
            None => self.read(start, length as u64),
        }
    }
}
