//! Codecs: a whole Parquet file in memory, written or read at once, so that one can judge the other.

use std::io;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use bytes::Bytes;
use tidemill_journal::ReadFile;

use super::{FileReader, Read};
use crate::{Config, Error, encode::encoded};

/// Writes and reads Parquet a whole file at a time.
pub trait Codec: std::fmt::Debug + Send + Sync {
    /// What it is called in reports.
    fn name(&self) -> &'static str;

    /// The rows as a file.
    ///
    /// # Errors
    /// `Input` for types that are not stored, `Config`.
    fn encode(&self, rows: &RecordBatch, config: &Config) -> Result<Vec<u8>, Error>;

    /// The rows of a file with these columns; a panic of the decoder is an error.
    ///
    /// # Errors
    /// `Corrupt` when the file is none, or has other columns.
    fn decode(&self, file: &[u8], schema: &SchemaRef) -> Result<Vec<RecordBatch>, Error>;
}

/// What the store itself uses: pages of ours, framed and read by arrow-rs.
#[derive(Clone, Copy, Debug, Default)]
pub struct ArrowRs;

impl Codec for ArrowRs {
    fn name(&self) -> &'static str {
        "arrow-rs"
    }

    fn encode(&self, rows: &RecordBatch, config: &Config) -> Result<Vec<u8>, Error> {
        encoded(rows, config)
    }

    fn decode(&self, file: &[u8], schema: &SchemaRef) -> Result<Vec<RecordBatch>, Error> {
        let reader = FileReader::held(Held(Bytes::copy_from_slice(file)));
        let batches = reader.read(schema, Read::default())?;
        batches.map(|batch| batch.map_err(|e| reader.error(e))).collect()
    }
}

/// A file in memory.
struct Held(Bytes);

impl ReadFile for Held {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, out: &mut [u8], at: u64) -> io::Result<()> {
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        let found = at.checked_add(out.len()).and_then(|end| self.0.get(at..end));
        out.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}
