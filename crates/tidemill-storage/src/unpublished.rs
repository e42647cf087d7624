//! One table while it is written to: rows in memory over a snapshot, and what a new row means to both.

use std::{cmp::Ordering, sync::Arc};

use tidemill_journal::Disk;

use crate::{
    Error,
    columns::Columns,
    key::Stretch,
    memtable::{Memtable, Order},
    published::{Lookup, Published},
    table::Table,
};

pub(crate) struct TableState {
    pub(crate) active: Memtable,
    /// Being published, with the last journal frame in it; stays after a failed publish until one succeeds.
    pub(crate) frozen: Option<(Arc<Memtable>, u64)>,
    pub(crate) published: Option<Arc<Published>>,
    pub(crate) lookup: Lookup,
}

impl TableState {
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
            // Where the series stands in memory, unless all of it lies before these rows: then none of them is there.
            let find = |memtable: &Memtable| {
                memtable
                    .series(*hash, rows, stretch.start)
                    .filter(|series| !memtable.ends_before(*series, first))
            };
            let active = find(&self.active);
            let below = frozen.as_deref().and_then(|frozen| Some((frozen, find(frozen)?)));
            let mut from = stretch.start;
            if active.is_some() || below.is_some() || self.published.is_some() {
                for row in stretch.clone() {
                    if self.holds(disk, table, rows, row, active, below)? {
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

    /// True when this very row is what the table shows under its key.
    fn holds(
        &mut self,
        disk: &dyn Disk,
        table: &Table,
        rows: &Columns,
        row: usize,
        active: Option<u32>,
        below: Option<(&Memtable, u32)>,
    ) -> Result<bool, Error> {
        let memory = active.map(|series| (&self.active, series)).into_iter().chain(below);
        for (memtable, series) in memory {
            if let Some(found) = memtable.find(series, table.shape.place(rows, row)) {
                let (columns, at) = memtable.at(found);
                return Ok(columns.same_row(at, rows, row));
            }
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
