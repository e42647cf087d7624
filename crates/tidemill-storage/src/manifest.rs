//! What a snapshot must contain: written beside it, read at open and by `verify`.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use arrow_schema::{Field, Schema};
use serde::{Deserialize, Serialize};
use tidemill_journal::{AppendFile, Disk};

use crate::{
    Error, Partition, TableSpec,
    codec::Tail,
    kind::Kind,
    layout::{Layout, sync_dir},
    table::Table,
};

/// What this program reads. It writes 1 until a folder is cut into parts, which a reader of 1 does not know, 3 for a table with revisions,
/// and 4 for one with decimals.
const FORMAT: u32 = 4;

/// More parts of a folder than this are never made, nor believed.
pub(crate) const MAX_PARTS: u32 = 256;

/// One snapshot of one table, as `manifests/<table>/<n>.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) format: u32,
    pub(crate) table: String,
    pub(crate) snapshot: u64,
    /// Every journal frame up to this one is in the snapshot.
    pub(crate) watermark: u64,
    /// Milliseconds since 1970.
    pub(crate) published_ms: u64,
    pub(crate) columns: Vec<ColumnEntry>,
    pub(crate) key: Vec<String>,
    pub(crate) partition: Partition,
    /// Every version of a row is kept.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) revisions: bool,
    pub(crate) files: Vec<FileEntry>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ColumnEntry {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    nullable: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileEntry {
    /// Under the snapshot's folder, with `/`.
    pub(crate) path: String,
    /// The folder's number: a year, a day since 1970, or 0.
    pub(crate) partition: i64,
    /// Which of the folder's parts it is; series are spread over parts by hash.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) part: u32,
    /// Into how many parts the folder is cut, a power of two.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub(crate) parts: u32,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    pub(crate) crc32c: u32,
    /// Absent in manifests of before there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tail: Option<Tail>,
    /// The first key of each row group, hex of bytes that sort as keys do.
    pub(crate) groups: Vec<String>,
}

impl Manifest {
    pub(crate) fn new(
        table: &Table,
        snapshot: u64,
        watermark: u64,
        now: SystemTime,
        files: Vec<FileEntry>,
    ) -> Self {
        let fields = table.schema.fields().iter().zip(&table.shape.kinds);
        let columns = fields
            .map(|(field, kind)| ColumnEntry {
                name: field.name().clone(),
                kind: kind.name(),
                nullable: field.is_nullable(),
            })
            .collect();
        let published_ms = now.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64);
        let cut = files.iter().any(|file| file.parts > 1);
        let decimals = table.shape.kinds.iter().any(|kind| matches!(kind, Kind::Decimal { .. }));
        Self {
            // A reader of 2 would show every version of a row as a row.
            format: match (decimals, table.revisions, cut) {
                (true, ..) => FORMAT,
                (_, true, _) => 3,
                (_, _, true) => 2,
                _ => 1,
            },
            table: table.name.clone(),
            snapshot,
            watermark,
            published_ms,
            columns,
            key: table.key_names(),
            partition: table.partition.clone(),
            revisions: table.revisions,
            files,
        }
    }

    pub(crate) fn rows(&self) -> u64 {
        self.files.iter().map(|file| file.rows).sum()
    }

    pub(crate) fn published_at(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.published_ms)
    }

    pub(crate) fn read(disk: &dyn Disk, layout: &Layout, table: &str, number: u64) -> Result<Self, Error> {
        let path = layout.manifest(table, number);
        let bytes = disk.read(&path).map_err(Error::disk("read", &path))?;
        let manifest: Self = serde_json::from_slice(&bytes)
            .map_err(|e| Error::corrupt(&path, format!("is no manifest: {e}")))?;
        manifest.validate(&path, table, number)?;
        Ok(manifest)
    }

    /// What was read must be the manifest of this snapshot, and name nothing outside of it.
    pub(crate) fn validate(&self, path: &Path, table: &str, number: u64) -> Result<(), Error> {
        if self.format > FORMAT {
            return Err(Error::corrupt(path, format!("format {} is not known to this program", self.format)));
        }
        if self.table != table || self.snapshot != number {
            return Err(Error::corrupt(path, "describes another snapshot"));
        }
        let inside = |p: &str| p.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
        if let Some(file) = self.files.iter().find(|file| !inside(&file.path)) {
            return Err(Error::corrupt(path, format!("names the file {:?}", file.path)));
        }
        let mut parts = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for file in &self.files {
            let agrees = *parts.entry(file.partition).or_insert(file.parts) == file.parts;
            let fits = file.parts.is_power_of_two() && file.parts <= MAX_PARTS && file.part < file.parts;
            if !(agrees && fits && seen.insert((file.partition, file.part))) {
                return Err(Error::corrupt(path, format!("gives {:?} a part that cannot be", file.path)));
            }
        }
        Ok(())
    }

    /// Durable when it returns.
    pub(crate) fn write(&self, disk: &dyn Disk, layout: &Layout) -> Result<(), Error> {
        let path = layout.manifest(&self.table, self.snapshot);
        let text = serde_json::to_vec_pretty(self).map_err(|e| Error::corrupt(&path, e.to_string()))?;
        let write = |file: &mut dyn AppendFile| {
            file.append(&text)?;
            file.sync("storage.manifest")
        };
        disk.create(&path).and_then(|mut file| write(&mut *file)).map_err(Error::disk("write", &path))?;
        sync_dir(disk, &layout.manifests(&self.table), "storage.manifest-name")
    }

    /// The table that wrote it.
    pub(crate) fn spec(&self, path: &Path) -> Result<TableSpec, Error> {
        let field = |column: &ColumnEntry| {
            let kind = Kind::from_name(&column.kind);
            let kind =
                kind.ok_or_else(|| Error::corrupt(path, format!("names the type {:?}", column.kind)))?;
            Ok(Field::new(&column.name, kind.data_type(), column.nullable))
        };
        let fields = self.columns.iter().map(field).collect::<Result<Vec<_>, Error>>()?;
        let spec = TableSpec::new(&self.table, Schema::new(fields).into(), self.key.clone());
        let spec = spec.partition(self.partition.clone());
        Ok(if self.revisions { spec.revisions() } else { spec })
    }

    /// An error when a table is declared otherwise than it was written.
    pub(crate) fn check(&self, table: &Table, path: &Path) -> Result<(), Error> {
        let written = Table::bind(&self.spec(path)?)?;
        let what = match () {
            () if written.print != table.print => "columns",
            () if written.shape.key != table.shape.key => "key",
            () if written.partition != table.partition => "partition",
            () if written.revisions != table.revisions => "choice about revisions",
            () => return Ok(()),
        };
        Err(Error::config(format!(
            "table {} was written with another {what} than it is declared with",
            table.name
        )))
    }
}

fn is_false(given: &bool) -> bool {
    !given
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

fn one() -> u32 {
    1
}

fn is_one(number: &u32) -> bool {
    *number == 1
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use arrow_schema::DataType;

    use super::*;

    fn manifest(parts: u32) -> Manifest {
        let schema = Schema::new(vec![
            Field::new("symbol", DataType::Utf8, false),
            Field::new("day", DataType::Date32, false),
            Field::new("close", DataType::Float64, true),
        ]);
        let table = Table::bind(&TableSpec::new("bars", schema.into(), ["symbol", "day"])).unwrap();
        let file = |part: u32| FileEntry {
            path: format!("part-000007-{part:03}.parquet"),
            partition: 0,
            part,
            parts,
            rows: 3,
            bytes: 900,
            crc32c: 0xe328_3da7,
            tail: None,
            groups: vec!["41000080004d58".into()],
        };
        let now = UNIX_EPOCH + Duration::from_millis(1_763_000_000_000);
        Manifest::new(&table, 7, 41, now, (0..parts).map(file).collect())
    }

    /// Both formats are read and written as they always were: 2 is 1 with `part` and `parts`.
    #[test]
    fn formats_1_and_2_are_read_and_written_as_they_always_were() {
        let golden = [
            (1, include_str!("../tests/golden/manifest-v1.json")),
            (2, include_str!("../tests/golden/manifest-v2.json")),
        ];
        for (format, text) in golden {
            let manifest = manifest(format);
            assert_eq!(manifest.format, format);
            assert_eq!(serde_json::from_str::<Manifest>(text).unwrap(), manifest);
            assert_eq!(serde_json::to_string_pretty(&manifest).unwrap(), text.trim_end());
        }
    }

    /// A table with revisions says so, in a format of its own.
    #[test]
    fn format_3_is_read_and_written_as_it_always_was() {
        let known = DataType::Timestamp(arrow_schema::TimeUnit::Nanosecond, Some("UTC".into()));
        let schema = Schema::new(vec![
            Field::new("symbol", DataType::Utf8, false),
            Field::new("known", known, false),
            Field::new("close", DataType::Float64, true),
        ]);
        let spec = TableSpec::new("estimates", schema.into(), ["symbol", "known"]).revisions();
        let now = UNIX_EPOCH + Duration::from_millis(1_763_000_000_000);
        let manifest = Manifest::new(&Table::bind(&spec).unwrap(), 7, 41, now, Vec::new());
        let text = include_str!("../tests/golden/manifest-v3.json");
        assert_eq!(serde_json::to_string_pretty(&manifest).unwrap(), text.trim_end());
        assert_eq!(serde_json::from_str::<Manifest>(text).unwrap(), manifest);
        assert_eq!(manifest.spec(Path::new("x")).unwrap(), spec);
    }

    /// A table with decimals says so in its types, which a reader of 3 does not know.
    #[test]
    fn format_4_is_read_and_written_as_it_always_was() {
        let schema = Schema::new(vec![
            Field::new("symbol", DataType::Utf8, false),
            Field::new("price", DataType::Decimal64(18, 4), false),
            Field::new("fee", DataType::Decimal32(9, 2), true),
        ]);
        let spec = TableSpec::new("book", schema.into(), ["symbol", "price"]);
        let now = UNIX_EPOCH + Duration::from_millis(1_763_000_000_000);
        let manifest = Manifest::new(&Table::bind(&spec).unwrap(), 7, 41, now, Vec::new());
        let text = include_str!("../tests/golden/manifest-v4.json");
        assert_eq!(serde_json::to_string_pretty(&manifest).unwrap(), text.trim_end());
        assert_eq!(serde_json::from_str::<Manifest>(text).unwrap(), manifest);
        assert_eq!(manifest.spec(Path::new("x")).unwrap(), spec);
    }
}
