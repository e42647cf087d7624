//! Tables that keep every version of a row: what counts as a new one, and which one a moment sees.

use arrow_array::RecordBatch;
use tidemill_journal::Disk;

use crate::{
    Error,
    columns::Columns,
    key::Shape,
    kind::{Kind, signed},
    memtable::Memtable,
    published::{Lookup, Published},
    table::Table,
};

/// True when two rows hold the same but for the time since when they are known.
fn same_version(shape: &Shape, a: &Columns, row: usize, b: &Columns, other: usize) -> bool {
    let (_, known) = shape.split();
    (0..a.width()).filter(|column| Some(*column) != known).all(|column| {
        a.is_null(column, row) == b.is_null(column, other) && a.value(column, row) == b.value(column, other)
    })
}

/// True when the newest version known at this row's time says the same already.
pub(crate) fn repeats(
    disk: &dyn Disk,
    table: &Table,
    memtables: [Option<(&Memtable, u32)>; 2],
    published: Option<(&Published, &mut Lookup)>,
    rows: &Columns,
    row: usize,
) -> Result<bool, Error> {
    let place = table.shape.place(rows, row);
    // The latest time wins; at the same time the active memtable does, which is asked first.
    let mut best: Option<(u64, bool)> = None;
    for (memtable, series) in memtables.into_iter().flatten() {
        let Some(found) = memtable.floor(series, place) else { continue };
        let (columns, at) = memtable.at(found);
        let at_place = table.shape.place(columns, at);
        if best.is_none_or(|(place, _)| at_place > place) {
            best = Some((at_place, same_version(&table.shape, columns, at, rows, row)));
        }
    }
    if let Some((published, lookup)) = published
        && best.is_none_or(|(found, _)| found < place)
        && let Some((columns, at)) = lookup.floor(disk, table, published, rows, row)?
    {
        let at_place = table.shape.place(columns, at);
        if best.is_none_or(|(place, _)| at_place > place) {
            best = Some((at_place, same_version(&table.shape, columns, at, rows, row)));
        }
    }
    Ok(best.is_some_and(|(_, same)| same))
}

/// Takes sorted rows and lets through, of each series, the last that was known at a moment.
#[derive(Debug)]
pub(crate) struct Newest {
    kinds: Vec<Kind>,
    /// Key columns that name a row.
    series: Vec<usize>,
    /// The column that says since when it is known.
    known: usize,
    as_of: i64,
    /// The best so far of the series that is not over.
    held: Columns,
}

impl Newest {
    /// `columns` are those that come, by position in the table; every column of the key is among them.
    pub(crate) fn new(table: &Table, columns: &[usize], as_of: i64) -> Option<Self> {
        let place = |wanted: usize| columns.iter().position(|column| *column == wanted);
        let (series, known) = table.shape.split();
        let kinds: Vec<Kind> = columns.iter().map(|column| table.shape.kinds[*column]).collect();
        Some(Self {
            held: Columns::new(&kinds),
            series: series.iter().map(|column| place(*column)).collect::<Option<_>>()?,
            known: place(known?)?,
            kinds,
            as_of,
        })
    }

    /// What these rows decide.
    pub(crate) fn push(&mut self, batch: &RecordBatch) -> Columns {
        let rows = Columns::from_batch(&self.kinds, batch);
        let mut out = Columns::new(&self.kinds);
        let same = |a: &Columns, row: usize, b: &Columns, other: usize| {
            self.series.iter().all(|column| a.value(*column, row) == b.value(*column, other))
        };
        // The best row of the present series within this batch.
        let mut best: Option<usize> = None;
        for row in 0..rows.len() {
            let known = signed(rows.value(self.known, row)) <= self.as_of;
            let goes_on = match best {
                Some(at) => same(&rows, at, &rows, row),
                None => self.held.len() > 0 && same(&self.held, 0, &rows, row),
            };
            if !goes_on {
                match best.take() {
                    Some(at) => out.push_rows(&rows, at..at + 1),
                    None => out.push_rows(&self.held, 0..self.held.len()),
                }
                self.held.truncate(0);
            }
            if known {
                best = Some(row);
                self.held.truncate(0);
            }
        }
        if let Some(at) = best {
            self.held.push_rows(&rows, at..at + 1);
        }
        out
    }

    /// What is left once no rows follow.
    pub(crate) fn end(&mut self) -> Columns {
        let empty = Columns::new(&self.kinds);
        std::mem::replace(&mut self.held, empty)
    }
}
