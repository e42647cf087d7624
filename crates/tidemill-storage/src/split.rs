//! Cutting a folder whose files have grown too long into parts by a hash of the series, proven to lose nothing.

use crate::{
    Error, PublishedTable,
    codec::{BATCH, FileReader, FileWriter, Known, Read, columns_of},
    columns::Columns,
    manifest::{FileEntry, MAX_PARTS},
    merge::{Fresh, Merge},
    multiset::Multiset,
    published::Published,
    snapshot::{Next, Snapshot},
};

/// One file is cut into at most this many at a time: each open one takes the memory of a row group.
const MOST_CHILDREN: u32 = 8;

impl Snapshot<'_> {
    /// A snapshot of the same rows in which no file is too long, or none when none is.
    ///
    /// Each file is read once, row by row, into its children; then the children are read back, and the rows of before and
    /// after compared as multisets before the link is swapped. Memory is that of `MOST_CHILDREN` row groups.
    pub(crate) fn split(&self, old: &Published) -> Result<Option<(Published, PublishedTable)>, Error> {
        let times: Vec<(i64, u32)> =
            old.folders.keys().map(|folder| (*folder, self.times(old, *folder))).collect();
        if times.iter().all(|(_, times)| *times == 1) {
            return Ok(None);
        }
        let times = |folder: i64| times.iter().find(|(f, _)| *f == folder).map_or(1, |(_, times)| *times);
        let number = self.next_number()?;
        let dir = self.layout.snapshot(&self.table.name, number);
        crate::layout::make_dir(&**self.disk, &dir)?;
        let mut report =
            PublishedTable { name: self.table.name.clone(), snapshot: number, ..PublishedTable::default() };
        let mut next = self.link(Some(old), number, &|entry| times(entry.partition) == 1)?;
        report.files_linked = next.files.len() as u64;
        for (at, entry) in old.manifest.files.iter().enumerate() {
            if times(entry.partition) > 1 {
                let begin = next.files.len();
                self.split_file(old, at, entry, number, times(entry.partition), &mut next)?;
                report.files_split += 1;
                report.files_written += (next.files.len() - begin) as u64;
                report.bytes_written += next.files[begin..].iter().map(|file| file.bytes).sum::<u64>();
            }
        }
        let published = self.finish(number, old.manifest.watermark, next)?;
        report.rows = published.manifest.rows();
        Ok(Some((published, report)))
    }

    /// Into how many each file of a folder is cut.
    fn times(&self, old: &Published, folder: i64) -> u32 {
        let Some(found) = old.folders.get(&folder) else { return 1 };
        let limit = self.config.split_bytes;
        let longest = found.files.values().filter(|at| {
            // Series that fill a file alone cannot be spread.
            let groups = &old.files[**at].groups;
            let series = |group: &Vec<u8>| self.table.shape.series_of(group).to_vec();
            groups.first().map(series) != groups.last().map(series)
        });
        let longest = longest.map(|at| old.files[*at].bytes).max().unwrap_or(0);
        if longest <= limit {
            return 1;
        }
        // Half as long as they may be, so that they can grow for a while.
        let wanted = longest.div_ceil(limit).saturating_mul(2).min(u64::from(MOST_CHILDREN)) as u32;
        wanted.next_power_of_two().min(MAX_PARTS / found.parts)
    }

    fn split_file(
        &self,
        old: &Published,
        at: usize,
        entry: &FileEntry,
        number: u64,
        times: u32,
        next: &mut Next,
    ) -> Result<(), Error> {
        let (disk, table) = (&**self.disk, self.table);
        let parts = entry.parts * times;
        let reader = old.open(disk, at)?;
        let batches = reader.read(&table.schema, Read::default())?;
        let none = Fresh::copied(Columns::new(&table.shape.kinds));
        let mut rows = Merge::new(table.clone(), Some((reader, batches)), none);
        let mut before = Multiset::default();
        // Children by part: those of part p are p, p + parts, p + 2 parts and so on.
        let mut children: Vec<Option<(FileWriter, String)>> = (0..times).map(|_| None).collect();
        while let Some(rows) = rows.next(BATCH)? {
            before.add(&rows);
            for stretch in table.shape.stretches(&rows) {
                let part = table.shape.part(&rows, stretch.rows.start, parts);
                if part & (entry.parts - 1) != entry.part {
                    return Err(Error::corrupt(&old.files[at].path, "holds a series of another part"));
                }
                let child = &mut children[(part / entry.parts) as usize];
                if child.is_none() {
                    let path = self.name(number, (entry.partition, part), parts);
                    let full = self.layout.snapshot(&table.name, number).join(&path);
                    *child = Some((self.create(&full, entry.partition)?, path));
                }
                if let Some((child, _)) = child {
                    child.write(&rows, stretch.rows)?;
                }
            }
        }
        let mut after = Multiset::default();
        for (at, child) in children.into_iter().enumerate() {
            let Some((child, path)) = child else { continue };
            let written = child.finish()?;
            let full = self.layout.snapshot(&table.name, number).join(&path);
            let known = Known { bytes: written.bytes, crc32c: written.crc32c, tail: written.tail };
            let reader = FileReader::open(disk, &full, known, false, self.kept)?;
            for batch in reader.read(&table.schema, Read::default())? {
                after.add(&columns_of(table, &batch.map_err(|e| reader.error(e))?));
            }
            next.add(path, (entry.partition, entry.part + at as u32 * entry.parts), parts, written);
        }
        if before != after {
            let detail = format!("its parts hold {after:?} and not {before:?}; nothing was changed");
            return Err(Error::corrupt(&old.files[at].path, detail));
        }
        Ok(())
    }
}
