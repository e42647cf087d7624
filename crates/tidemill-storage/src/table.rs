//! The declaration of a table, and the same bound and checked.

use std::{collections::BTreeSet, sync::Arc};

use arrow_array::{Array as _, ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};

use crate::{
    Error, Partition, Tolerance,
    codec::LONGEST_PAGE,
    columns::Columns,
    decimal::overlong,
    key::Shape,
    kind::Kind,
    narrow::{bytes, to_decimal, to_f32, to_i32},
    partition::Cut,
};

/// What a table is: its columns, its key, how it is cut into folders.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TableSpec {
    /// Letters, digits, `_`, `-` and `.`; the folder under `parquet/`.
    pub name: String,
    /// Booleans, integers, floats, `Date32`, `Utf8`, `Binary`, timestamps of ms, us or ns, in UTC or without a zone, and decimals:
    /// `Decimal32` of 2 to 9 digits and `Decimal64` of 10 to 18.
    pub schema: SchemaRef,
    /// Columns that name a row, in sort order; integers, decimals, dates, times, text or bytes, never null.
    pub key: Vec<String>,
    /// How it is cut into folders.
    pub partition: Partition,
    /// Every version of a row is kept.
    pub revisions: bool,
    /// Columns of 32 bits that take rows of 64, and decimals that take floats; and how far those may move.
    pub narrow: Vec<(String, Tolerance)>,
}

impl TableSpec {
    /// A table in one file.
    pub fn new<K: Into<String>>(
        name: impl Into<String>,
        schema: SchemaRef,
        key: impl IntoIterator<Item = K>,
    ) -> Self {
        let key = key.into_iter().map(Into::into).collect();
        Self {
            name: name.into(),
            schema,
            key,
            partition: Partition::None,
            revisions: false,
            narrow: Vec::new(),
        }
    }

    /// Keeps every version of a row instead of overwriting it. The last column of the key, a timestamp, says since when a version
    /// is known; those before it name the row. A version that says what the one before it said is a duplicate, and is not kept.
    ///
    /// Scans show the newest version of each row, or with [`Scan::as_of`](crate::Scan::as_of) the one that was known at a moment,
    /// or with [`Scan::revisions`](crate::Scan::revisions) all of them.
    pub fn revisions(mut self) -> Self {
        self.revisions = true;
        self
    }

    /// This column, of type `Float32` or `Int32`, also takes rows of `Float64` or `Int64`: they are stored narrowed where no value
    /// moves farther, and refused where one would. One of decimals also takes `Float64`, and `Decimal128` of the same scale.
    ///
    /// With [`Tolerance::Exact`] a float is stored where it is the very one that [`decimal::to_f64`](crate::decimal::to_f64) gives back;
    /// of a negative zero the sign is lost.
    pub fn narrow(mut self, column: impl Into<String>, tolerance: Tolerance) -> Self {
        self.narrow.push((column.into(), tolerance));
        self
    }

    /// Cuts the table into folders.
    pub fn partition(mut self, partition: Partition) -> Self {
        self.partition = partition;
        self
    }
}

/// A declaration that was checked.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) schema: SchemaRef,
    pub(crate) shape: Shape,
    pub(crate) partition: Partition,
    pub(crate) cut: Cut,
    pub(crate) revisions: bool,
    /// By column: how far values of twice the width may move.
    narrow: Vec<Option<Tolerance>>,
    /// Tells journaled rows of another schema apart.
    pub(crate) print: u32,
}

impl Table {
    pub(crate) fn bind(spec: &TableSpec) -> Result<Self, Error> {
        let name = &spec.name;
        let bad = |why: String| Error::config(format!("table {name}: {why}"));
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if name.is_empty() || name.len() > 128 || name.starts_with('.') || !name.chars().all(plain) {
            return Err(Error::config(format!(
                "table name {name:?} must be 1-128 letters, digits, _ - or ."
            )));
        }
        let mut names = Vec::new();
        let mut kinds = Vec::new();
        let mut fields = Vec::new();
        for field in spec.schema.fields() {
            let data_type = field.data_type();
            let kind = Kind::of(data_type).ok_or_else(|| {
                let hint = match data_type.is_decimal() {
                    true => "; decimals are Decimal32 of 2 to 9 digits or Decimal64 of 10 to 18, none before the first",
                    false => "",
                };
                bad(format!("column {} has type {data_type}, which is not stored{hint}", field.name()))
            })?;
            names.push(field.name().clone());
            kinds.push(kind);
            fields.push(Field::new(field.name(), kind.data_type(), field.is_nullable()));
        }
        if names.iter().collect::<BTreeSet<_>>().len() != names.len() {
            return Err(bad("a column is declared twice".into()));
        }
        let mut key = Vec::new();
        for column in &spec.key {
            let at = names.iter().position(|n| n == column);
            let at = at.ok_or_else(|| bad(format!("key column {column} does not exist")))?;
            if kinds[at].is_float() {
                return Err(bad(format!("key column {column} is a float; two zeros and NaN make no key")));
            }
            if key.contains(&at) {
                return Err(bad(format!("key column {column} is named twice")));
            }
            key.push(at);
        }
        if key.is_empty() {
            return Err(bad("a key is needed".into()));
        }
        if spec.revisions {
            let last = key.last().map(|at| (kinds[*at], names[*at].as_str()));
            let fits = matches!(last, Some((Kind::Time(..), _))) && key.len() > 1;
            if !fits {
                let why = "to keep revisions the key must name a row and end in a timestamp that says since when it is known";
                return Err(bad(why.into()));
            }
            if spec.partition.column().is_some_and(|column| last.is_some_and(|(_, name)| name == column)) {
                return Err(bad(
                    "revisions of one row would fall into several folders; partition by another time".into(),
                ));
            }
        }
        let mut narrow = vec![None; kinds.len()];
        for (column, tolerance) in &spec.narrow {
            let at = names.iter().position(|n| n == column);
            let at = at.filter(|at| matches!(kinds[*at], Kind::F32 | Kind::I32 | Kind::Decimal { .. }));
            let why = || bad(format!("column {column}, to narrow to, is none of 32 bits and no decimal"));
            let at = at.ok_or_else(why)?;
            narrow[at] = Some(*tolerance);
        }
        let cut = Cut::bind(&spec.partition, name, &names, &kinds, &key)?;
        let text =
            names.iter().zip(&kinds).map(|(n, k)| format!("{n}\u{0}{}\u{0}", k.name())).collect::<String>();
        let print = crc32c::crc32c(text.as_bytes());
        let schema = Arc::new(Schema::new(fields));
        Ok(Self {
            name: name.clone(),
            schema,
            shape: Shape { kinds, key },
            partition: spec.partition.clone(),
            cut,
            revisions: spec.revisions,
            narrow,
            print,
        })
    }

    pub(crate) fn key_names(&self) -> Vec<String> {
        self.shape.key.iter().map(|at| self.schema.field(*at).name().clone()).collect()
    }

    /// Checks rows against the declaration and copies them.
    pub(crate) fn stage(&self, rows: &RecordBatch) -> Result<Columns, Error> {
        let mut columns = Columns::new(&self.shape.kinds);
        self.restage(rows, &mut columns)?;
        Ok(columns)
    }

    /// The same into columns of this table that are used again.
    pub(crate) fn restage(&self, rows: &RecordBatch, columns: &mut Columns) -> Result<(), Error> {
        let bad = |why: String| Error::input(&self.name, why);
        let given = rows.schema_ref();
        let mut order = Vec::with_capacity(self.schema.fields().len());
        let mut narrowed = Vec::new();
        for (column, field) in self.schema.fields().iter().enumerate() {
            let at = given
                .index_of(field.name())
                .map_err(|_| bad(format!("column {} is missing", field.name())))?;
            let data_type = given.field(at).data_type();
            if let Some(array) = self
                .narrowed(column, rows.column(at))
                .map_err(|why| bad(format!("column {}, {why}", field.name())))?
            {
                narrowed.push((column, array));
            } else if data_type != field.data_type() {
                return Err(bad(format!(
                    "column {} has type {data_type}, not {}",
                    field.name(),
                    field.data_type()
                )));
            }
            order.push(at);
        }
        if given.fields().len() != order.len() {
            let extra = given.fields().iter().find(|f| self.schema.index_of(f.name()).is_err());
            return Err(bad(format!("unknown column {}", extra.map_or("", |f| f.name()))));
        }
        // A single value may be as long as that, and makes a page of its own.
        if rows.columns().iter().map(bytes).sum::<u64>() > LONGEST_PAGE as u64 {
            return Err(bad("a batch of more than 128 MiB; split it".into()));
        }
        let mut rows = rows.project(&order).map_err(|e| bad(e.to_string()))?;
        if !narrowed.is_empty() {
            let mut columns = rows.columns().to_vec();
            narrowed.into_iter().for_each(|(at, array)| columns[at] = array);
            let fields = self.schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
            let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
            rows = RecordBatch::try_new(schema, columns).map_err(|e| bad(e.to_string()))?;
        }
        columns.refill(&rows);
        for (at, field) in self.schema.fields().iter().enumerate() {
            if columns.has_nulls(at) && (!field.is_nullable() || self.shape.key.contains(&at)) {
                return Err(bad(format!("column {} holds a null", field.name())));
            }
        }
        match overlong(columns) {
            Some((at, row)) => {
                let field = self.schema.field(at);
                let (name, data_type) = (field.name(), field.data_type());
                Err(bad(format!("column {name}, row {row}: more digits than {data_type} has")))
            }
            None => Ok(()),
        }
    }

    /// Rows of twice the width, narrowed where the table declares it.
    fn narrowed(&self, column: usize, array: &ArrayRef) -> Result<Option<ArrayRef>, String> {
        match (self.narrow[column], self.shape.kinds[column], array.data_type()) {
            (Some(tolerance), Kind::F32, DataType::Float64) => Ok(Some(to_f32(array, tolerance)?.0)),
            (Some(_), Kind::I32, DataType::Int64) => Ok(Some(to_i32(array)?)),
            (
                Some(tolerance),
                Kind::Decimal { precision, scale },
                DataType::Float64 | DataType::Decimal128(..),
            ) => Ok(Some(to_decimal(array, Some(precision), scale, tolerance)?.0)),
            _ => Ok(None),
        }
    }
}
