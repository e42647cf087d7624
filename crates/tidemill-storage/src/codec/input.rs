//! A file as bytes: nothing is asked for beyond its end, and nothing allocated for it.

use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use parquet::{
    errors::{ParquetError, Result as ParquetResult},
    file::reader::{ChunkReader, Length},
};
use tidemill_journal::ReadFile;

/// The length of the metadata and the magic: of what arrow-rs reads, all that it asks for without its length.
const FOOTER: u64 = 8;

/// A file that is read by place and length. arrow-rs reads the footer and the page index through it; pages are read by `pages`.
#[derive(Clone)]
pub(super) struct Input(Arc<dyn ReadFile>);

impl Input {
    pub(super) fn new(file: Arc<dyn ReadFile>) -> Self {
        Self(file)
    }

    pub(super) fn size(&self) -> u64 {
        self.0.size()
    }

    pub(super) fn read(&self, start: u64, length: u64) -> ParquetResult<Bytes> {
        // A damaged footer must not make us allocate more than the file holds.
        if start.checked_add(length).is_none_or(|end| end > self.0.size()) {
            return Err(ParquetError::EOF(format!("{length} bytes at {start} are beyond the file")));
        }
        let mut bytes = vec![0; length as usize];
        self.0.read_at(&mut bytes, start)?;
        Ok(bytes.into())
    }
}

impl Length for Input {
    fn len(&self) -> u64 {
        self.0.size()
    }
}

impl ChunkReader for Input {
    type T = bytes::buf::Reader<Bytes>;

    fn get_read(&self, start: u64) -> ParquetResult<Self::T> {
        Ok(self.read(start, self.0.size().saturating_sub(start).min(FOOTER))?.reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        self.read(start, length as u64)
    }
}
