//! Two sorted sources made one: a published file and rows in memory, which win.

use std::{cmp::Ordering, ops::Range, sync::Arc};

use crate::{
    Error,
    codec::{FileReader, Rows, columns_of},
    columns::Columns,
    memtable::{Memtable, Order},
    table::Table,
};

/// Sorted rows in memory, each key once, taken from the front.
pub(crate) struct Fresh {
    source: Source,
    /// What is left, the next last.
    ranges: Vec<Range<u32>>,
    left: usize,
}

enum Source {
    Memtable(Arc<Memtable>),
    Columns(Columns),
}

impl Fresh {
    /// Rows of a memtable in this order.
    pub(crate) fn ordered(memtable: Arc<Memtable>, mut order: Order) -> Self {
        order.reverse();
        let left = order.iter().map(ExactSizeIterator::len).sum();
        Self { source: Source::Memtable(memtable), ranges: order, left }
    }

    /// Rows that were copied in order.
    pub(crate) fn copied(rows: Columns) -> Self {
        let left = rows.len();
        let ranges = (left > 0).then_some(0..left as u32).into_iter().collect();
        Self { ranges, source: Source::Columns(rows), left }
    }

    pub(crate) fn len(&self) -> u64 {
        self.left as u64
    }

    fn at(&self, row: u32) -> (&Columns, usize) {
        match &self.source {
            Source::Memtable(memtable) => memtable.at(row),
            Source::Columns(rows) => (rows, row as usize),
        }
    }

    /// The next row.
    fn next(&self) -> Option<u32> {
        Some(self.ranges.last()?.start)
    }

    /// Moves up to `limit` of the next rows that `before` accepts to `out`; it accepts a row only after all before it.
    fn take(&mut self, out: &mut Columns, limit: usize, before: &dyn Fn(&Columns, usize) -> bool) {
        let mut limit = limit;
        while limit > 0
            && let Some(range) = self.ranges.last().cloned()
        {
            let accepts = |row: u32| {
                let (columns, at) = self.at(row);
                before(columns, at)
            };
            let most = range.start..range.end.min(range.start.saturating_add(limit as u32));
            let end = if most.is_empty() || accepts(most.end - 1) {
                most.end
            } else {
                let (mut low, mut high) = (most.start, most.end - 1);
                while low < high {
                    let middle = low + (high - low) / 2;
                    if accepts(middle) { low = middle + 1 } else { high = middle }
                }
                low
            };
            match &self.source {
                Source::Memtable(memtable) => {
                    memtable.split(range.start..end).for_each(|(columns, rows)| out.push_rows(columns, rows));
                }
                Source::Columns(rows) => out.push_rows(rows, range.start as usize..end as usize),
            }
            limit -= (end - range.start) as usize;
            self.left -= (end - range.start) as usize;
            if end == range.end {
                self.ranges.pop();
            } else {
                if let Some(last) = self.ranges.last_mut() {
                    last.start = end;
                }
                return;
            }
        }
    }
}

/// Merges lazily; holds one batch of the file.
pub(crate) struct Merge {
    table: Arc<Table>,
    file: Option<(FileReader, Rows)>,
    old: Columns,
    old_at: usize,
    fresh: Fresh,
    /// Rows of the file that fresh ones took the place of.
    pub(crate) replaced: u64,
}

impl Merge {
    pub(crate) fn new(table: Arc<Table>, file: Option<(FileReader, Rows)>, fresh: Fresh) -> Self {
        let old = Columns::new(&table.shape.kinds);
        Self { table, file, old, old_at: 0, fresh, replaced: 0 }
    }

    /// Up to `limit` more rows; none at the end.
    pub(crate) fn next(&mut self, limit: usize) -> Result<Option<Columns>, Error> {
        let mut out = Columns::new(&self.table.shape.kinds);
        if self.fresh.left >= limit || self.file.is_some() {
            out.reserve(limit, None);
        }
        while out.len() < limit {
            self.refill()?;
            let (old_left, fresh_left) = (self.old.len() - self.old_at, self.fresh.left);
            if old_left + fresh_left == 0 {
                break;
            }
            let room = limit - out.len();
            // How many old rows come before the next fresh one, and whether the fresh one replaces the old at that place.
            let (before, replaces) = match self.fresh.next() {
                Some(fresh) => self.old_before(fresh),
                None => (old_left, false),
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
            if replaces {
                self.old_at += 1;
                self.replaced += 1;
                self.fresh.take(&mut out, 1, &|_, _| true);
            } else if self.old_at == self.old.len() {
                self.fresh.take(&mut out, room - take, &|_, _| true);
            } else {
                let (old, at, shape) = (&self.old, self.old_at, &self.table.shape);
                let before =
                    |columns: &Columns, row: usize| shape.compare(columns, row, old, at) == Ordering::Less;
                self.fresh.take(&mut out, room - take, &before);
            }
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

    fn order(&self, old: usize, fresh: u32) -> Ordering {
        let (columns, row) = self.fresh.at(fresh);
        self.table.shape.compare(&self.old, old, columns, row)
    }

    fn old_before(&self, fresh: u32) -> (usize, bool) {
        let (mut low, mut high) = (self.old_at, self.old.len());
        // Gallop, then halve: fresh rows mostly follow each other closely or stand far apart.
        let mut step = 1;
        while low + step < high && self.order(low + step, fresh) == Ordering::Less {
            low += step;
            step *= 2;
        }
        high = high.min(low + step + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.order(middle, fresh) {
                Ordering::Less => low = middle + 1,
                _ => high = middle,
            }
        }
        let replaces = low < self.old.len() && self.order(low, fresh) == Ordering::Equal;
        (low - self.old_at, replaces)
    }
}
