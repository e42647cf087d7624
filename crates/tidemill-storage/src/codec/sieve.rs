//! Rows that pass: filters are decoded first, column by column, and of the others only what is left.
//!
//! A few row groups at a time, so that memory is bounded. What the page index says of a whole page is not asked of its rows, and the
//! column that was asked last is not decoded again where it is shown.

use std::{collections::VecDeque, ops::Range};

use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow_schema::SchemaRef;
use parquet::{
    arrow::{
        ProjectionMask,
        arrow_reader::{ParquetRecordBatchReader, RowSelection},
        parquet_to_arrow_field_levels,
    },
    errors::{ParquetError, Result},
    file::{page_index::column_index::ColumnIndexMetaData, statistics::Statistics},
};

use super::{
    BATCH,
    pages::{Groups, Source},
    reader::Filter,
    runs::{Runs, Sifted},
};

/// Rows in question at once, but for a row group that has more.
const AT_ONCE: usize = 128 << 10;

/// Batches of the rows that pass.
pub(super) struct Sieve {
    pub(super) source: Source,
    pub(super) groups: VecDeque<usize>,
    /// Of a signed column: pages without any value in it are left out.
    pub(super) range: Option<(usize, Range<i64>)>,
    pub(super) filters: Vec<Filter>,
    /// What is shown, ascending, and its schema.
    pub(super) columns: Vec<usize>,
    pub(super) schema: SchemaRef,
    pub(super) passed: Option<Passed>,
}

/// What passed of some row groups.
pub(super) struct Passed {
    rows: usize,
    given: usize,
    /// The values of the column that was asked last, where it is shown.
    asked: Option<ArrayRef>,
    /// The others.
    rest: Option<ParquetRecordBatchReader>,
}

/// Rows of some row groups, counted through.
#[derive(Default)]
struct Question {
    groups: Vec<usize>,
    total: usize,
    /// In pages that may hold a value of the range.
    rows: Runs,
    /// In pages that hold no others.
    within: Runs,
}

impl Sieve {
    pub(super) fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(passed) = &mut self.passed
                && passed.given < passed.rows
            {
                let asked = self.filters.last().map(|filter| filter.column);
                return passed.next(&self.schema, &self.columns, asked).map(Some);
            }
            let question = self.question();
            if question.groups.is_empty() {
                return Ok(None);
            }
            self.passed = Some(self.pass(question)?);
        }
    }

    /// The next row groups, and what their statistics leave of them.
    fn question(&mut self) -> Question {
        let mut out = Question::default();
        while let Some(&group) = self.groups.front() {
            let (rows, within) = self.pages(group, out.total);
            if !out.groups.is_empty() && out.rows.count() + rows.count() > AT_ONCE {
                break;
            }
            self.groups.pop_front();
            if rows.is_empty() {
                continue;
            }
            out.total += self.rows(group);
            rows.iter().for_each(|rows| out.rows.push(rows));
            within.iter().for_each(|rows| out.within.push(rows));
            out.groups.push(group);
        }
        out
    }

    fn rows(&self, group: usize) -> usize {
        self.source.footer.row_groups().get(group).map_or(0, |group| group.num_rows().max(0) as usize)
    }

    /// The rows of a row group in pages that may hold a value of the range, and in those that hold no others.
    fn pages(&self, group: usize, before: usize) -> (Runs, Runs) {
        let (footer, rows) = (&self.source.footer, self.rows(group));
        let (mut some, mut all) = (Runs::default(), Runs::default());
        let Some((column, range)) = &self.range else {
            some.push(before..before + rows);
            return (some, all);
        };
        let chunk = footer.row_groups().get(group).and_then(|group| group.columns().get(*column));
        let (low, high) = bounds(chunk.and_then(|chunk| chunk.statistics()));
        if low.is_some_and(|low| low >= range.end) || high.is_some_and(|high| high < range.start) {
            return (some, all);
        }
        let index = footer.column_index().and_then(|index| index.get(group)?.get(*column));
        let pages =
            footer.offset_index().and_then(|index| Some(index.get(group)?.get(*column)?.page_locations()));
        let (Some(index), Some(pages)) = (index, pages) else {
            some.push(before..before + rows);
            return (some, all);
        };
        let mut at = 0;
        for (page, of) in pages.iter().enumerate() {
            let start = (of.first_row_index.max(0) as usize).clamp(at, rows);
            let end = pages.get(page + 1).map_or(rows, |next| next.first_row_index.max(0) as usize);
            let end = end.clamp(start, rows);
            let (low, high) = page_bounds(index, page);
            if low.is_none_or(|low| low < range.end) && high.is_none_or(|high| high >= range.start) {
                some.push(before + start..before + end);
            }
            let inside =
                low.is_some_and(|low| low >= range.start) && high.is_some_and(|high| high < range.end);
            if inside && index.null_count(page) == Some(0) {
                all.push(before + start..before + end);
            }
            at = end;
        }
        (some, all)
    }

    /// Asks the filters, and begins to decode the rest.
    fn pass(&mut self, question: Question) -> Result<Passed> {
        let Question { groups, total, mut rows, within } = question;
        let groups = Groups { source: self.source.clone(), groups };
        let last = self.filters.len().saturating_sub(1);
        let mut asked = None;
        for (at, filter) in self.filters.iter_mut().enumerate() {
            let shown = at == last && self.columns.contains(&filter.column);
            // What is decoded anyway is asked; else only what the page index leaves open.
            let known = match (filter.in_range, shown) {
                (true, false) => rows.and(&within),
                _ => Runs::default(),
            };
            let open = if known.is_empty() { rows } else { rows.without(&known) };
            let (taken, values) = ask(filter, &groups, &open, total, shown)?;
            rows = taken.or(known);
            asked = values;
            if rows.is_empty() {
                break;
            }
        }
        let rest: Vec<usize> = match &asked {
            Some(_) => {
                let asked = self.filters[last].column;
                self.columns.iter().copied().filter(|column| *column != asked).collect()
            }
            None => self.columns.clone(),
        };
        let count = rows.count();
        let rest =
            (count > 0 && !rest.is_empty()).then(|| decode(&groups, &rest, &rows, total)).transpose()?;
        Ok(Passed { rows: count, given: 0, asked, rest })
    }
}

impl Passed {
    /// The next batch; there are rows left.
    fn next(&mut self, schema: &SchemaRef, shown: &[usize], asked: Option<usize>) -> Result<RecordBatch> {
        let rest = self.rest.as_mut().map(|rest| rest.next().ok_or_else(too_few)).transpose()?.transpose()?;
        let left = self.rows - self.given;
        let rows = rest.as_ref().map_or(left.min(BATCH), RecordBatch::num_rows);
        if rows == 0 || rows > left {
            return Err(too_few());
        }
        let values = self.asked.as_ref().map(|values| values.slice(self.given, rows));
        self.given += rows;
        let mut rest = rest.iter().flat_map(|rest| rest.columns().iter().cloned());
        let columns: Vec<ArrayRef> = shown
            .iter()
            .map_while(|column| match &values {
                Some(values) if Some(*column) == asked => Some(values.clone()),
                _ => rest.next(),
            })
            .collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
    }
}

/// Which of these rows a filter takes and, where they are shown, their values.
fn ask(
    filter: &mut Filter,
    groups: &Groups,
    rows: &Runs,
    total: usize,
    shown: bool,
) -> Result<(Runs, Option<ArrayRef>)> {
    let mut sifted = Sifted::new(rows);
    let mut values = Vec::new();
    if !rows.is_empty() {
        for batch in decode(groups, &[filter.column], rows, total)? {
            let batch = batch?;
            let mask = (filter.accepts)(batch.column(0));
            sifted.push(&mask);
            if shown && mask.count_set_bits() > 0 {
                let mask = BooleanArray::new(mask, None);
                values.push(arrow_select::filter::filter(batch.column(0), &mask)?);
            }
        }
    }
    let taken = sifted.end().ok_or_else(too_few)?;
    let values: Vec<&dyn Array> = values.iter().map(|values| &**values).collect();
    let values = (!values.is_empty()).then(|| arrow_select::concat::concat(&values)).transpose()?;
    Ok((taken, values))
}

/// These rows of some columns.
fn decode(groups: &Groups, columns: &[usize], rows: &Runs, total: usize) -> Result<ParquetRecordBatchReader> {
    let schema = groups.source.footer.file_metadata().schema_descr();
    let mask = ProjectionMask::roots(schema, columns.iter().copied());
    let levels = parquet_to_arrow_field_levels(schema, mask, Some(&groups.source.fields))?;
    let count = rows.count();
    let selection = (count < total).then(|| RowSelection::from_consecutive_ranges(rows.iter(), total));
    ParquetRecordBatchReader::try_new_with_row_groups(&levels, groups, BATCH.min(count), selection)
}

fn too_few() -> ParquetError {
    ParquetError::General("it has another number of rows than it says".into())
}

/// Least and greatest of a signed column, where they are told.
pub(super) fn bounds(statistics: Option<&Statistics>) -> (Option<i64>, Option<i64>) {
    match statistics {
        Some(Statistics::Int64(s)) => (s.min_opt().copied(), s.max_opt().copied()),
        Some(Statistics::Int32(s)) => {
            (s.min_opt().map(|v| i64::from(*v)), s.max_opt().map(|v| i64::from(*v)))
        }
        _ => (None, None),
    }
}

fn page_bounds(index: &ColumnIndexMetaData, page: usize) -> (Option<i64>, Option<i64>) {
    if usize::try_from(index.num_pages()).is_ok_and(|known| page >= known) {
        return (None, None);
    }
    match index {
        ColumnIndexMetaData::INT64(i) => (i.min_value(page).copied(), i.max_value(page).copied()),
        ColumnIndexMetaData::INT32(i) => {
            (i.min_value(page).map(|v| i64::from(*v)), i.max_value(page).map(|v| i64::from(*v)))
        }
        _ => (None, None),
    }
}
