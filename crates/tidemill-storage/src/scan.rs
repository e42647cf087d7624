//! Reading a table back: columns, a key prefix, a range of time; published rows and, in a writer, those in memory.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Range,
    sync::Arc,
};

use arrow_array::{Array, ArrayRef, RecordBatch, cast::AsArray};
use arrow_buffer::BooleanBuffer;
use tidemill_journal::Disk;

use crate::{
    Error,
    codec::{BATCH, FileReader, Filter, Read, Rows},
    columns::Columns,
    key::encode_value,
    kind::{Kind, signed},
    memtable::Unit,
    merge::{Fresh, Merge},
    published::Published,
    revisions::Newest,
    table::Table,
};

/// Which rows and columns to read. The default is all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    columns: Option<Vec<String>>,
    prefix: Vec<String>,
    range: Option<(String, Range<i64>)>,
    as_of: Option<i64>,
    revisions: bool,
}

impl Scan {
    /// Everything.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only these columns, in the table's order.
    pub fn columns<S: Into<String>>(mut self, columns: impl IntoIterator<Item = S>) -> Self {
        self.columns = Some(columns.into_iter().map(Into::into).collect());
        self
    }

    /// Only rows whose first key columns, which must be text, have these values.
    pub fn prefix<S: Into<String>>(mut self, values: impl IntoIterator<Item = S>) -> Self {
        self.prefix = values.into_iter().map(Into::into).collect();
        self
    }

    /// Only rows with a value of this signed integer, decimal, date or timestamp column in the range, in the column's own unit; of a
    /// decimal its digits: 12.34 of two places is 1234.
    pub fn range(mut self, column: impl Into<String>, range: Range<i64>) -> Self {
        self.range = Some((column.into(), range));
        self
    }

    /// Of a table with revisions: each row as it was known at this moment, in the unit of the column that says so. Rows that were
    /// not known at all then are left out. Without it the newest version of each row is read.
    pub fn as_of(mut self, moment: i64) -> Self {
        self.as_of = Some(moment);
        self
    }

    /// Of a table with revisions: every version of each row.
    pub fn revisions(mut self) -> Self {
        self.revisions = true;
        self
    }
}

/// Which values of a signed column are in the range; a null is not.
fn within(kinds: &[Kind], array: &ArrayRef, range: &Range<i64>) -> BooleanBuffer {
    // The common case without a copy: values of eight bytes, none null.
    if let (Kind::I64 | Kind::Time(..), 0) = (kinds[0], array.null_count()) {
        let data = array.to_data();
        let values: &[i64] =
            &data.buffers()[0].typed_data::<i64>()[data.offset()..data.offset() + data.len()];
        // One comparison: what is below the range wraps far above it.
        let length = if range.is_empty() { 0 } else { range.end.wrapping_sub(range.start) as u64 };
        let within = |value: &i64| (value.wrapping_sub(range.start) as u64) < length;
        let word = |values: &[i64]| {
            values.iter().enumerate().fold(0, |word, (at, value)| word | u64::from(within(value)) << at)
        };
        let words: Vec<u64> = values.chunks(64).map(word).collect();
        return BooleanBuffer::new(words.into(), 0, values.len());
    }
    let mut column = Columns::new(kinds);
    column.push_array(array);
    let wanted = |row: usize| !column.is_null(0, row) && range.contains(&signed(column.value(0, row)));
    BooleanBuffer::collect_bool(column.len(), wanted)
}

/// A scan bound to a table.
#[derive(Debug)]
struct Plan {
    projection: Option<Vec<usize>>,
    prefix: Vec<String>,
    prefix_bytes: Vec<u8>,
    range: Option<(usize, Range<i64>)>,
    /// What is asked for, where more is read because the versions of a row are told apart by it.
    shown: Option<Vec<usize>>,
}

impl Plan {
    fn bind(scan: &Scan, table: &Table) -> Result<Self, Error> {
        let find = |name: &String| {
            table
                .schema
                .index_of(name)
                .map_err(|_| Error::input(&table.name, format!("there is no column {name}")))
        };
        let projection =
            scan.columns.as_ref().map(|names| names.iter().map(find).collect::<Result<Vec<_>, _>>());
        let mut projection = projection.transpose()?;
        if let Some(columns) = &mut projection {
            columns.sort_unstable();
            columns.dedup();
        }
        let mut prefix_bytes = Vec::new();
        for (at, value) in scan.prefix.iter().enumerate() {
            match table.shape.key.get(at).map(|column| table.shape.kinds[*column]) {
                Some(kind @ Kind::Text) => encode_value(kind, value.as_bytes(), &mut prefix_bytes),
                _ => return Err(Error::input(&table.name, format!("key column {} is not text", at + 1))),
            }
        }
        let range = match &scan.range {
            Some((name, range)) => {
                let column = find(name)?;
                if !table.shape.kinds[column].is_signed() {
                    return Err(Error::input(&table.name, format!("column {name} has no signed range")));
                }
                Some((column, range.clone()))
            }
            None => None,
        };
        let mut shown = None;
        if table.revisions && !scan.revisions {
            let (_, known) = table.shape.split();
            let named = |column: usize| table.shape.key.contains(&column) && Some(column) != known;
            if let Some((column, _)) = &range
                && !named(*column)
            {
                let why = "a range over what differs between versions needs all of them: add revisions()";
                return Err(Error::input(&table.name, why));
            }
            if let Some(columns) = &mut projection {
                shown = Some(columns.clone());
                columns.extend(&table.shape.key);
                columns.sort_unstable();
                columns.dedup();
            }
        } else if scan.as_of.is_some() {
            let why = "as_of needs a table with revisions, and shows one version of each row";
            return Err(Error::input(&table.name, why));
        }
        Ok(Self { projection, prefix: scan.prefix.clone(), prefix_bytes, range, shown })
    }

    fn takes_all(&self) -> bool {
        self.prefix.is_empty() && self.range.is_none()
    }

    fn wants_folder(&self, table: &Table, folder: i64) -> bool {
        match &self.range {
            Some((column, range)) => table.cut.may_hold(folder, *column, range),
            None => true,
        }
    }

    /// Row groups that may hold the prefix.
    fn groups(&self, firsts: &[Vec<u8>]) -> Option<Vec<usize>> {
        let prefix = &self.prefix_bytes;
        if prefix.is_empty() {
            return None;
        }
        let begins = |first: &Vec<u8>| first[..first.len().min(prefix.len())] <= prefix[..];
        let ends = |at: usize| firsts.get(at + 1).is_none_or(|next| next >= prefix);
        Some((0..firsts.len()).filter(|&at| begins(&firsts[at]) && ends(at)).collect())
    }

    /// The same for the decoder, which leaves out rows before it decodes other columns.
    fn filters(&self, table: &Table) -> Vec<Filter> {
        let mut out = Vec::new();
        for (&column, value) in table.shape.key.iter().zip(&self.prefix) {
            let value = value.clone();
            let accepts = move |array: &ArrayRef| {
                let array = array.as_string::<i32>();
                BooleanBuffer::collect_bool(array.len(), |row| array.value(row) == value)
            };
            out.push(Filter { column, in_range: false, accepts: Box::new(accepts) });
        }
        if let Some((column, range)) = &self.range {
            let (column, range, kinds) = (*column, range.clone(), [table.shape.kinds[*column]]);
            let accepts = move |array: &ArrayRef| within(&kinds, array, &range);
            out.push(Filter { column, in_range: true, accepts: Box::new(accepts) });
        }
        out
    }

    fn wants_row(&self, table: &Table, rows: &Columns, row: usize) -> bool {
        let key = table.shape.key.iter().zip(&self.prefix);
        let mut key = key.map(|(&column, value)| rows.value(column, row) == value.as_bytes());
        let in_range = self.range.as_ref().is_none_or(|(column, range)| {
            !rows.is_null(*column, row) && range.contains(&signed(rows.value(*column, row)))
        });
        in_range && key.all(|same| same)
    }
}

/// The batches of a scan, sorted by key within each folder, folders in order.
pub struct Batches {
    disk: Arc<dyn Disk>,
    table: Arc<Table>,
    published: Option<Arc<Published>>,
    plan: Plan,
    units: VecDeque<(Unit, Option<Columns>)>,
    current: Source,
    newest: Option<Newest>,
}

enum Source {
    None,
    /// Nothing to merge and nothing to filter: as the decoder gives it.
    Plain(FileReader, Rows),
    Merged(Merge),
}

impl Batches {
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        table: Arc<Table>,
        published: Option<Arc<Published>>,
        fresh: BTreeMap<Unit, Columns>,
        scan: &Scan,
    ) -> Result<Self, Error> {
        let plan = Plan::bind(scan, &table)?;
        let mut units: BTreeMap<Unit, Option<Columns>> = BTreeMap::new();
        for (folder, found) in published.iter().flat_map(|published| &published.folders) {
            units.extend(found.files.keys().map(|part| ((*folder, *part), None)));
        }
        units.extend(fresh.into_iter().map(|(unit, rows)| (unit, Some(rows))));
        let wanted = |unit: &Unit| plan.wants_folder(&table, unit.0);
        let units = units.into_iter().filter(|(unit, _)| wanted(unit)).collect();
        let newest = (table.revisions && !scan.revisions).then(|| {
            let all: Vec<usize> = (0..table.shape.kinds.len()).collect();
            let columns = plan.projection.as_deref().unwrap_or(&all);
            Newest::new(&table, columns, scan.as_of.unwrap_or(i64::MAX))
        });
        let newest = newest.flatten();
        Ok(Self { disk, table, published, plan, units, current: Source::None, newest })
    }

    /// The last `n` rows of the one series that the scan's prefix names, oldest first: folders are read newest first, and of
    /// each only row groups that may hold the series.
    pub(crate) fn last(mut self, n: usize) -> Result<Vec<RecordBatch>, Error> {
        let (mut series, mut place) = self.table.shape.split();
        if self.newest.is_some()
            && let Some((last, rest)) = series.split_last()
        {
            // What is counted are rows, not versions.
            (series, place) = (rest, Some(*last));
        }
        if self.plan.prefix.len() != series.len() || place.is_none() || !self.table.cut.follows(place) {
            let why = "has no order of time within the series given; name every key column but the last";
            return Err(Error::input(&self.table.name, why));
        }
        let mut out = VecDeque::new();
        let mut left = n;
        while left > 0
            && let Some(unit) = self.units.pop_back()
        {
            let rest = std::mem::replace(&mut self.units, VecDeque::from([unit]));
            let mut found = Vec::new();
            while let Some(batch) = self.advance()? {
                found.push(batch);
            }
            self.units = rest;
            for batch in found.into_iter().rev() {
                let take = left.min(batch.num_rows());
                if take > 0 {
                    out.push_front(batch.slice(batch.num_rows() - take, take));
                }
                left -= take;
            }
        }
        Ok(out.into())
    }

    /// The next batch of what is asked for.
    fn advance(&mut self) -> Result<Option<RecordBatch>, Error> {
        loop {
            let batch = self.step()?;
            let Some(newest) = &mut self.newest else { return Ok(batch) };
            let ended = batch.is_none();
            let rows = match batch {
                Some(batch) => newest.push(&batch),
                None => newest.end(),
            };
            if rows.len() > 0 {
                return self.show(rows).map(Some);
            }
            if ended {
                return Ok(None);
            }
        }
    }

    /// Rows of the columns that were read, as the columns that were asked for.
    fn show(&self, rows: Columns) -> Result<RecordBatch, Error> {
        let bad = |e: arrow_schema::ArrowError| Error::input(&self.table.name, e.to_string());
        let Some(read) = &self.plan.projection else {
            return rows.into_batch(self.table.schema.clone()).map_err(bad);
        };
        let batch = rows.into_batch(Arc::new(self.table.schema.project(read).map_err(bad)?)).map_err(bad)?;
        let Some(shown) = &self.plan.shown else { return Ok(batch) };
        let places: Vec<usize> =
            shown.iter().filter_map(|column| read.iter().position(|at| at == column)).collect();
        batch.project(&places).map_err(bad)
    }

    fn step(&mut self) -> Result<Option<RecordBatch>, Error> {
        loop {
            match &mut self.current {
                Source::None => match self.units.pop_front() {
                    Some((unit, fresh)) => self.current = self.begin(unit, fresh)?,
                    None => return Ok(None),
                },
                Source::Plain(file, reader) => match reader.next() {
                    Some(batch) => {
                        let batch = batch.map_err(|e| file.error(e))?;
                        // The file says the same types; ours carries the declared nullability.
                        return self.give(batch.columns().to_vec(), batch.num_rows()).map(Some);
                    }
                    None => self.current = Source::None,
                },
                Source::Merged(merge) => match merge.next(BATCH)? {
                    Some(rows) => {
                        let rows = self.select(rows);
                        if rows.len() > 0 {
                            return self.project(rows).map(Some);
                        }
                    }
                    None => self.current = Source::None,
                },
            }
        }
    }

    fn begin(&self, unit: Unit, fresh: Option<Columns>) -> Result<Source, Error> {
        let file = self.published.as_ref().and_then(|published| Some((published, published.file(unit)?)));
        let Some((published, at)) = file else {
            let fresh = fresh.unwrap_or_else(|| Columns::new(&self.table.shape.kinds));
            return Ok(Source::Merged(Merge::new(self.table.clone(), None, Fresh::copied(fresh))));
        };
        let reader = published.open(&*self.disk, at)?;
        let groups = self.plan.groups(&published.files[at].groups);
        if fresh.is_none() {
            let columns = self.plan.projection.as_deref();
            let (range, filters) = (self.plan.range.clone(), self.plan.filters(&self.table));
            let batches = reader.read(&self.table.schema, Read { groups, columns, range, filters })?;
            return Ok(Source::Plain(reader, batches));
        }
        // What a row group holds that the range leaves out is not asked for, whether a fresh row replaces it or not.
        let read = Read { groups, range: self.plan.range.clone(), ..Read::default() };
        let batches = reader.read(&self.table.schema, read)?;
        let fresh = fresh.unwrap_or_else(|| Columns::new(&self.table.shape.kinds));
        Ok(Source::Merged(Merge::new(self.table.clone(), Some((reader, batches)), Fresh::copied(fresh))))
    }

    fn select(&self, rows: Columns) -> Columns {
        if self.plan.takes_all() {
            return rows;
        }
        let mut out = Columns::new(&self.table.shape.kinds);
        let mut start = 0;
        while start < rows.len() {
            let wanted = |row: &usize| self.plan.wants_row(&self.table, &rows, *row);
            let Some(from) = (start..rows.len()).find(wanted) else { break };
            let to = (from..rows.len()).find(|row| !wanted(row)).unwrap_or(rows.len());
            out.push_rows(&rows, from..to);
            start = to;
        }
        out
    }

    fn project(&self, rows: Columns) -> Result<RecordBatch, Error> {
        let bad = |e: arrow_schema::ArrowError| Error::input(&self.table.name, e.to_string());
        let batch = rows.into_batch(self.table.schema.clone()).map_err(bad)?;
        match &self.plan.projection {
            Some(columns) => batch.project(columns).map_err(bad),
            None => Ok(batch),
        }
    }

    fn give(&self, columns: Vec<arrow_array::ArrayRef>, rows: usize) -> Result<RecordBatch, Error> {
        let bad = |e: arrow_schema::ArrowError| Error::input(&self.table.name, e.to_string());
        let schema = match &self.plan.projection {
            Some(columns) => Arc::new(self.table.schema.project(columns).map_err(bad)?),
            None => self.table.schema.clone(),
        };
        let options = arrow_array::RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(schema, columns, &options).map_err(bad)
    }
}

impl Iterator for Batches {
    type Item = Result<RecordBatch, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.advance();
        if step.is_err() {
            // An error ends the scan: what follows would not be the whole.
            self.units.clear();
            self.current = Source::None;
            self.newest = None;
        }
        step.transpose()
    }
}

impl std::fmt::Debug for Batches {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batches").field("table", &self.table.name).finish_non_exhaustive()
    }
}
