//! Bulk loading: sorted rows straight into files, without journal and memory.

use std::collections::{BTreeMap, BTreeSet};

use arrow_array::RecordBatch;

use crate::{
    Error, PublishedTable,
    codec::FileWriter,
    columns::Columns,
    layout::make_dir,
    published::Published,
    snapshot::{Next, Snapshot},
};

/// Folders whose files are open at once; each takes the memory of a row group.
const OPEN: usize = 16;

struct Open {
    writer: FileWriter,
    path: String,
    /// The last row, which the next must follow.
    last: Columns,
    used: u64,
}

impl Snapshot<'_> {
    /// Writes rows into folders that hold none, and shows them beside what stands. An error leaves the table as it was.
    pub(crate) fn load(
        &self,
        old: Option<&Published>,
        batches: impl IntoIterator<Item = RecordBatch>,
    ) -> Result<(Published, PublishedTable), Error> {
        let table = self.table;
        let bad = |why: String| Error::input(&table.name, why);
        let number = self.next_number()?;
        let dir = self.layout.snapshot(&table.name, number);
        make_dir(&**self.disk, &dir)?;
        let mut next = self.link(old, number, &|_| true)?;
        let mut report = PublishedTable {
            name: table.name.clone(),
            snapshot: number,
            files_linked: next.files.len() as u64,
            ..PublishedTable::default()
        };
        let mut open: BTreeMap<i64, Open> = BTreeMap::new();
        let mut done: BTreeSet<i64> = old.iter().flat_map(|old| old.folders.keys().copied()).collect();
        let mut clock = 0;
        let mut rows = Columns::new(&table.shape.kinds);
        for batch in batches {
            table.restage(&batch, &mut rows)?;
            for (folder, piece) in self.pieces(&rows) {
                clock += 1;
                if !open.contains_key(&folder) {
                    if done.contains(&folder) {
                        let name = table.cut.folder(folder);
                        return Err(bad(format!(
                            "folder {name:?} holds rows, or they come in too many turns; commit them instead"
                        )));
                    }
                    if open.len() == OPEN {
                        let idle = open.iter().min_by_key(|(_, open)| open.used).map(|(folder, _)| *folder);
                        if let Some((idle, file)) = idle.and_then(|idle| Some((idle, open.remove(&idle)?))) {
                            done.insert(idle);
                            end(idle, file, &mut next)?;
                        }
                    }
                    let path = self.name(number, (folder, 0), 1);
                    let writer = self.create(&dir.join(&path), folder)?;
                    open.insert(folder, Open { writer, path, last: rows.empty_like(), used: 0 });
                }
                let Some(file) = open.get_mut(&folder) else { continue };
                if file.last.len() > 0 && table.shape.compare(&file.last, 0, &rows, piece.start).is_ge() {
                    return Err(bad("rows to load are not sorted by the key, each key once".into()));
                }
                file.used = clock;
                file.last.truncate(0);
                file.last.push_rows(&rows, piece.end - 1..piece.end);
                report.merged += piece.len() as u64;
                file.writer.write(&rows, piece)?;
            }
        }
        for (folder, file) in open {
            end(folder, file, &mut next)?;
        }
        let new = &next.files[report.files_linked as usize..];
        report.files_written = new.len() as u64;
        report.bytes_written = new.iter().map(|file| file.bytes).sum();
        let watermark = old.map_or(0, |old| old.manifest.watermark);
        let published = self.finish(number, watermark, next)?;
        report.rows = published.manifest.rows();
        Ok((published, report))
    }

    /// Rows of one series, one folder each, ascending.
    fn pieces(&self, rows: &Columns) -> Vec<(i64, std::ops::Range<usize>)> {
        let mut out: Vec<(i64, std::ops::Range<usize>)> = Vec::new();
        let folder = |row: usize| self.table.cut.of(rows, row);
        for stretch in self.table.shape.stretches(rows) {
            let mut rest = stretch.rows;
            while !rest.is_empty() {
                let first = folder(rest.start);
                let end = match folder(rest.end - 1) == first {
                    true => rest.end,
                    // Folders ascend along a stretch.
                    false => rest.start + (rest.clone()).take_while(|row| folder(*row) == first).count(),
                };
                out.push((first, rest.start..end));
                rest.start = end;
            }
        }
        out
    }
}

fn end(folder: i64, file: Open, next: &mut Next) -> Result<(), Error> {
    next.add(file.path, (folder, 0), 1, file.writer.finish()?);
    Ok(())
}
