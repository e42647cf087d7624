//! Parquet in and out, a whole file at a time, through the disk: the only folder that knows the encoding.

#[cfg(feature = "codec-arrow2")]
mod arrow2;
mod header;
mod input;
mod kept;
mod pages;
mod reader;
mod rows;
mod runs;
mod sieve;
mod unpack;
mod whole;
mod writer;

use arrow_array::RecordBatch;
use serde::{Deserialize, Serialize};

use crate::{columns::Columns, table::Table};

#[cfg(feature = "codec-arrow2")]
pub use arrow2::Arrow2;
pub(crate) use header::LONGEST_PAGE;
pub(crate) use kept::Kept;
pub(crate) use reader::{FileReader, Filter, Read};
pub(crate) use rows::Rows;
pub use whole::{ArrowRs, Codec};
pub(crate) use writer::{FileWriter, Written};

/// Rows in a batch, read or handed to the encoder.
pub(crate) const BATCH: usize = 8192;

/// Where the page indexes and the footer begin, behind the last page, and the CRC-32C of the rest of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tail {
    pub(crate) from: u64,
    pub(crate) crc32c: u32,
}

/// What is known of a file before it is opened; two files that have all of it in common are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) bytes: u64,
    pub(crate) crc32c: u32,
    pub(crate) tail: Option<Tail>,
}

/// Batches as columns of the table.
pub(crate) fn columns_of(table: &Table, batch: &RecordBatch) -> Columns {
    Columns::from_batch(&table.shape.kinds, batch)
}
