//! One table while it is written to: rows in memory over a snapshot, and what a new row means to both.

use std::{cmp::Ordering, ops::Range, sync::Arc};

use tidemill_journal::Disk;

use crate::{
    Error,
    columns::Columns,
    key::Stretch,
    memtable::{Memtable, Order},
    published::{Lookup, Published},
    revisions::repeats,
    table::Table,
};

/// Where the series of a stretch stands in memory.
struct Memory<'a> {
    active: Option<u32>,
    below: Option<(&'a Memtable, u32)>,
    /// Rows that follow the one found last.
    next: Range<u32>,
}

pub(crate) struct TableState {
    pub(crate) active: Memtable,
    /// Being published, with the last journal frame in it; stays after a failed publish until one succeeds.
    pub(crate) frozen: Option<(Arc<Memtable>, u64)>,
    pub(crate) published: Option<Arc<Published>>,
    pub(crate) lookup: Lookup,
}

impl TableState {
    /// Bytes of rows in memory, those being published included.
    pub(crate) fn bytes(&self) -> u64 {
        self.active.bytes() + self.frozen.as_ref().map_or(0, |(frozen, _)| frozen.bytes())
    }

    /// Appends what is new or changed; returns how many rows that were.
    pub(crate) fn upsert(
        &mut self,
        disk: &dyn Disk,
        table: &Table,
        rows: &Columns,
        stretches: &[Stretch],
    ) -> Result<u64, Error> {
        let mut stored = 0;
        for Stretch { rows: stretch, hash } in stretches {
            let first = table.shape.place(rows, stretch.start);
            let frozen = self.frozen.as_ref().map(|(frozen, _)| frozen.clone());
            if table.revisions {
                stored += self.upsert_versions(disk, table, rows, stretch.clone(), *hash)?;
                continue;
            }
            // Where the series stands in memory, unless all of it lies before these rows: then none of them is there.
            let find = |memtable: &Memtable| {
                memtable
                    .series(*hash, rows, stretch.start)
                    .filter(|series| !memtable.ends_before(*series, first))
            };
            let active = find(&self.active);
            let below = frozen.as_deref().and_then(|frozen| Some((frozen, find(frozen)?)));
            let mut from = stretch.start;
            let mut memory = Memory { active, below, next: 0..0 };
            if memory.active.is_some() || memory.below.is_some() || self.published.is_some() {
                for row in stretch.clone() {
                    if self.holds(disk, table, rows, row, &mut memory)? {
                        self.active.append(rows, from..row, *hash);
                        stored += row - from;
                        from = row + 1;
                    }
                }
            }
            self.active.append(rows, from..stretch.end, *hash);
            stored += stretch.end - from;
        }
        Ok(stored as u64)
    }

    /// The same where every version of a row is kept: one that repeats the version before it is none.
    fn upsert_versions(
        &mut self,
        disk: &dyn Disk,
        table: &Table,
        rows: &Columns,
        stretch: Range<usize>,
        hash: u32,
    ) -> Result<usize, Error> {
        let mut stored = 0;
        let frozen = self.frozen.as_ref().map(|(frozen, _)| frozen.clone());
        for row in stretch {
            let active = self.active.series(hash, rows, row).map(|series| (&self.active, series));
            let below = frozen.as_deref().and_then(|below| Some((below, below.series(hash, rows, row)?)));
            let published = self.published.as_deref().map(|published| (published, &mut self.lookup));
            if !repeats(disk, table, [active, below], published, rows, row)? {
                self.active.append(rows, row..row + 1, hash);
                stored += 1;
            }
        }
        Ok(stored)
    }

    /// True when this very row is what the table shows under its key.
    fn holds(
        &mut self,
        disk: &dyn Disk,
        table: &Table,
        rows: &Columns,
        row: usize,
        memory: &mut Memory<'_>,
    ) -> Result<bool, Error> {
        let place = table.shape.place(rows, row);
        if let Some(series) = memory.active {
            // Mostly it is the row behind the one before. What is appended meanwhile stands at places before this one.
            let follows = !memory.next.is_empty() && {
                let (columns, at) = self.active.at(memory.next.start);
                table.shape.place(columns, at) == place
            };
            if !follows {
                memory.next = self.active.find(series, place).unwrap_or(0..0);
            }
            if let Some(found) = memory.next.next() {
                let (columns, at) = self.active.at(found);
                return Ok(columns.same_row(at, rows, row));
            }
        }
        if let Some((memtable, series)) = memory.below
            && let Some(found) = memtable.find(series, place)
        {
            let (columns, at) = memtable.at(found.start);
            return Ok(columns.same_row(at, rows, row));
        }
        match &self.published {
            Some(published) => self.lookup.holds(disk, table, published, rows, row),
            None => Ok(false),
        }
    }
}

/// Rows of a memtable, in key order, over sorted rows below them.
pub(crate) fn overlay(table: &Table, below: Columns, memtable: &Memtable, order: &Order) -> Columns {
    let mut out = Columns::new(&table.shape.kinds);
    let mut at = 0;
    for (columns, rows) in order.iter().flat_map(|rows| memtable.split(rows.clone())) {
        if at == below.len() {
            out.push_rows(columns, rows);
            continue;
        }
        for place in rows {
            let from = at;
            while at < below.len() && table.shape.compare(&below, at, columns, place) == Ordering::Less {
                at += 1;
            }
            out.push_rows(&below, from..at);
            if at < below.len() && table.shape.same_key(&below, at, columns, place) {
                at += 1;
            }
            out.push_rows(columns, place..place + 1);
        }
    }
    out.push_rows(&below, at..below.len());
    out
}
