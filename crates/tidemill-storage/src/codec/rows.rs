//! Batches out of a file, with nothing left to the decoder's honour: it may not panic, nor give fewer rows than there are.

use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow_array::RecordBatch;
use arrow_schema::ArrowError;
use parquet::{
    arrow::arrow_reader::ParquetRecordBatchReader,
    errors::{ParquetError, Result as ParquetResult},
};

/// Decoded batches.
pub(crate) struct Rows {
    /// None once it failed.
    reader: Option<ParquetRecordBatchReader>,
    /// How many rows are still to come, where all of them were asked for.
    left: Option<u64>,
}

impl Rows {
    pub(super) fn new(reader: ParquetRecordBatchReader, rows: Option<u64>) -> Self {
        Self { reader: Some(reader), left: rows }
    }
}

impl Iterator for Rows {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        let reader = self.reader.as_mut()?;
        let mut next = match guarded(|| Ok(reader.next())) {
            Ok(next) => next,
            Err(error) => Some(Err(error.into())),
        };
        let found = next.as_ref().map_or(0, |batch| batch.as_ref().map_or(0, RecordBatch::num_rows)) as u64;
        let wrong = self.left.is_some_and(|left| found > left || next.is_none() && left > 0);
        self.left = self.left.map(|left| left.saturating_sub(found));
        if wrong {
            next = Some(Err(ArrowError::ParquetError("holds another number of rows than it says".into())));
        }
        if !matches!(next, Some(Ok(_))) {
            self.reader = None;
        }
        next
    }
}

/// arrow-rs 59.3 panics on some damaged footers: that is an error like any other.
pub(super) fn guarded<T>(decode: impl FnOnce() -> ParquetResult<T>) -> ParquetResult<T> {
    catch_unwind(AssertUnwindSafe(decode))
        .unwrap_or_else(|_| Err(ParquetError::General("the decoder panicked".into())))
}
