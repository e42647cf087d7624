//! Two sorted sources made one: a published file and rows in memory, which win.

use std::{cmp::Ordering, sync::Arc};

use parquet::arrow::arrow_reader::ParquetRecordBatchReader;

use crate::{
    Error,
    codec::{FileReader, columns_of},
    columns::Columns,
    memtable::Memtable,
    table::Table,
};

/// Sorted rows in memory, each key once.
pub(crate) enum Fresh {
    /// Rows of a memtable in this order.
    Ordered(Arc<Memtable>, Vec<u32>),
    /// Rows that were copied in order.
    Copied(Columns),
}

impl Fresh {
    fn len(&self) -> usize {
        match self {
            Self::Ordered(_, order) => order.len(),
            Self::Copied(rows) => rows.len(),
        }
    }

    fn at(&self, row: usize) -> (&Columns, usize) {
        match self {
            Self::Ordered(memtable, order) => memtable.at(order[row]),
            Self::Copied(rows) => (rows, row),
        }
    }

    /// Appends rows `from..to`, as few copies as their places allow.
    fn push_to(&self, out: &mut Columns, from: usize, to: usize) {
        let mut from = from;
        while from < to {
            let (columns, start) = self.at(from);
            let mut len = 1;
            while from + len < to {
                let (next, row) = self.at(from + len);
                if !std::ptr::eq(next, columns) || row != start + len {
                    break;
                }
                len += 1;
            }
            out.push_rows(columns, start..start + len);
            from += len;
        }
    }
}

/// Merges lazily; holds one batch of the file.
pub(crate) struct Merge {
    table: Arc<Table>,
    file: Option<(FileReader, ParquetRecordBatchReader)>,
    old: Columns,
    old_at: usize,
    fresh: Fresh,
    fresh_at: usize,
}

impl Merge {
    pub(crate) fn new(
        table: Arc<Table>,
        file: Option<(FileReader, ParquetRecordBatchReader)>,
        fresh: Fresh,
    ) -> Self {
        let old = Columns::new(&table.shape.kinds);
        Self { table, file, old, old_at: 0, fresh, fresh_at: 0 }
    }

    /// Up to `limit` more rows; none at the end.
    pub(crate) fn next(&mut self, limit: usize) -> Result<Option<Columns>, Error> {
        let mut out = Columns::new(&self.table.shape.kinds);
        if self.fresh.len() - self.fresh_at >= limit || self.file.is_some() {
            out.reserve(limit, None);
        }
        while out.len() < limit {
            self.refill()?;
            let (old_left, fresh_left) = (self.old.len() - self.old_at, self.fresh.len() - self.fresh_at);
            if old_left + fresh_left == 0 {
                break;
            }
            let room = limit - out.len();
            // How many old rows come before the next fresh one, and whether the fresh one replaces the old at that place.
            let (before, replaces) = match fresh_left {
                0 => (old_left, false),
                _ => self.old_before_fresh(),
            };
            let take = before.min(room);
            out.push_rows(&self.old, self.old_at..self.old_at + take);
            self.old_at += take;
            if take < before || take == room || fresh_left == 0 {
                continue;
            }
            if self.old_at == self.old.len() && self.file.is_some() {
                // The next batch may still hold rows before the fresh one.
                continue;
            }
            let run = if replaces {
                self.old_at += 1;
                1
            } else {
                self.fresh_before_old(room - take)
            };
            self.fresh.push_to(&mut out, self.fresh_at, self.fresh_at + run);
            self.fresh_at += run;
        }
        Ok((out.len() > 0).then_some(out))
    }

    fn refill(&mut self) -> Result<(), Error> {
        while self.old_at == self.old.len()
            && let Some((file, reader)) = &mut self.file
        {
            match reader.next() {
                Some(batch) => {
                    self.old = columns_of(&self.table, &batch.map_err(|e| file.error(e))?);
                    self.old_at = 0;
                }
                None => self.file = None,
            }
        }
        Ok(())
    }

    fn order(&self, old: usize, fresh: usize) -> Ordering {
        let (columns, row) = self.fresh.at(fresh);
        self.table.shape.compare(&self.old, old, columns, row)
    }

    fn old_before_fresh(&self) -> (usize, bool) {
        let (mut low, mut high) = (self.old_at, self.old.len());
        // Gallop, then halve: fresh rows mostly follow each other closely or stand far apart.
        let mut step = 1;
        while low + step < high && self.order(low + step, self.fresh_at) == Ordering::Less {
            low += step;
            step *= 2;
        }
        high = high.min(low + step + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.order(middle, self.fresh_at) {
                Ordering::Less => low = middle + 1,
                _ => high = middle,
            }
        }
        let replaces = low < self.old.len() && self.order(low, self.fresh_at) == Ordering::Equal;
        (low - self.old_at, replaces)
    }

    fn fresh_before_old(&self, room: usize) -> usize {
        let end = self.fresh.len().min(self.fresh_at + room);
        if self.old_at == self.old.len() {
            return end - self.fresh_at;
        }
        let mut at = self.fresh_at;
        while at < end && self.order(self.old_at, at) == Ordering::Greater {
            at += 1;
        }
        at - self.fresh_at
    }
}
