//! One table while it is written to: rows in memory over a snapshot, and what a new row means to both.

use std::{cmp::Ordering, sync::Arc};

use tidemill_journal::Disk;

use crate::{
    Error,
    columns::Columns,
    memtable::Memtable,
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
        hashes: &[u64],
    ) -> Result<u64, Error> {
        let ascending =
            (1..rows.len()).all(|row| table.shape.compare(rows, row - 1, rows, row) == Ordering::Less);
        // Keys that ascend are pairwise different, so whole stretches are appended at once.
        let mut stored = 0;
        let mut from = 0;
        for row in 0..rows.len() {
            let stands = self.holds(disk, table, rows, hashes[row], row)?;
            if stands || !ascending {
                let to = if stands { row } else { row + 1 };
                self.active.append(rows, from..to, hashes);
                stored += (to - from) as u64;
                from = row + 1;
            }
        }
        self.active.append(rows, from..rows.len(), hashes);
        Ok(stored + (rows.len() - from) as u64)
    }

    /// True when this very row is what the table shows under its key.
    fn holds(
        &mut self,
        disk: &dyn Disk,
        table: &Table,
        rows: &Columns,
        hash: u64,
        row: usize,
    ) -> Result<bool, Error> {
        let frozen = self.frozen.as_ref().map(|(frozen, _)| &**frozen);
        for memtable in [Some(&self.active), frozen].into_iter().flatten() {
            if let Some(found) = memtable.find(hash, rows, row) {
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

pub(crate) fn hashes(table: &Table, rows: &Columns) -> Vec<u64> {
    (0..rows.len()).map(|row| table.shape.hash(rows, row)).collect()
}

/// Rows of a memtable, in key order, over sorted rows below them.
pub(crate) fn overlay(table: &Table, below: Columns, memtable: &Memtable, rows: &[u32]) -> Columns {
    let mut out = Columns::new(&table.shape.kinds);
    let mut at = 0;
    for &row in rows {
        let (columns, place) = memtable.at(row);
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
    out.push_rows(&below, at..below.len());
    out
}
