//! Unpublished rows of one table: appended in order of arrival, found by series and place, sorted only when written.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use hashbrown::HashTable;

use crate::{
    columns::Columns,
    key::Shape,
    series::{Run, Series},
    table::Table,
};

/// Rows of one chunk: chunks are filled and never moved, so growing copies nothing.
pub(crate) const CHUNK: usize = 8192;

/// A folder and one of its parts: what stands in one file.
pub(crate) type Unit = (i64, u32);

/// Rows of a memtable in key order, as ranges of their numbers.
pub(crate) type Order = Vec<Range<u32>>;

#[derive(Debug)]
pub(crate) struct Memtable {
    table: Arc<Table>,
    chunks: Vec<Columns>,
    rows: u32,
    /// Series by hash: their place in `series`.
    index: HashTable<Slot>,
    series: Vec<Series>,
    /// Rows whose key came again later.
    dead_rows: u32,
    /// No fewer than the runs beyond the first of each series.
    extra_runs: usize,
    /// Rows that are durable: the others can be taken back.
    accepted: u32,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    hash: u32,
    series: u32,
}

impl Memtable {
    pub(crate) fn new(table: Arc<Table>) -> Self {
        Self {
            table,
            chunks: Vec::new(),
            rows: 0,
            index: HashTable::new(),
            series: Vec::new(),
            dead_rows: 0,
            extra_runs: 0,
            accepted: 0,
        }
    }

    pub(crate) fn live(&self) -> u64 {
        u64::from(self.rows - self.dead_rows)
    }

    /// Rows appended so far, replaced ones included.
    pub(crate) fn end(&self) -> u32 {
        self.rows
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Bytes of the rows and of what finds them.
    pub(crate) fn bytes(&self) -> u64 {
        let chunks: usize = self.chunks.iter().map(Columns::bytes).sum();
        // Counted, not walked: this is asked after every commit. A run takes 16 bytes of a tree two thirds full.
        let index = self.index.allocation_size() + self.series.capacity() * size_of::<Series>();
        (chunks + index + self.extra_runs * 24) as u64
    }

    pub(crate) fn at(&self, row: u32) -> (&Columns, usize) {
        place_in(&self.chunks, row)
    }

    /// The series that a row of `staged` belongs to.
    pub(crate) fn series(&self, hash: u32, staged: &Columns, at: usize) -> Option<u32> {
        let slot = self.index.find(spread(hash), |slot| {
            slot.hash == hash && {
                let (columns, row) = self.at(self.series[slot.series as usize].any());
                self.table.shape.same_series(columns, row, staged, at)
            }
        });
        slot.map(|slot| slot.series)
    }

    /// True when every row of the series stands before this place.
    pub(crate) fn ends_before(&self, series: u32, place: u64) -> bool {
        let (columns, row) = self.at(self.series[series as usize].last());
        self.table.shape.place(columns, row) < place
    }

    /// The row of a series at this place, with the rows of the series that follow it directly.
    pub(crate) fn find(&self, series: u32, place: u64) -> Option<Range<u32>> {
        let place_of = place_of(&self.chunks, &self.table.shape);
        self.series[series as usize].find(place, &place_of)
    }

    /// The row of a series at this place, or the last before it.
    pub(crate) fn floor(&self, series: u32, place: u64) -> Option<u32> {
        let place_of = place_of(&self.chunks, &self.table.shape);
        self.series[series as usize].floor(place, &place_of)
    }

    /// Appends rows of one stretch of `staged`.
    pub(crate) fn append(&mut self, staged: &Columns, rows: Range<usize>, hash: u32) {
        if rows.is_empty() {
            return;
        }
        let series = self.series(hash, staged, rows.start);
        let new = Run { start: self.rows, len: rows.len() as u32 };
        self.copy(staged, rows);
        self.enter(series, hash, new);
    }

    fn copy(&mut self, staged: &Columns, rows: Range<usize>) {
        let mut from = rows.start;
        while from < rows.end {
            let room = match self.rows as usize % CHUNK {
                0 => {
                    let mut chunk = Columns::new(&self.table.shape.kinds);
                    // The first grows as it may stay small, as a ledger does.
                    if let Some(full) = self.chunks.last() {
                        chunk.reserve(CHUNK, Some(full));
                    }
                    self.chunks.push(chunk);
                    CHUNK
                }
                used => CHUNK - used,
            };
            let to = rows.end.min(from + room);
            if let Some(chunk) = self.chunks.last_mut() {
                chunk.push_rows(staged, from..to);
            }
            self.rows += (to - from) as u32;
            from = to;
        }
    }

    fn enter(&mut self, series: Option<u32>, hash: u32, new: Run) {
        let place_of = place_of(&self.chunks, &self.table.shape);
        match series {
            None => {
                let slot = Slot { hash, series: self.series.len() as u32 };
                self.index.insert_unique(spread(hash), slot, |slot| spread(slot.hash));
                self.series.push(Series::One(new));
            }
            Some(series) => {
                let series = &mut self.series[series as usize];
                if place_of(series.last()) < place_of(new.start) {
                    series.push(new, &place_of);
                    self.extra_runs += 1;
                } else {
                    let (replaced, made) = series.insert(new, &place_of);
                    self.dead_rows += replaced;
                    self.extra_runs += made;
                }
            }
        }
    }

    /// The group is durable: it cannot be taken back any more.
    pub(crate) fn accept(&mut self) {
        self.accepted = self.rows;
    }

    /// Takes back everything since the last `accept`. It happens when a disk fails, so it may cost: the index is built anew.
    pub(crate) fn undo(&mut self) {
        if self.rows == self.accepted {
            return;
        }
        self.rows = self.accepted;
        self.chunks.truncate((self.rows as usize).div_ceil(CHUNK));
        if let Some(last) = self.chunks.last_mut() {
            last.truncate(self.rows as usize - (self.rows as usize - 1) / CHUNK * CHUNK);
        }
        self.index.clear();
        self.series.clear();
        (self.dead_rows, self.extra_runs) = (0, 0);
        for chunk in 0..self.chunks.len() {
            for stretch in self.table.shape.stretches(&self.chunks[chunk]) {
                let series = self.series(stretch.hash, &self.chunks[chunk], stretch.rows.start);
                let start = (chunk * CHUNK + stretch.rows.start) as u32;
                self.enter(series, stretch.hash, Run { start, len: stretch.rows.len() as u32 });
            }
        }
    }

    /// Journal bytes of the rows from `start` on, one piece for each chunk they lie in.
    pub(crate) fn pieces(&self, start: u32) -> impl Iterator<Item = (&Columns, Range<usize>)> {
        self.split(start..self.rows)
    }

    /// A range of rows, one piece for each chunk it lies in.
    pub(crate) fn split(&self, rows: Range<u32>) -> impl Iterator<Item = (&Columns, Range<usize>)> {
        let (start, end) = (rows.start as usize, rows.end as usize);
        (start / CHUNK..end.div_ceil(CHUNK)).filter_map(move |chunk| {
            let from = start.max(chunk * CHUNK) - chunk * CHUNK;
            let to = end.min((chunk + 1) * CHUNK) - chunk * CHUNK;
            (from < to).then(|| (&self.chunks[chunk], from..to))
        })
    }

    /// The live rows, sorted by key, for each file; `parts` says into how many a folder is cut.
    pub(crate) fn sorted(&self, parts: &dyn Fn(i64) -> u32) -> BTreeMap<Unit, Order> {
        let mut series: Vec<(u32, &Series)> =
            self.series.iter().map(|series| (series.any(), series)).collect();
        series.sort_unstable_by(|(a, _), (b, _)| {
            let ((a, at), (b, bt)) = (self.at(*a), self.at(*b));
            self.table.shape.compare_series(a, at, b, bt)
        });
        let mut units: BTreeMap<Unit, Order> = BTreeMap::new();
        for run in series.into_iter().flat_map(|(_, series)| series.runs()) {
            let mut rows = run.rows();
            while !rows.is_empty() {
                // The time that cuts is part of the key: along a run, folders ascend.
                let folder = self.folder(rows.start);
                let end = if self.folder(rows.end - 1) == folder {
                    rows.end
                } else {
                    let (mut low, mut high) = (rows.start, rows.end - 1);
                    while low + 1 < high {
                        let middle = low + (high - low) / 2;
                        if self.folder(middle) == folder { low = middle } else { high = middle }
                    }
                    high
                };
                let (columns, at) = self.at(rows.start);
                let part = self.table.shape.part(columns, at, parts(folder));
                let order = units.entry((folder, part)).or_default();
                match order.last_mut() {
                    Some(last) if last.end == rows.start => last.end = end,
                    _ => order.push(rows.start..end),
                }
                rows.start = end;
            }
        }
        units
    }

    fn folder(&self, row: u32) -> i64 {
        let (columns, at) = self.at(row);
        self.table.cut.of(columns, at)
    }

    /// Appends rows as they come, cut into stretches.
    #[cfg(test)]
    pub(crate) fn append_all(&mut self, staged: &Columns) {
        for crate::key::Stretch { rows, hash } in self.table.shape.stretches(staged) {
            self.append(staged, rows, hash);
        }
    }
}

fn place_in(chunks: &[Columns], row: u32) -> (&Columns, usize) {
    (&chunks[row as usize / CHUNK], row as usize % CHUNK)
}

fn place_of<'a>(chunks: &'a [Columns], shape: &'a Shape) -> impl Fn(u32) -> u64 + 'a {
    |row| {
        let (columns, at) = place_in(chunks, row);
        shape.place(columns, at)
    }
}

/// The table takes its bucket and its tag from different ends of 64 bits; a slot keeps 32 of them.
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
