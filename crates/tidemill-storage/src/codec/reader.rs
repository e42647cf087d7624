//! A file being read: what is asked for of it, by its footer and page index, after its checksum.

use std::{
    io,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow_array::ArrayRef;
use arrow_buffer::BooleanBuffer;
use arrow_schema::SchemaRef;
use parquet::{
    arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions},
    basic::Compression as Packing,
    errors::ParquetError,
    file::metadata::{PageIndexPolicy, RowGroupMetaData},
};
use tidemill_journal::{Disk, ReadFile};

use super::{
    Known,
    input::Input,
    kept::Kept,
    pages::{Groups, Source},
    rows::{Rows, guarded},
    sieve::{Sieve, bounds},
};
use crate::{ColumnReport, Error, kind::narrow_decimals, table::Table};

/// What to read of a file; the default is all of it.
#[derive(Default)]
pub(crate) struct Read<'a> {
    /// Row groups.
    pub(crate) groups: Option<Vec<usize>>,
    /// Columns, by position in the table.
    pub(crate) columns: Option<&'a [usize]>,
    /// Leaves out row groups and pages whose statistics say that no value of this signed column is in the range.
    pub(crate) range: Option<(usize, Range<i64>)>,
    /// Leaves out rows, before other columns are decoded.
    pub(crate) filters: Vec<Filter>,
}

/// Which values of a column are wanted.
pub(crate) struct Filter {
    pub(crate) column: usize,
    /// It accepts what is in the range that is read, and nothing else.
    pub(crate) in_range: bool,
    pub(crate) accepts: Box<dyn FnMut(&ArrayRef) -> BooleanBuffer + Send>,
}

/// A file opened for reading, its checksum compared before the first byte is believed.
pub(crate) struct FileReader {
    input: Input,
    path: PathBuf,
    known: Option<Known>,
    kept: Arc<Kept>,
}

impl FileReader {
    /// Opens and, unless it was done before, reads the whole file once to compare length and checksum.
    ///
    /// The tail is compared at each open, and pages have checksums of their own: what rots later is found too.
    pub(crate) fn open(
        disk: &dyn Disk,
        path: &Path,
        known: Known,
        checked: bool,
        kept: &Arc<Kept>,
    ) -> Result<Self, Error> {
        let file = disk.open(path).map_err(Error::disk("open", path))?;
        let Known { bytes, crc32c, tail } = known;
        if file.size() != bytes {
            return Err(Error::corrupt(path, format!("is {} bytes long, not {bytes}", file.size())));
        }
        if !checked {
            let found = checksum(&*file, 0).map_err(Error::disk("read", path))?;
            if found != crc32c {
                return Err(Error::corrupt(path, format!("has checksum {found:08x}, not {crc32c:08x}")));
            }
        }
        if let Some(tail) = tail {
            let found = checksum(&*file, tail.from).map_err(Error::disk("read", path))?;
            if found != tail.crc32c {
                let detail = format!("has a footer of checksum {found:08x}, not {:08x}", tail.crc32c);
                return Err(Error::corrupt(path, detail));
            }
        }
        let (input, path) = (Input::new(file.into()), path.to_owned());
        Ok(Self { input, path, known: Some(known), kept: kept.clone() })
    }

    /// One in memory.
    pub(super) fn held(file: impl ReadFile + 'static) -> Self {
        Self {
            input: Input::new(Arc::new(file)),
            path: "(in memory)".into(),
            known: None,
            kept: Arc::default(),
        }
    }

    /// Batches of what is asked for.
    pub(crate) fn read(&self, schema: &SchemaRef, read: Read<'_>) -> Result<Rows, Error> {
        let index = if read.range.is_some() { PageIndexPolicy::Optional } else { PageIndexPolicy::Skip };
        let footer = self.footer(index)?;
        let found = footer.schema().fields();
        let same = found.len() == schema.fields().len()
            && found
                .iter()
                .zip(schema.fields())
                .all(|(a, b)| a.name() == b.name() && a.data_type() == b.data_type());
        if !same {
            return Err(Error::corrupt(&self.path, "has other columns than its table"));
        }
        let columns = match read.columns {
            Some(columns) => columns.to_vec(),
            None => (0..found.len()).collect(),
        };
        let groups = read.groups.unwrap_or_else(|| (0..footer.metadata().num_row_groups()).collect());
        let unpacker = self.kept.unpacker.clone();
        let fields = footer.schema().fields().clone();
        let source =
            Source { input: self.input.clone(), footer: footer.metadata().clone(), fields, unpacker };
        let rows = match read.range.is_none() && read.filters.is_empty() {
            true => guarded(|| Rows::all(Groups { source, groups }, &columns)),
            false => {
                let schema = footer.schema().project(&columns).map_err(|e| self.error(e))?;
                let (groups, schema) = (groups.into(), Arc::new(schema));
                let Read { range, filters, .. } = read;
                Ok(Rows::sieved(Sieve { source, groups, range, filters, columns, schema, passed: None }))
            }
        };
        rows.map_err(Error::parquet("read", &self.path))
    }

    fn footer(&self, index: PageIndexPolicy) -> Result<ArrowReaderMetadata, Error> {
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
        self.kept.footer(self.known, index != PageIndexPolicy::Skip, || {
            guarded(load).map_err(Error::parquet("open", &self.path))
        })
    }

    /// The greatest value of a signed column in each row group, by the footer; none where it does not say.
    pub(crate) fn greatest(&self, column: usize) -> Result<Vec<Option<i64>>, Error> {
        let metadata = self.footer(PageIndexPolicy::Skip)?;
        let of = |group: &RowGroupMetaData| {
            bounds(group.columns().get(column).and_then(|chunk| chunk.statistics())).1
        };
        Ok(metadata.metadata().row_groups().iter().map(of).collect())
    }

    /// Adds what the footer says about each column.
    pub(crate) fn report(&self, table: &Table, out: &mut Vec<ColumnReport>) -> Result<(), Error> {
        let metadata = self.footer(PageIndexPolicy::Skip)?;
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
    let mut buffer = vec![0; (64 << 10).min(file.size() as usize)];
    let (mut crc, mut at) = (0, from);
    while at < file.size() {
        let len = buffer.len().min((file.size() - at) as usize);
        file.read_at(&mut buffer[..len], at)?;
        crc = crc32c::crc32c_append(crc, &buffer[..len]);
        at += len as u64;
    }
    Ok(crc)
}
