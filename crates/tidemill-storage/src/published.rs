//! The snapshot a table shows, and quick answers to "does this very row stand there already".

use std::{
    cmp::Ordering,
    collections::{BTreeMap, VecDeque},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use tidemill_journal::Disk;

use crate::{
    Error,
    codec::{FileReader, columns_of},
    columns::Columns,
    layout::Layout,
    manifest::Manifest,
    table::Table,
};

/// One snapshot, immutable on disk.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) manifest: Manifest,
    pub(crate) dir: PathBuf,
    pub(crate) files: Vec<PublishedFile>,
    /// Folder number to its files.
    pub(crate) folders: BTreeMap<i64, Vec<usize>>,
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
}

impl Published {
    pub(crate) fn new(manifest: Manifest, layout: &Layout) -> Result<Self, Error> {
        let dir = layout.snapshot(&manifest.table, manifest.snapshot);
        let mut files = Vec::with_capacity(manifest.files.len());
        let mut folders: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
        for (at, file) in manifest.files.iter().enumerate() {
            let path = dir.join(&file.path);
            let groups = file.groups.iter().map(|group| unhex(group)).collect::<Option<Vec<_>>>();
            let groups =
                groups.ok_or_else(|| Error::corrupt(&path, "has a first key that is no hex number"))?;
            folders.entry(file.partition).or_default().push(at);
            let checked = AtomicBool::new(false);
            files.push(PublishedFile { path, bytes: file.bytes, crc32c: file.crc32c, groups, checked });
        }
        Ok(Self { manifest, dir, files, folders })
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
        let expect = (!self.is_checked(at)).then_some((file.bytes, file.crc32c));
        let reader = FileReader::open(disk, &file.path, expect)?;
        file.checked.store(true, Relaxed);
        Ok(reader)
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
        Self { limit: usize::try_from(limit).unwrap_or(usize::MAX), bytes: 0, groups: VecDeque::new() }
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
        let Some(files) = published.folders.get(&table.cut.of(staged, row)) else { return Ok(false) };
        let key = table.shape.encode(staged, row);
        for &file in files {
            let groups = &published.files[file].groups;
            let group = groups.partition_point(|first| *first <= key);
            if group == 0 {
                continue;
            }
            self.load(disk, table, published, file, group - 1)?;
            let Some(front) = self.groups.front_mut() else { return Ok(false) };
            if let Some(at) = front.find(table, staged, row) {
                return Ok(front.rows.same_row(at, staged, row));
            }
        }
        Ok(false)
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
        for batch in reader.read(&table.schema, Some(vec![group]), None, 8192)? {
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
