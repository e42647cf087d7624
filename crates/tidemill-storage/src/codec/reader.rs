//! A file being read: what is asked for of it, by its footer and page index, after its checksum.

use std::{
    io,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow_array::{ArrayRef, BooleanArray, RecordBatch};
use arrow_schema::SchemaRef;
use parquet::{
    arrow::{
        ProjectionMask,
        arrow_reader::{
            ArrowPredicate, ArrowPredicateFn, ArrowReaderMetadata, ArrowReaderOptions,
            ParquetRecordBatchReaderBuilder, RowFilter, RowSelection, RowSelector,
        },
    },
    basic::Compression as Packing,
    errors::ParquetError,
    file::{
        metadata::{PageIndexPolicy, ParquetMetaData, RowGroupMetaData},
        page_index::column_index::ColumnIndexMetaData,
        statistics::Statistics,
    },
};
use tidemill_journal::{Disk, ReadFile};

use super::{
    BATCH, Tail,
    input::Input,
    rows::{Rows, guarded},
};
use crate::{ColumnReport, Error, kind::narrow_decimals, table::Table};

/// What to read of a file; the default is all of it.
#[derive(Default)]
pub(crate) struct Read<'a> {
    /// Row groups.
    pub(crate) groups: Option<Vec<usize>>,
    /// Columns, by position in the table.
    pub(crate) columns: Option<&'a [usize]>,
    /// Leaves out row groups whose statistics say that no value of this signed column is in the range.
    pub(crate) range: Option<(usize, Range<i64>)>,
    /// Leaves out rows, before other columns are decoded.
    pub(crate) filters: Vec<Filter>,
}

/// Which values of a column are wanted.
pub(crate) struct Filter {
    pub(crate) column: usize,
    pub(crate) accepts: Box<dyn FnMut(&ArrayRef) -> BooleanArray + Send>,
}

fn may_hold(statistics: Option<&Statistics>, range: &Range<i64>) -> bool {
    let (low, high) = bounds(statistics);
    low.is_none_or(|low| low < range.end) && high.is_none_or(|high| high >= range.start)
}

/// Least and greatest of a signed column, where they are told.
fn bounds(statistics: Option<&Statistics>) -> (Option<i64>, Option<i64>) {
    match statistics {
        Some(Statistics::Int64(s)) => (s.min_opt().copied(), s.max_opt().copied()),
        Some(Statistics::Int32(s)) => {
            (s.min_opt().map(|v| i64::from(*v)), s.max_opt().map(|v| i64::from(*v)))
        }
        _ => (None, None),
    }
}

/// The rows of these row groups in pages that may hold a value of the range, by the page index; all where there is none.
fn pages_within(
    metadata: &ParquetMetaData,
    groups: &[usize],
    column: usize,
    range: &Range<i64>,
) -> RowSelection {
    let mut out = Vec::new();
    for &group in groups {
        let rows = metadata.row_groups().get(group).map_or(0, |group| group.num_rows()).max(0) as usize;
        let index = metadata.column_index().and_then(|index| index.get(group)?.get(column));
        let pages =
            metadata.offset_index().and_then(|index| Some(index.get(group)?.get(column)?.page_locations()));
        let (Some(index), Some(pages)) = (index, pages) else {
            out.push(RowSelector::select(rows));
            continue;
        };
        let bounds = |page: usize| match index {
            ColumnIndexMetaData::INT64(i) => (i.min_value(page).copied(), i.max_value(page).copied()),
            ColumnIndexMetaData::INT32(i) => {
                (i.min_value(page).map(|v| i64::from(*v)), i.max_value(page).map(|v| i64::from(*v)))
            }
            _ => (None, None),
        };
        let known = usize::try_from(index.num_pages()).unwrap_or(0);
        let starts = pages.iter().map(|page| page.first_row_index.max(0) as usize);
        let ends = starts.clone().skip(1).chain([rows]);
        let mut at = 0;
        for (page, (start, end)) in starts.zip(ends).enumerate() {
            let (low, high) = if page < known { bounds(page) } else { (None, None) };
            let may = low.is_none_or(|low| low < range.end) && high.is_none_or(|high| high >= range.start);
            let end = end.clamp(at, rows);
            let len = end - start.clamp(at, end);
            out.push(RowSelector::skip(end - at - len));
            out.push(if may { RowSelector::select(len) } else { RowSelector::skip(len) });
            at = end;
        }
        out.push(RowSelector::skip(rows - at));
    }
    out.into()
}

/// A file opened for reading, its checksum compared before the first byte is believed.
pub(crate) struct FileReader {
    input: Input,
    path: PathBuf,
}

impl FileReader {
    /// Opens and, unless it was done before, reads the whole file once to compare length and checksum.
    ///
    /// The tail is compared at each open, and pages have checksums of their own: what rots later is found too.
    pub(crate) fn open(
        disk: &dyn Disk,
        path: &Path,
        expect: Option<(u64, u32)>,
        tail: Option<Tail>,
    ) -> Result<Self, Error> {
        let file = disk.open(path).map_err(Error::disk("open", path))?;
        if let Some((bytes, crc)) = expect {
            if file.size() != bytes {
                return Err(Error::corrupt(path, format!("is {} bytes long, not {bytes}", file.size())));
            }
            let found = checksum(&*file, 0).map_err(Error::disk("read", path))?;
            if found != crc {
                return Err(Error::corrupt(path, format!("has checksum {found:08x}, not {crc:08x}")));
            }
        }
        if let Some(tail) = tail {
            let found = checksum(&*file, tail.from).map_err(Error::disk("read", path))?;
            if found != tail.crc32c {
                let detail = format!("has a footer of checksum {found:08x}, not {:08x}", tail.crc32c);
                return Err(Error::corrupt(path, detail));
            }
        }
        Ok(Self { input: Input::new(file.into()), path: path.to_owned() })
    }

    /// One in memory.
    pub(super) fn held(file: impl ReadFile + 'static) -> Self {
        Self { input: Input::new(Arc::new(file)), path: "(in memory)".into() }
    }

    /// Batches of what is asked for.
    pub(crate) fn read(&self, schema: &SchemaRef, read: Read<'_>) -> Result<Rows, Error> {
        let index = if read.range.is_some() { PageIndexPolicy::Optional } else { PageIndexPolicy::Skip };
        let metadata = self.metadata(index)?;
        let mut input = self.input.clone();
        input.whole_pages = metadata.metadata().offset_index().is_some();
        let mut builder = ParquetRecordBatchReaderBuilder::new_with_metadata(input, metadata);
        let found = builder.schema().fields();
        let same = found.len() == schema.fields().len()
            && found
                .iter()
                .zip(schema.fields())
                .all(|(a, b)| a.name() == b.name() && a.data_type() == b.data_type());
        if !same {
            return Err(Error::corrupt(&self.path, "has other columns than its table"));
        }
        let mask =
            |columns: &[usize]| ProjectionMask::roots(builder.parquet_schema(), columns.iter().copied());
        let projection = read.columns.map(mask);
        let filters: Vec<Box<dyn ArrowPredicate>> = read
            .filters
            .into_iter()
            .map(|Filter { column, mut accepts }| {
                let accepts = move |batch: RecordBatch| Ok(accepts(batch.column(0)));
                Box::new(ArrowPredicateFn::new(mask(&[column]), accepts)) as Box<dyn ArrowPredicate>
            })
            .collect();
        let mut groups = read.groups;
        let whole = read.range.is_none() && filters.is_empty();
        let rows = whole.then(|| {
            let all = builder.metadata().row_groups();
            let wanted = |at: usize| groups.as_ref().is_none_or(|groups| groups.contains(&at));
            let wanted = all.iter().enumerate().filter(|(at, _)| wanted(*at));
            wanted.map(|(_, group)| group.num_rows().unsigned_abs()).sum()
        });
        if let Some((column, range)) = read.range {
            let metadata = builder.metadata().clone();
            let wanted = groups.take().unwrap_or_else(|| (0..metadata.num_row_groups()).collect());
            let may = |group: &usize| match metadata.row_groups().get(*group) {
                Some(group) => may_hold(group.column(column).statistics(), &range),
                None => true,
            };
            let wanted: Vec<usize> = wanted.into_iter().filter(may).collect();
            builder = builder.with_row_selection(pages_within(&metadata, &wanted, column, &range));
            groups = Some(wanted);
        }
        if let Some(projection) = projection {
            builder = builder.with_projection(projection);
        }
        if let Some(groups) = groups {
            builder = builder.with_row_groups(groups);
        }
        if !filters.is_empty() {
            builder = builder.with_row_filter(RowFilter::new(filters));
        }
        let reader = guarded(|| builder.with_batch_size(BATCH).build());
        Ok(Rows::new(reader.map_err(Error::parquet("read", &self.path))?, rows))
    }

    fn metadata(&self, index: PageIndexPolicy) -> Result<ArrowReaderMetadata, Error> {
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true).with_page_index_policy(index);
        let load = || {
            let metadata = ArrowReaderMetadata::load(&self.input, options.clone())?;
            match narrow_decimals(metadata.schema()) {
                Some(schema) => {
                    ArrowReaderMetadata::try_new(metadata.metadata().clone(), options.with_schema(schema))
                }
                None => Ok(metadata),
            }
        };
        guarded(load).map_err(Error::parquet("open", &self.path))
    }

    /// The greatest value of a signed column in each row group, by the footer; none where it does not say.
    pub(crate) fn greatest(&self, column: usize) -> Result<Vec<Option<i64>>, Error> {
        let metadata = self.metadata(PageIndexPolicy::Skip)?;
        let of = |group: &RowGroupMetaData| {
            bounds(group.columns().get(column).and_then(|chunk| chunk.statistics())).1
        };
        Ok(metadata.metadata().row_groups().iter().map(of).collect())
    }

    /// Adds what the footer says about each column.
    pub(crate) fn report(&self, table: &Table, out: &mut Vec<ColumnReport>) -> Result<(), Error> {
        let metadata = self.metadata(PageIndexPolicy::Skip)?;
        let new = |field: &Arc<arrow_schema::Field>| ColumnReport {
            name: field.name().clone(),
            ..Default::default()
        };
        if out.is_empty() {
            out.extend(table.schema.fields().iter().map(new));
        }
        for group in metadata.metadata().row_groups() {
            for (column, chunk) in out.iter_mut().zip(group.columns()) {
                column.encoded_bytes += chunk.uncompressed_size().unsigned_abs();
                column.bytes += chunk.compressed_size().unsigned_abs();
                column.compression = match chunk.compression() {
                    Packing::UNCOMPRESSED => "none".into(),
                    Packing::SNAPPY => "snappy".into(),
                    Packing::ZSTD(_) => "zstd".into(),
                    Packing::LZ4_RAW => "lz4".into(),
                    other => format!("{other:?}").to_lowercase(),
                };
                let mut encodings: Vec<String> =
                    chunk.encodings().map(|encoding| encoding.to_string()).collect();
                encodings.append(&mut column.encodings);
                encodings.sort();
                encodings.dedup();
                column.encodings = encodings;
            }
        }
        Ok(())
    }

    pub(crate) fn error(&self, error: arrow_schema::ArrowError) -> Error {
        Error::parquet("read", &self.path)(ParquetError::ArrowError(error.to_string()))
    }
}

fn checksum(file: &dyn ReadFile, from: u64) -> io::Result<u32> {
    let mut buffer = vec![0; (256 << 10).min(file.size() as usize)];
    let (mut crc, mut at) = (0, from);
    while at < file.size() {
        let len = buffer.len().min((file.size() - at) as usize);
        file.read_at(&mut buffer[..len], at)?;
        crc = crc32c::crc32c_append(crc, &buffer[..len]);
        at += len as u64;
    }
    Ok(crc)
}
