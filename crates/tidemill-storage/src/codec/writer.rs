//! A file being written: encoded a row group at a time, summed on its way to the disk.

use std::{
    io,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use parquet::{
    arrow::ArrowSchemaConverter,
    errors::Result as ParquetResult,
    file::{
        metadata::SortingColumn,
        properties::{WriterProperties, WriterVersion},
        writer::SerializedFileWriter,
    },
};
use tidemill_journal::{AppendFile, Disk};

use super::Tail;
use crate::{Config, Error, columns::Columns, encode::GroupEncoder, manifest::hex, table::Table};

/// What was written.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    pub(crate) crc32c: u32,
    pub(crate) tail: Option<Tail>,
    pub(crate) groups: Vec<String>,
}

/// Writes one sorted file; memory is bounded by one row group.
pub(crate) struct FileWriter {
    table: Arc<Table>,
    path: PathBuf,
    writer: SerializedFileWriter<Output>,
    encoder: GroupEncoder,
    /// The row group that is being gathered.
    rows: Columns,
    group_limit: usize,
    written: u64,
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
        let buffer = Vec::with_capacity(OUTPUT_BUFFER);
        let output = Output { file, buffer, bytes: 0, crc: 0, tail: None, tail_at: 0 };
        let begin = || -> ParquetResult<_> {
            let schema = ArrowSchemaConverter::new().convert(&table.schema)?;
            let encoder = GroupEncoder::new(&schema, config)?;
            // The Arrow schema is left out of the footer: it adds nothing for our types, and its parser panics on damage.
            let properties = properties(&table, config).into();
            Ok((encoder, SerializedFileWriter::new(output, schema.root_schema_ptr(), properties)?))
        };
        let (encoder, writer) = begin().map_err(Error::parquet("begin", path))?;
        let rows = Columns::new(&table.shape.kinds);
        let (path, group_limit) = (path.to_owned(), config.row_group_rows);
        Ok(Self { table, path, writer, encoder, rows, group_limit, written: 0, groups: Vec::new() })
    }

    /// Adds rows that follow those before in key order.
    pub(crate) fn write(&mut self, from: &Columns, rows: Range<usize>) -> Result<(), Error> {
        let mut rows = rows;
        while !rows.is_empty() {
            let end = rows.end.min(rows.start + self.group_limit - self.rows.len());
            self.rows.push_rows(from, rows.start..end);
            rows.start = end;
            if self.rows.len() == self.group_limit {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Error> {
        if self.rows.len() > 0 {
            self.groups.push(hex(&self.table.shape.encode(&self.rows, 0)));
            self.encoder.write(&self.rows, &mut self.writer).map_err(Error::parquet("write", &self.path))?;
            self.written += self.rows.len() as u64;
            self.rows.truncate(0);
        }
        Ok(())
    }

    /// Durable when it returns; its name is not yet.
    pub(crate) fn finish(mut self) -> Result<Written, Error> {
        self.flush()?;
        self.writer.flush().map_err(Error::disk("write", &self.path))?;
        let output = self.writer.inner_mut();
        output.drain().map_err(Error::disk("write", &self.path))?;
        (output.tail, output.tail_at) = (Some(0), output.bytes);
        self.writer.finish().map_err(Error::parquet("finish", &self.path))?;
        let output = self.writer.inner_mut();
        output
            .drain()
            .and_then(|()| output.file.sync("storage.file"))
            .map_err(Error::disk("sync", &self.path))?;
        let tail = output.tail.map(|crc32c| Tail { from: output.tail_at, crc32c });
        let (bytes, crc32c) = (output.bytes, output.crc);
        Ok(Written { rows: self.written, bytes, crc32c, tail, groups: self.groups })
    }
}

fn properties(table: &Table, config: &Config) -> WriterProperties {
    let sorting = table.shape.key.iter().map(|at| SortingColumn {
        column_idx: *at as i32,
        descending: false,
        nulls_first: false,
    });
    WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_created_by(concat!("tidemill-storage ", env!("CARGO_PKG_VERSION")).into())
        .set_max_row_group_row_count(Some(config.row_group_rows))
        .set_sorting_columns(Some(sorting.collect()))
        .build()
}

const OUTPUT_BUFFER: usize = 64 << 10;

/// Counts and sums what passes to the disk.
struct Output {
    file: Box<dyn AppendFile>,
    buffer: Vec<u8>,
    bytes: u64,
    crc: u32,
    /// The sum from `tail_at` on, once that is reached.
    tail: Option<u32>,
    tail_at: u64,
}

impl Output {
    fn drain(&mut self) -> io::Result<()> {
        let buffer = std::mem::take(&mut self.buffer);
        if !buffer.is_empty() {
            self.append(&buffer)?;
        }
        self.buffer = buffer;
        self.buffer.clear();
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.crc = crc32c::crc32c_append(self.crc, bytes);
        self.tail = self.tail.map(|crc| crc32c::crc32c_append(crc, bytes));
        self.bytes += bytes.len() as u64;
        self.file.append(bytes)
    }
}

impl io::Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffer.len() + bytes.len() > OUTPUT_BUFFER {
            self.drain()?;
        }
        if bytes.len() >= OUTPUT_BUFFER {
            self.append(bytes)?;
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
