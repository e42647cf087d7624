//! Parquet in and out, a whole file at a time, through the disk: the only file that knows the encoding.

use std::{
    io,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow_array::{ArrayRef, BooleanArray, RecordBatch};
use arrow_schema::SchemaRef;
use bytes::Bytes;
use parquet::{
    arrow::{
        ArrowWriter, ProjectionMask,
        arrow_reader::{
            ArrowPredicate, ArrowPredicateFn, ArrowReaderOptions, ParquetRecordBatchReader,
            ParquetRecordBatchReaderBuilder, RowFilter,
        },
        arrow_writer::ArrowWriterOptions,
    },
    basic::{Compression as Codec, Encoding, ZstdLevel},
    errors::{ParquetError, Result as ParquetResult},
    file::{
        metadata::SortingColumn,
        properties::{EnabledStatistics, WriterProperties, WriterVersion},
        reader::{ChunkReader, Length},
        statistics::Statistics,
    },
    schema::types::ColumnPath,
};
use tidemill_journal::{AppendFile, Disk, ReadFile};

use crate::{Compression, Config, Error, columns::Columns, kind::Kind, manifest::hex, table::Table};

/// Rows in a batch, read or handed to the encoder.
pub(crate) const BATCH: usize = 8192;

/// What was written.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    pub(crate) crc32c: u32,
    pub(crate) groups: Vec<String>,
}

/// Writes one sorted file; memory is bounded by one row group.
pub(crate) struct FileWriter {
    table: Arc<Table>,
    path: PathBuf,
    writer: ArrowWriter<Output>,
    rows: u64,
    group_rows: usize,
    group_limit: usize,
    groups: Vec<String>,
}

impl FileWriter {
    pub(crate) fn create(
        disk: &dyn Disk,
        path: &Path,
        table: Arc<Table>,
        config: &Config,
    ) -> Result<Self, Error> {
        let file = disk.create(path).map_err(Error::disk("create", path))?;
        let output = Output { file, buffer: Vec::with_capacity(OUTPUT_BUFFER), bytes: 0, crc: 0 };
        // The Arrow schema in the footer adds nothing for our types, and its parser is the one that panics on damage.
        let options = ArrowWriterOptions::new()
            .with_properties(properties(&table, config)?)
            .with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(output, table.schema.clone(), options)
            .map_err(Error::parquet("begin", path))?;
        let group_limit = config.row_group_rows;
        Ok(Self {
            table,
            path: path.to_owned(),
            writer,
            rows: 0,
            group_rows: 0,
            group_limit,
            groups: Vec::new(),
        })
    }

    /// How many rows still fit the present row group.
    pub(crate) fn room(&self) -> usize {
        self.group_limit - self.group_rows
    }

    /// Adds rows, at most `room()` of them, that follow those before in key order.
    pub(crate) fn write(&mut self, rows: Columns) -> Result<(), Error> {
        let len = rows.len();
        if len == 0 {
            return Ok(());
        }
        if self.group_rows == 0 {
            self.groups.push(hex(&self.table.shape.encode(&rows, 0)));
        }
        let batch = rows
            .into_batch(self.table.schema.clone())
            .map_err(|e| Error::corrupt(&self.path, format!("rows do not form a batch: {e}")))?;
        self.writer.write(&batch).map_err(Error::parquet("write", &self.path))?;
        self.rows += len as u64;
        self.group_rows += len;
        if self.group_rows >= self.group_limit {
            self.writer.flush().map_err(Error::parquet("write", &self.path))?;
            self.group_rows = 0;
        }
        Ok(())
    }

    /// Durable when it returns; its name is not yet.
    pub(crate) fn finish(mut self) -> Result<Written, Error> {
        self.writer.finish().map_err(Error::parquet("finish", &self.path))?;
        let output = self.writer.inner_mut();
        output
            .drain()
            .and_then(|()| output.file.sync("storage.file"))
            .map_err(Error::disk("sync", &self.path))?;
        Ok(Written { rows: self.rows, bytes: output.bytes, crc32c: output.crc, groups: self.groups })
    }
}

fn properties(table: &Table, config: &Config) -> Result<WriterProperties, Error> {
    let codec = match config.compression {
        Compression::Zstd => {
            let level =
                ZstdLevel::try_new(config.compression_level).map_err(|e| Error::config(e.to_string()))?;
            Codec::ZSTD(level)
        }
        Compression::Snappy => Codec::SNAPPY,
        Compression::None => Codec::UNCOMPRESSED,
    };
    let sorting = table.shape.key.iter().map(|at| SortingColumn {
        column_idx: *at as i32,
        descending: false,
        nulls_first: false,
    });
    let mut properties = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_created_by(concat!("tidemill-storage ", env!("CARGO_PKG_VERSION")).into())
        .set_compression(codec)
        .set_max_row_group_row_count(Some(config.row_group_rows))
        .set_data_page_size_limit(config.page_bytes)
        // The default of 20 000 rows would cut pages far below their size. One row above the group's: the last page is then
        // compressed when its column is closed, so that one compressor's memory is in use at a time, not one a column.
        .set_data_page_row_count_limit(config.row_group_rows + 1)
        .set_dictionary_page_size_limit(config.page_bytes)
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_sorting_columns(Some(sorting.collect()));
    for (field, kind) in table.schema.fields().iter().zip(&table.shape.kinds) {
        // Counts and times are near their neighbours; prices, names and texts repeat: dictionaries, the default.
        if matches!(kind, Kind::I32 | Kind::I64 | Kind::U32 | Kind::U64 | Kind::Date | Kind::Time(..)) {
            let path = ColumnPath::from(field.name().as_str());
            properties = properties
                .set_column_dictionary_enabled(path.clone(), false)
                .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
        }
    }
    Ok(properties.build())
}

const OUTPUT_BUFFER: usize = 64 << 10;

/// Counts and sums what passes to the disk.
struct Output {
    file: Box<dyn AppendFile>,
    buffer: Vec<u8>,
    bytes: u64,
    crc: u32,
}

impl Output {
    fn drain(&mut self) -> io::Result<()> {
        if !self.buffer.is_empty() {
            self.crc = crc32c::crc32c_append(self.crc, &self.buffer);
            self.bytes += self.buffer.len() as u64;
            self.file.append(&self.buffer)?;
            self.buffer.clear();
        }
        Ok(())
    }
}

impl io::Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffer.len() + bytes.len() > OUTPUT_BUFFER {
            self.drain()?;
        }
        if bytes.len() >= OUTPUT_BUFFER {
            self.crc = crc32c::crc32c_append(self.crc, bytes);
            self.bytes += bytes.len() as u64;
            self.file.append(bytes)?;
        } else {
            self.buffer.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    /// The writer flushes after each row group; only the end needs the disk.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

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
    let (low, high) = match statistics {
        Some(Statistics::Int64(s)) => (s.min_opt().copied(), s.max_opt().copied()),
        Some(Statistics::Int32(s)) => {
            (s.min_opt().map(|v| i64::from(*v)), s.max_opt().map(|v| i64::from(*v)))
        }
        _ => (None, None),
    };
    low.is_none_or(|low| low < range.end) && high.is_none_or(|high| high >= range.start)
}

/// A file opened for reading, its checksum compared before the first byte is believed.
pub(crate) struct FileReader {
    input: Input,
    path: std::path::PathBuf,
}

impl FileReader {
    /// Opens and, unless it was done before, reads the whole file once to compare length and checksum.
    pub(crate) fn open(disk: &dyn Disk, path: &Path, expect: Option<(u64, u32)>) -> Result<Self, Error> {
        let file = disk.open(path).map_err(Error::disk("open", path))?;
        if let Some((bytes, crc)) = expect {
            if file.size() != bytes {
                return Err(Error::corrupt(path, format!("is {} bytes long, not {bytes}", file.size())));
            }
            let found = checksum(&*file).map_err(Error::disk("read", path))?;
            if found != crc {
                return Err(Error::corrupt(path, format!("has checksum {found:08x}, not {crc:08x}")));
            }
        }
        Ok(Self { input: Input(file.into()), path: path.to_owned() })
    }

    /// Batches of what is asked for.
    pub(crate) fn read(&self, schema: &SchemaRef, read: Read<'_>) -> Result<ParquetRecordBatchReader, Error> {
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let mut builder = ParquetRecordBatchReaderBuilder::try_new_with_options(self.input.clone(), options)
            .map_err(Error::parquet("open", &self.path))?;
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
        if let Some((column, range)) = read.range {
            let metadata = builder.metadata().clone();
            let wanted = groups.take().unwrap_or_else(|| (0..metadata.num_row_groups()).collect());
            let may = |group: &usize| match metadata.row_groups().get(*group) {
                Some(group) => may_hold(group.column(column).statistics(), &range),
                None => true,
            };
            groups = Some(wanted.into_iter().filter(may).collect());
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
        builder.with_batch_size(BATCH).build().map_err(Error::parquet("read", &self.path))
    }

    pub(crate) fn error(&self, error: arrow_schema::ArrowError) -> Error {
        Error::parquet("read", &self.path)(ParquetError::ArrowError(error.to_string()))
    }
}

fn checksum(file: &dyn ReadFile) -> io::Result<u32> {
    let mut buffer = vec![0; (256 << 10).min(file.size() as usize)];
    let (mut crc, mut at) = (0, 0);
    while at < file.size() {
        let len = buffer.len().min((file.size() - at) as usize);
        file.read_at(&mut buffer[..len], at)?;
        crc = crc32c::crc32c_append(crc, &buffer[..len]);
        at += len as u64;
    }
    Ok(crc)
}

#[derive(Clone)]
struct Input(Arc<dyn ReadFile>);

impl Length for Input {
    fn len(&self) -> u64 {
        self.0.size()
    }
}

impl ChunkReader for Input {
    type T = InputFrom;

    fn get_read(&self, start: u64) -> ParquetResult<InputFrom> {
        Ok(InputFrom { file: self.0.clone(), at: start })
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        // A damaged footer must not make us allocate more than the file holds.
        if start.checked_add(length as u64).is_none_or(|end| end > self.0.size()) {
            return Err(ParquetError::EOF(format!("{length} bytes at {start} are beyond the file")));
        }
        let mut bytes = vec![0; length];
        self.0.read_at(&mut bytes, start)?;
        Ok(bytes.into())
    }
}

struct InputFrom {
    file: Arc<dyn ReadFile>,
    at: u64,
}

impl io::Read for InputFrom {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = buf.len().min(self.file.size().saturating_sub(self.at) as usize);
        self.file.read_at(&mut buf[..len], self.at)?;
        self.at += len as u64;
        Ok(len)
    }
}

/// Batches as columns of the table.
pub(crate) fn columns_of(table: &Table, batch: &RecordBatch) -> Columns {
    Columns::from_batch(&table.shape.kinds, batch)
}
