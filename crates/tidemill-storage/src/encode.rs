//! Row groups as Parquet: each column in the encoding and the compression that its values ask for.
//!
//! arrow-rs frames the file and writes the footer; the pages are ours, because the general writer knows neither that a
//! dictionary may be sorted nor that a page may be left as it is.

mod bits;
mod bounds;
mod chunk;
mod delta;
mod dictionary;
mod pack;
mod page;
mod values;

use std::io::Write;

use arrow_array::RecordBatch;
use parquet::{
    arrow::ArrowSchemaConverter,
    errors::{ParquetError, Result},
    file::{properties::WriterProperties, writer::SerializedFileWriter},
    schema::types::{ColumnDescPtr, SchemaDescriptor},
};

use crate::{Config, Error, columns::Columns, decimal::overlong, kind::Kind};
use chunk::{Cut, chunk};
use dictionary::Numbers;
use pack::{Learned, Packer};
use values::{Encoded, Values};

/// Encodes row group after row group of one file; what it learns of a column in one serves the next.
pub(crate) struct GroupEncoder {
    columns: Vec<(ColumnDescPtr, Learned)>,
    cut: Cut,
    packer: Packer,
    numbers: Numbers,
}

impl GroupEncoder {
    pub(crate) fn new(schema: &SchemaDescriptor, config: &Config) -> Result<Self> {
        Ok(Self {
            columns: schema.columns().iter().map(|column| (column.clone(), Learned::default())).collect(),
            cut: Cut { rows: config.page_rows, bytes: config.page_bytes },
            packer: Packer::new(config)?,
            numbers: Numbers::default(),
        })
    }

    /// Writes the rows as the next row group.
    pub(crate) fn write<W: Write + Send>(
        &mut self,
        rows: &Columns,
        file: &mut SerializedFileWriter<W>,
    ) -> Result<()> {
        let mut group = file.next_row_group()?;
        for (at, (column, learned)) in self.columns.iter_mut().enumerate() {
            let values = Values::new(rows.view(at));
            let encoded = Encoded::choose(&values, &mut self.numbers, &mut self.packer, self.cut.bytes)?;
            let chunk = chunk(&values, &encoded, column, self.cut, &mut self.packer, learned)?;
            group.append_column(&chunk.bytes, chunk.close)?;
        }
        group.close()?;
        Ok(())
    }
}

/// A batch as a file in memory.
pub(crate) fn encoded(batch: &RecordBatch, config: &Config) -> std::result::Result<Vec<u8>, Error> {
    let bad = |why: String| Error::input("codec", why);
    config.check()?;
    let kind = |field: &std::sync::Arc<arrow_schema::Field>| {
        Kind::of(field.data_type()).ok_or_else(|| bad(format!("column {} is not stored", field.name())))
    };
    let kinds = batch.schema().fields().iter().map(kind).collect::<std::result::Result<Vec<_>, _>>()?;
    let write = || -> Result<Vec<u8>> {
        let schema = ArrowSchemaConverter::new().convert(&batch.schema())?;
        let properties = WriterProperties::builder().build().into();
        let mut file = SerializedFileWriter::new(Vec::new(), schema.root_schema_ptr(), properties)?;
        let mut encoder = GroupEncoder::new(&schema, config)?;
        for start in (0..batch.num_rows()).step_by(config.row_group_rows) {
            let rows = batch.slice(start, config.row_group_rows.min(batch.num_rows() - start));
            let rows = Columns::from_batch(&kinds, &rows);
            if let Some((column, row)) = overlong(&rows) {
                return Err(ParquetError::General(format!(
                    "column {column}, row {}: more digits than the column's type has",
                    start + row
                )));
            }
            encoder.write(&rows, &mut file)?;
        }
        file.into_inner()
    };
    write().map_err(|e| bad(e.to_string()))
}
