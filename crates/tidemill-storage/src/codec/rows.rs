//! Batches out of a file, with nothing left to the decoder's honour: it may not panic, nor give fewer rows than there are.

use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow_array::RecordBatch;
use arrow_schema::ArrowError;
use parquet::{
    arrow::{
        ProjectionMask,
        arrow_reader::{ParquetRecordBatchReader, RowGroups as _},
        parquet_to_arrow_field_levels,
    },
    errors::{ParquetError, Result as ParquetResult},
};

use super::{BATCH, pages::Groups, sieve::Sieve};

/// Decoded batches.
pub(crate) struct Rows {
    /// None once it failed.
    way: Option<Way>,
    /// How many rows are still to come, where all of them were asked for.
    left: Option<u64>,
}

enum Way {
    All(ParquetRecordBatchReader),
    Sieved(Box<Sieve>),
}

impl Rows {
    /// Every row of some row groups.
    pub(super) fn all(groups: Groups, columns: &[usize]) -> ParquetResult<Self> {
        let schema = groups.source.footer.file_metadata().schema_descr();
        let mask = ProjectionMask::roots(schema, columns.iter().copied());
        let levels = parquet_to_arrow_field_levels(schema, mask, Some(&groups.source.fields))?;
        let rows = groups.num_rows();
        let reader =
            ParquetRecordBatchReader::try_new_with_row_groups(&levels, &groups, BATCH.min(rows), None)?;
        Ok(Self { way: Some(Way::All(reader)), left: Some(rows as u64) })
    }

    /// Those that pass, of which each step counts what it gets.
    pub(super) fn sieved(sieve: Sieve) -> Self {
        Self { way: Some(Way::Sieved(Box::new(sieve))), left: None }
    }
}

impl Iterator for Rows {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        let way = self.way.as_mut()?;
        let next = guarded(|| match way {
            Way::All(reader) => Ok(reader.next()),
            Way::Sieved(sieve) => Ok(sieve.next()?.map(Ok)),
        });
        let mut next = next.unwrap_or_else(|error| Some(Err(error.into())));
        let found = next.as_ref().map_or(0, |batch| batch.as_ref().map_or(0, RecordBatch::num_rows)) as u64;
        let wrong = self.left.is_some_and(|left| found > left || next.is_none() && left > 0);
        self.left = self.left.map(|left| left.saturating_sub(found));
        if wrong {
            next = Some(Err(ArrowError::ParquetError("holds another number of rows than it says".into())));
        }
        if !matches!(next, Some(Ok(_))) {
            self.way = None;
        }
        next
    }
}

/// arrow-rs 59.3 panics on some damaged footers: that is an error like any other.
pub(super) fn guarded<T>(decode: impl FnOnce() -> ParquetResult<T>) -> ParquetResult<T> {
    catch_unwind(AssertUnwindSafe(decode))
        .unwrap_or_else(|_| Err(ParquetError::General("the decoder panicked".into())))
}
