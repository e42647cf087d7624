//! The snapshot a table shows, and quick answers to "does this very row stand there already".

use std::{
    cmp::Ordering,
    collections::{BTreeMap, VecDeque},
    path::PathBuf,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use tidemill_journal::Disk;

use crate::{
    Error,
    codec::{FileReader, Kept, Known, Read, columns_of},
    columns::Columns,
    layout::Layout,
    manifest::Manifest,
    memtable::Unit,
    table::Table,
};

/// One snapshot, immutable on disk.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) manifest: Manifest,
    pub(crate) dir: PathBuf,
    pub(crate) files: Vec<PublishedFile>,
    /// Folder number to its files.
    pub(crate) folders: BTreeMap<i64, Folder>,
    /// What reading its files keeps, shared with the snapshots before and after it.
    pub(crate) kept: Arc<Kept>,
}

/// One folder's files, by part.
#[derive(Debug)]
pub(crate) struct Folder {
    pub(crate) parts: u32,
    pub(crate) files: BTreeMap<u32, usize>,
}

#[derive(Debug)]
pub(crate) struct PublishedFile {
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    pub(crate) crc32c: u32,
    /// The first key of each row group.
    pub(crate) groups: Vec<Vec<u8>>,
    /// Its checksum was compared, or it was written by this process.
    checked: AtomicBool,
    /// The last place of any series in each row group; read when it is first asked for.
    last: OnceLock<Vec<Option<i64>>>,
}

impl Published {
    pub(crate) fn new(manifest: Manifest, layout: &Layout, kept: &Arc<Kept>) -> Result<Self, Error> {
        let dir = layout.snapshot(&manifest.table, manifest.snapshot);
        let mut files = Vec::with_capacity(manifest.files.len());
        let mut folders: BTreeMap<i64, Folder> = BTreeMap::new();
        for (at, file) in manifest.files.iter().enumerate() {
            let path = dir.join(&file.path);
            let groups = file.groups.iter().map(|group| unhex(group)).collect::<Option<Vec<_>>>();
            let groups =
                groups.ok_or_else(|| Error::corrupt(&path, "has a first key that is no hex number"))?;
            let folder = Folder { parts: file.parts, files: BTreeMap::new() };
            folders.entry(file.partition).or_insert(folder).files.insert(file.part, at);
            let checked = AtomicBool::new(false);
            files.push(PublishedFile {
                path,
                bytes: file.bytes,
                crc32c: file.crc32c,
                groups,
                checked,
                last: OnceLock::new(),
            });
        }
        Ok(Self { manifest, dir, files, folders, kept: kept.clone() })
    }

    /// Into how many parts a folder is cut.
    pub(crate) fn parts(&self, folder: i64) -> u32 {
        self.folders.get(&folder).map_or(1, |folder| folder.parts)
    }

    /// The file of one part of a folder.
    pub(crate) fn file(&self, (folder, part): Unit) -> Option<usize> {
        self.folders.get(&folder)?.files.get(&part).copied()
    }

    /// Rows of that file.
    pub(crate) fn rows(&self, unit: Unit) -> Option<u64> {
        Some(self.manifest.files[self.file(unit)?].rows)
    }

    pub(crate) fn mark_checked(&self, path: &str) {
        if let Some(at) = self.manifest.files.iter().position(|file| file.path == path) {
            self.files[at].checked.store(true, Relaxed);
        }
    }

    pub(crate) fn is_checked(&self, at: usize) -> bool {
        self.files[at].checked.load(Relaxed)
    }

    /// Opens a file; its checksum is compared the first time.
    pub(crate) fn open(&self, disk: &dyn Disk, at: usize) -> Result<FileReader, Error> {
        let file = &self.files[at];
        let known = Known { bytes: file.bytes, crc32c: file.crc32c, tail: self.manifest.files[at].tail };
        let reader = FileReader::open(disk, &file.path, known, self.is_checked(at), &self.kept)?;
        file.checked.store(true, Relaxed);
        Ok(reader)
    }

    /// True when every row of a row group stands before this row's place in its series: then it is not there, and nothing
    /// of the row group has to be decoded. That is how a series grows.
    fn ends_before(
        &self,
        disk: &dyn Disk,
        table: &Table,
        (at, group): (usize, usize),
        staged: &Columns,
        row: usize,
    ) -> Result<bool, Error> {
        let Some((column, place)) = table.shape.signed_place(staged, row) else { return Ok(false) };
        let file = &self.files[at];
        let last = match file.last.get() {
            Some(last) => last,
            None => {
                let last = self.open(disk, at)?.greatest(column)?;
                file.last.get_or_init(|| last)
            }
        };
        Ok(last.get(group).copied().flatten().is_some_and(|last| last < place))
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

/// Row groups decoded lately, the newest in front, bounded by bytes (at least one is kept).
#[derive(Debug)]
pub(crate) struct Lookup {
    limit: usize,
    bytes: usize,
    groups: VecDeque<Group>,
    key: Vec<u8>,
}

#[derive(Debug)]
struct Group {
    file: usize,
    group: usize,
    rows: Arc<Columns>,
    /// Where the last answer stood: the next question is mostly about the row behind it.
    cursor: usize,
}

impl Lookup {
    pub(crate) fn new(limit: u64) -> Self {
        Self {
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            bytes: 0,
            groups: VecDeque::new(),
            key: Vec::new(),
        }
    }

    pub(crate) fn clear(&mut self) {
        self.groups.clear();
        self.bytes = 0;
    }

    /// True when the row stands in the snapshot, bit by bit.
    pub(crate) fn holds(
        &mut self,
        disk: &dyn Disk,
        table: &Table,
        published: &Published,
        staged: &Columns,
        row: usize,
    ) -> Result<bool, Error> {
        let folder = table.cut.of(staged, row);
        let Some(found) = published.folders.get(&folder) else { return Ok(false) };
        let part = table.shape.part(staged, row, found.parts);
        let Some(&file) = found.files.get(&part) else { return Ok(false) };
        // Mostly it stands in the row group that answered last, right behind the row asked for last.
        if let Some(front) = self.groups.front_mut().filter(|front| front.file == file)
            && let Some(at) = front.find(table, staged, row)
        {
            return Ok(front.rows.same_row(at, staged, row));
        }
        let Some(group) = self.group(table, published, file, staged, row) else { return Ok(false) };
        if published.ends_before(disk, table, (file, group), staged, row)? {
            return Ok(false);
        }
        self.load(disk, table, published, file, group)?;
        let Some(front) = self.groups.front_mut() else { return Ok(false) };
        let found = front.find(table, staged, row);
        Ok(found.is_some_and(|at| front.rows.same_row(at, staged, row)))
    }

    /// The last row of the same series at this row's place or before it.
    pub(crate) fn floor(
        &mut self,
        disk: &dyn Disk,
        table: &Table,
        published: &Published,
        staged: &Columns,
        row: usize,
    ) -> Result<Option<(&Columns, usize)>, Error> {
        let folder = table.cut.of(staged, row);
        let part = table.shape.part(staged, row, published.parts(folder));
        let Some(file) = published.file((folder, part)) else { return Ok(None) };
        // Its first key is not behind the row's: what stands right before the row stands in it.
        let Some(group) = self.group(table, published, file, staged, row) else { return Ok(None) };
        self.load(disk, table, published, file, group)?;
        let Some(front) = self.groups.front() else { return Ok(None) };
        let rows = &*front.rows;
        let (mut low, mut high) = (0, rows.len());
        while low < high {
            let middle = low + (high - low) / 2;
            match table.shape.compare(rows, middle, staged, row) {
                Ordering::Greater => high = middle,
                _ => low = middle + 1,
            }
        }
        Ok((low > 0 && table.shape.same_series(rows, low - 1, staged, row)).then(|| (rows, low - 1)))
    }

    /// The only row group of a file in which a row may stand: the last whose first key is not behind it.
    fn group(
        &mut self,
        table: &Table,
        published: &Published,
        file: usize,
        staged: &Columns,
        row: usize,
    ) -> Option<usize> {
        self.key.clear();
        table.shape.encode_into(staged, row, &mut self.key);
        published.files[file].groups.partition_point(|first| *first <= self.key).checked_sub(1)
    }

    /// Brings a row group to the front.
    fn load(
        &mut self,
        disk: &dyn Disk,
        table: &Table,
        published: &Published,
        file: usize,
        group: usize,
    ) -> Result<(), Error> {
        if let Some(at) = self.groups.iter().position(|g| g.file == file && g.group == group) {
            if at > 0
                && let Some(found) = self.groups.remove(at)
            {
                self.groups.push_front(found);
            }
            return Ok(());
        }
        let reader = published.open(disk, file)?;
        let mut rows = Columns::new(&table.shape.kinds);
        let read = Read { groups: Some(vec![group]), ..Read::default() };
        for batch in reader.read(&table.schema, read)? {
            let batch = columns_of(table, &batch.map_err(|e| reader.error(e))?);
            rows.push_rows(&batch, 0..batch.len());
        }
        self.bytes += rows.bytes();
        self.groups.push_front(Group { file, group, rows: Arc::new(rows), cursor: 0 });
        while self.bytes > self.limit && self.groups.len() > 1 {
            if let Some(old) = self.groups.pop_back() {
                self.bytes -= old.rows.bytes();
            }
        }
        Ok(())
    }
}

impl Group {
    fn find(&mut self, table: &Table, staged: &Columns, row: usize) -> Option<usize> {
        let order = |at: usize| table.shape.compare(&self.rows, at, staged, row);
        let next = self.cursor + 1;
        if next < self.rows.len() && order(next) == Ordering::Equal {
            self.cursor = next;
            return Some(next);
        }
        let (mut low, mut high) = (0, self.rows.len());
        if high == 0 || order(0) == Ordering::Greater || order(high - 1) == Ordering::Less {
            return None;
        }
        while low < high {
            let middle = low + (high - low) / 2;
            match order(middle) {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                Ordering::Equal => {
                    self.cursor = middle;
                    return Some(middle);
                }
            }
        }
        None
    }
}
