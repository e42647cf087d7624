//! Unpublished rows of one table: appended in order of arrival, found by key, sorted only when they are written.

use std::{cmp::Ordering, collections::BTreeMap, ops::Range, sync::Arc};

use hashbrown::HashTable;

use crate::{columns::Columns, table::Table};

/// Rows of one chunk: chunks are filled and never moved, so growing copies nothing.
const CHUNK: usize = 8192;

#[derive(Debug)]
pub(crate) struct Memtable {
    table: Arc<Table>,
    chunks: Vec<Columns>,
    rows: u32,
    index: HashTable<Slot>,
    /// One bit a row: another row with its key came later.
    dead: Vec<u64>,
    dead_rows: u32,
    /// Where ascending stretches begin. Responses arrive sorted, so there are few.
    runs: Vec<u32>,
    /// (newer, older) since the last `accept`, to take a group back.
    replaced: Vec<(u32, u32)>,
    mark: Mark,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    hash: u32,
    row: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    rows: u32,
    runs: usize,
}

impl Memtable {
    pub(crate) fn new(table: Arc<Table>) -> Self {
        Self {
            table,
            chunks: Vec::new(),
            rows: 0,
            index: HashTable::new(),
            dead: Vec::new(),
            dead_rows: 0,
            runs: Vec::new(),
            replaced: Vec::new(),
            mark: Mark::default(),
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

    pub(crate) fn bytes(&self) -> u64 {
        let chunks: usize = self.chunks.iter().map(Columns::bytes).sum();
        (chunks + self.index.allocation_size() + self.dead.len() * 8 + self.runs.len() * 4) as u64
    }

    pub(crate) fn at(&self, row: u32) -> (&Columns, usize) {
        (&self.chunks[row as usize / CHUNK], row as usize % CHUNK)
    }

    /// The row under the key of `staged[at]`.
    pub(crate) fn find(&self, hash: u64, staged: &Columns, at: usize) -> Option<u32> {
        let slot = self.index.find(spread(hash as u32), |slot| {
            slot.hash == hash as u32 && {
                let (columns, row) = self.at(slot.row);
                self.table.shape.same_key(columns, row, staged, at)
            }
        });
        slot.map(|slot| slot.row)
    }

    /// Appends rows of `staged` whose keys ascend, each once.
    pub(crate) fn append(&mut self, staged: &Columns, rows: Range<usize>, hashes: &[u64]) {
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
            self.note_run(staged, from);
            if let Some(chunk) = self.chunks.last_mut() {
                chunk.push_rows(staged, from..to);
            }
            for (at, hash) in (from..to).zip(&hashes[from..to]) {
                let row = self.rows;
                self.rows += 1;
                self.enter(*hash as u32, row, staged, at);
            }
            from = to;
        }
    }

    /// Begins a run unless the next row goes on with the last one.
    fn note_run(&mut self, staged: &Columns, next: usize) {
        let goes_on = self.rows > 0 && {
            let (columns, row) = self.at(self.rows - 1);
            self.table.shape.compare(columns, row, staged, next) == Ordering::Less
        };
        if !goes_on {
            self.runs.push(self.rows);
        }
    }

    fn enter(&mut self, hash: u32, row: u32, staged: &Columns, at: usize) {
        let (chunks, shape) = (&self.chunks, &self.table.shape);
        let same = |slot: &Slot| {
            slot.hash == hash
                && shape.same_key(&chunks[slot.row as usize / CHUNK], slot.row as usize % CHUNK, staged, at)
        };
        match self.index.find_mut(spread(hash), same) {
            Some(slot) => {
                let older = std::mem::replace(&mut slot.row, row);
                self.replaced.push((row, older));
                self.set_dead(older, true);
            }
            None => {
                self.index.insert_unique(spread(hash), Slot { hash, row }, |slot| spread(slot.hash));
            }
        }
    }

    /// The group is durable: it cannot be taken back any more.
    pub(crate) fn accept(&mut self) {
        self.mark = Mark { rows: self.rows, runs: self.runs.len() };
        self.replaced.clear();
    }

    /// Takes back everything since the last `accept`.
    pub(crate) fn undo(&mut self) {
        for row in (self.mark.rows..self.rows).rev() {
            let older = match self.replaced.last() {
                Some(&(newer, older)) if newer == row => {
                    self.replaced.pop();
                    Some(older)
                }
                _ => None,
            };
            let (columns, at) = self.at(row);
            let hash = self.table.shape.hash(columns, at) as u32;
            if let Ok(mut entry) = self.index.find_entry(spread(hash), |slot| slot.row == row) {
                match older {
                    Some(older) => entry.get_mut().row = older,
                    None => drop(entry.remove()),
                }
            }
            if let Some(older) = older {
                self.set_dead(older, false);
            }
        }
        self.rows = self.mark.rows;
        self.runs.truncate(self.mark.runs);
        self.chunks.truncate((self.rows as usize).div_ceil(CHUNK));
        if let Some(last) = self.chunks.last_mut() {
            last.truncate(self.rows as usize - (self.rows as usize - 1) / CHUNK * CHUNK);
        }
    }

    /// Journal bytes of the rows since the last `accept` from `start` on, one piece for each chunk they lie in.
    pub(crate) fn pieces(&self, start: u32) -> impl Iterator<Item = (&Columns, Range<usize>)> {
        let (start, end) = (start as usize, self.rows as usize);
        (start / CHUNK..end.div_ceil(CHUNK)).filter_map(move |chunk| {
            let from = start.max(chunk * CHUNK) - chunk * CHUNK;
            let to = end.min((chunk + 1) * CHUNK) - chunk * CHUNK;
            (from < to).then(|| (&self.chunks[chunk], from..to))
        })
    }

    /// The live rows, sorted by key, for each folder.
    pub(crate) fn sorted(&self) -> BTreeMap<i64, Vec<u32>> {
        let mut runs: Vec<Range<u32>> = Vec::with_capacity(self.runs.len());
        for (at, &start) in self.runs.iter().enumerate() {
            runs.push(start..self.runs.get(at + 1).copied().unwrap_or(self.rows));
        }
        let compare = |a: &u32, b: &u32| {
            let ((a, at), (b, bt)) = (self.at(*a), self.at(*b));
            self.table.shape.compare(a, at, b, bt)
        };
        runs.sort_by(|a, b| compare(&a.start, &b.start));
        // Runs that do not overlap, one behind the other, are sorted already: one series came in each.
        let apart = runs.windows(2).all(|two| compare(&(two[0].end - 1), &two[1].start) == Ordering::Less);
        let mut rows: Vec<u32> = Vec::with_capacity(self.live() as usize);
        rows.extend(runs.into_iter().flatten().filter(|row| !self.is_dead(*row)));
        if !apart {
            // The standard stable sort finds ascending stretches and merges them.
            rows.sort_by(compare);
        }
        let mut folders: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
        for row in rows {
            let (columns, at) = self.at(row);
            folders.entry(self.table.cut.of(columns, at)).or_default().push(row);
        }
        folders
    }

    fn is_dead(&self, row: u32) -> bool {
        self.dead.get(row as usize / 64).is_some_and(|word| word >> (row % 64) & 1 == 1)
    }

    fn set_dead(&mut self, row: u32, dead: bool) {
        let word = row as usize / 64;
        if self.dead.len() <= word {
            self.dead.resize(word + 1, 0);
        }
        let bit = 1u64 << (row % 64);
        if dead {
            self.dead[word] |= bit;
            self.dead_rows += 1;
        } else {
            self.dead[word] &= !bit;
            self.dead_rows -= 1;
        }
    }
}

/// The table takes its bucket and its tag from different ends of 64 bits; a slot keeps 32 of them.
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
