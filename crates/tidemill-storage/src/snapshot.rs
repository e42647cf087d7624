//! Publishing one table: a new folder of immutable files, made durable, then shown by swapping one link.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tidemill_journal::Disk;

use crate::{
    Config, Error, PublishedTable,
    codec::FileWriter,
    layout::{Layout, make_dir, remove_tree, sync_dir},
    manifest::{FileEntry, Manifest},
    memtable::Memtable,
    merge::{Fresh, Merge},
    published::Published,
    table::Table,
};

/// Rows handed to the encoder at a time.
const BATCH: usize = 8192;

pub(crate) struct Snapshot<'a> {
    pub(crate) disk: &'a Arc<dyn Disk>,
    pub(crate) layout: &'a Layout,
    pub(crate) config: &'a Config,
    pub(crate) table: &'a Arc<Table>,
    pub(crate) now: SystemTime,
}

impl Snapshot<'_> {
    /// Writes the rows of `memtable` over those of `old` and swaps the link. Every frame up to `watermark` is in it.
    ///
    /// Order matters: files and names first, then the manifest, then the link, each durable before the next.
    pub(crate) fn publish(
        &self,
        old: Option<&Published>,
        memtable: &Arc<Memtable>,
        watermark: u64,
    ) -> Result<(Published, PublishedTable), Error> {
        let (disk, layout, table) = (&**self.disk, self.layout, &self.table.name);
        let number = self.next_number()?;
        let dir = layout.snapshot(table, number);
        make_dir(disk, &dir)?;
        let mut report = PublishedTable {
            name: table.clone(),
            snapshot: number,
            merged: memtable.live(),
            ..Default::default()
        };

        let mut files = Vec::new();
        let mut folders = memtable.sorted();
        let mut linked = Vec::new();
        for (at, entry) in old.iter().flat_map(|old| old.manifest.files.iter().enumerate()) {
            if folders.contains_key(&entry.partition) {
                continue;
            }
            if let Some(old) = old {
                self.make_folder(&dir, entry.partition)?;
                let path = dir.join(&entry.path);
                disk.link(&old.files[at].path, &path).map_err(Error::disk("link", &path))?;
                if old.is_checked(at) {
                    linked.push(entry.path.clone());
                }
                files.push(entry.clone());
                report.files_linked += 1;
            }
        }
        let mut written = Vec::new();
        while let Some((folder, rows)) = folders.pop_first() {
            let entry = self.write_file(&dir, number, folder, old, Fresh::ordered(memtable.clone(), rows))?;
            report.files_written += 1;
            report.bytes_written += entry.bytes;
            written.push(entry.path.clone());
            files.push(entry);
        }
        files.sort_by_key(|file| file.partition);
        for entry in &files {
            let folder = self.table.cut.folder(entry.partition);
            if !folder.is_empty() {
                sync_dir(disk, &dir.join(folder), "storage.folder")?;
            }
        }
        sync_dir(disk, &dir, "storage.snapshot")?;
        sync_dir(disk, &layout.snapshots(table), "storage.snapshot-name")?;

        let manifest = Manifest::new(self.table, number, watermark, self.now, files);
        manifest.write(disk, layout)?;
        report.rows = manifest.rows();
        let published = Published::new(manifest, layout)?;
        linked.iter().chain(&written).for_each(|path| published.mark_checked(path));

        self.show(number)?;
        Ok((published, report))
    }

    fn write_file(
        &self,
        dir: &Path,
        number: u64,
        folder: i64,
        old: Option<&Published>,
        fresh: Fresh,
    ) -> Result<FileEntry, Error> {
        let disk = &**self.disk;
        self.make_folder(dir, folder)?;
        let name = format!("part-{number:06}.parquet");
        let folder_name = self.table.cut.folder(folder);
        let path = if folder_name.is_empty() { name } else { format!("{folder_name}/{name}") };
        let full = dir.join(&path);
        let file = match old.and_then(|old| Some((old, *old.folders.get(&folder)?.first()?))) {
            Some((old, at)) => {
                let reader = old.open(disk, at)?;
                let batches = reader.read(&self.table.schema, None, None, BATCH)?;
                Some((reader, batches))
            }
            None => None,
        };
        let mut merge = Merge::new(self.table.clone(), file, fresh);
        let mut writer = FileWriter::create(disk, &full, self.table, self.config)?;
        while let Some(rows) = merge.next(writer.room().min(BATCH))? {
            writer.write(rows)?;
        }
        let written = writer.finish()?;
        Ok(FileEntry {
            path,
            partition: folder,
            rows: written.rows,
            bytes: written.bytes,
            crc32c: written.crc32c,
            groups: written.groups,
        })
    }

    fn make_folder(&self, dir: &Path, folder: i64) -> Result<(), Error> {
        let name = self.table.cut.folder(folder);
        if name.is_empty() { Ok(()) } else { make_dir(&**self.disk, &dir.join(name)) }
    }

    /// Swaps the link; a reader sees the old snapshot or the new one.
    fn show(&self, number: u64) -> Result<(), Error> {
        let (disk, table) = (&**self.disk, &self.table.name);
        let link = self.layout.link(table);
        let fresh = self.layout.links().join(format!(".{table}.next"));
        let target = format!("../snapshots/{table}/{number:06}");
        // One that an interrupted publish left.
        if disk.read_link(&fresh).is_ok() {
            disk.remove(&fresh).map_err(Error::disk("remove", &fresh))?;
        }
        disk.symlink(Path::new(&target), &fresh).map_err(Error::disk("create", &fresh))?;
        disk.rename(&fresh, &link).map_err(Error::disk("swap", &link))?;
        sync_dir(disk, &self.layout.links(), "storage.link")
    }

    /// Above every number in use, so that no name is ever used twice.
    fn next_number(&self) -> Result<u64, Error> {
        let dirs = numbers(&**self.disk, &self.layout.snapshots(&self.table.name))?;
        let manifests = numbers(&**self.disk, &self.layout.manifests(&self.table.name))?;
        Ok(dirs.into_iter().chain(manifests).max().unwrap_or(0) + 1)
    }
}

/// Removes snapshots that were replaced more than `grace` ago, and, for the writer that just opened, those never finished.
/// What cannot be removed is tried again the next time.
pub(crate) fn sweep(
    disk: &dyn Disk,
    layout: &Layout,
    table: &str,
    current: Option<u64>,
    now: SystemTime,
    grace: Duration,
    unfinished: bool,
) -> Result<(), Error> {
    let current = current.unwrap_or(0);
    let mut replaced: BTreeMap<u64, bool> = BTreeMap::new();
    for number in numbers(disk, &layout.snapshots(table))? {
        replaced.insert(number, true);
    }
    for number in numbers(disk, &layout.manifests(table))? {
        replaced.entry(number).or_insert(false);
    }
    let known: Vec<u64> = replaced.keys().copied().collect();
    let mut in_grace = false;
    for (number, has_dir) in replaced {
        let gone = match () {
            () if number == current => false,
            () if number > current => unfinished,
            // Those that follow were replaced later still: one manifest is read, however many snapshots stand.
            () if in_grace => false,
            () => {
                let next = known.iter().find(|next| **next > number && **next <= current).copied();
                let next = next.and_then(|next| Manifest::read(disk, layout, table, next).ok());
                next.is_none_or(|next| {
                    now.duration_since(next.published_at()).is_ok_and(|since| since >= grace)
                })
            }
        };
        in_grace |= !gone && number < current;
        if gone && (!has_dir || remove_tree(disk, &layout.snapshot(table, number)).is_ok()) {
            drop(disk.remove(&layout.manifest(table, number)));
        }
    }
    Ok(())
}

fn numbers(disk: &dyn Disk, dir: &Path) -> Result<Vec<u64>, Error> {
    let entries = disk.list(dir).map_err(Error::disk("list", dir))?;
    let number = |name: &str| name.strip_suffix(".json").unwrap_or(name).parse().ok();
    Ok(entries.iter().filter_map(|entry| number(&entry.name)).collect())
}
