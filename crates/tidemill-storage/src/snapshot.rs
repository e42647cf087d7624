//! Publishing one table: a new folder of immutable files, made durable, then shown by swapping one link.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use tidemill_journal::Disk;

use crate::{
    Config, Error, PublishedTable,
    codec::{BATCH, FileWriter, Kept, Read, Written},
    layout::{Layout, make_dir, remove_tree, sync_dir},
    manifest::{FileEntry, Manifest},
    memtable::{Memtable, Order, Unit},
    merge::{Fresh, Merge},
    published::Published,
    table::Table,
};

pub(crate) struct Snapshot<'a> {
    pub(crate) disk: &'a Arc<dyn Disk>,
    pub(crate) layout: &'a Layout,
    pub(crate) config: &'a Config,
    pub(crate) table: &'a Arc<Table>,
    pub(crate) kept: &'a Arc<Kept>,
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
        let parts = |folder: i64| old.map_or(1, |old| old.parts(folder));
        let units = memtable.sorted(&parts);
        let threads = self.config.publish_threads.min(units.len());
        let replaced: BTreeSet<Unit> = units.keys().copied().collect();
        let mut next = self.link(old, number, &|entry| !replaced.contains(&(entry.partition, entry.part)))?;
        report.files_linked = next.files.len() as u64;
        let units = Mutex::new(units);
        let write = |(unit, rows): (Unit, Order)| {
            let path = self.name(number, unit, parts(unit.0));
            let fresh = Fresh::ordered(memtable.clone(), rows);
            let written = self.merge_file(&dir.join(&path), unit, old, fresh)?;
            Ok((path, unit, written))
        };
        let take = || units.lock().unwrap_or_else(PoisonError::into_inner).pop_first();
        for (path, unit, written) in crew(threads, take, write)? {
            report.files_written += 1;
            report.bytes_written += written.bytes;
            next.add(path, unit, parts(unit.0), written);
        }
        let published = self.finish(number, watermark, next)?;
        report.rows = published.manifest.rows();
        Ok((published, report))
    }

    /// Begins a snapshot's files with those of `old` that are taken over as they are.
    pub(crate) fn link(
        &self,
        old: Option<&Published>,
        number: u64,
        keeps: &dyn Fn(&FileEntry) -> bool,
    ) -> Result<Next, Error> {
        let dir = self.layout.snapshot(&self.table.name, number);
        let mut next = Next::default();
        let Some(old) = old else { return Ok(next) };
        for (at, entry) in old.manifest.files.iter().enumerate().filter(|(_, entry)| keeps(entry)) {
            self.make_folder(&dir, entry.partition)?;
            let path = dir.join(&entry.path);
            self.disk.link(&old.files[at].path, &path).map_err(Error::disk("link", &path))?;
            if old.is_checked(at) {
                next.checked.push(entry.path.clone());
            }
            next.files.push(entry.clone());
        }
        Ok(next)
    }

    /// Makes a snapshot durable whose files are, and shows it.
    pub(crate) fn finish(&self, number: u64, watermark: u64, next: Next) -> Result<Published, Error> {
        let (disk, layout, table) = (&**self.disk, self.layout, &self.table.name);
        let dir = layout.snapshot(table, number);
        let Next { mut files, checked } = next;
        files.sort_by_key(|file| (file.partition, file.part));
        let folders: BTreeSet<i64> = files.iter().map(|file| file.partition).collect();
        for folder in folders {
            let folder = self.table.cut.folder(folder);
            if !folder.is_empty() {
                sync_dir(disk, &dir.join(folder), "storage.folder")?;
            }
        }
        sync_dir(disk, &dir, "storage.snapshot")?;
        sync_dir(disk, &layout.snapshots(table), "storage.snapshot-name")?;

        let manifest = Manifest::new(self.table, number, watermark, self.now, files);
        manifest.write(disk, layout)?;
        let published = Published::new(manifest, layout, self.kept)?;
        checked.iter().for_each(|path| published.mark_checked(path));
        self.show(number)?;
        Ok(published)
    }

    /// A new file's path under the snapshot's folder.
    pub(crate) fn name(&self, number: u64, (folder, part): Unit, parts: u32) -> String {
        let name = match parts {
            1 => format!("part-{number:06}.parquet"),
            _ => format!("part-{number:06}-{part:03}.parquet"),
        };
        let folder = self.table.cut.folder(folder);
        if folder.is_empty() { name } else { format!("{folder}/{name}") }
    }

    fn merge_file(
        &self,
        path: &Path,
        unit: Unit,
        old: Option<&Published>,
        fresh: Fresh,
    ) -> Result<Written, Error> {
        let disk = &**self.disk;
        let file = match old.and_then(|old| Some((old, old.file(unit)?))) {
            Some((old, at)) => {
                let reader = old.open(disk, at)?;
                let batches = reader.read(&self.table.schema, Read::default())?;
                Some((reader, batches))
            }
            None => None,
        };
        let before = file.as_ref().and_then(|_| old?.rows(unit)).unwrap_or(0) + fresh.len();
        let mut merge = Merge::new(self.table.clone(), file, fresh);
        let mut writer = self.create(path, unit.0)?;
        while let Some(rows) = merge.next(BATCH)? {
            writer.write(&rows, 0..rows.len())?;
        }
        let written = writer.finish()?;
        if written.rows + merge.replaced != before {
            let (rows, replaced) = (written.rows, merge.replaced);
            let detail =
                format!("holds {rows} rows, made of {before} with {replaced} replaced; it was not shown");
            return Err(Error::corrupt(path, detail));
        }
        Ok(written)
    }

    /// A new file and the folder it stands in.
    pub(crate) fn create(&self, path: &Path, folder: i64) -> Result<FileWriter, Error> {
        if let Some(above) = path.parent().filter(|_| !self.table.cut.folder(folder).is_empty()) {
            make_dir(&**self.disk, above)?;
        }
        FileWriter::create(&**self.disk, path, self.table.clone(), self.config)
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
    pub(crate) fn next_number(&self) -> Result<u64, Error> {
        let dirs = numbers(&**self.disk, &self.layout.snapshots(&self.table.name))?;
        let manifests = numbers(&**self.disk, &self.layout.manifests(&self.table.name))?;
        Ok(dirs.into_iter().chain(manifests).max().unwrap_or(0) + 1)
    }
}

/// Does what there is to take on so many threads, the caller's included; the first error ends it.
fn crew<J, D: Send>(
    threads: usize,
    take: impl Fn() -> Option<J> + Sync,
    work: impl Fn(J) -> Result<D, Error> + Sync,
) -> Result<Vec<D>, Error> {
    let failed = AtomicBool::new(false);
    let one = || {
        let mut done = Vec::new();
        while !failed.load(Relaxed)
            && let Some(job) = take()
        {
            done.push(work(job).inspect_err(|_| failed.store(true, Relaxed))?);
        }
        Ok(done)
    };
    if threads <= 1 {
        return one();
    }
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(one)).collect();
        let mut done = one();
        for other in others {
            let theirs = other.join().unwrap_or_else(|_| Err(Error::abandoned()));
            done = done.and_then(|mut done: Vec<D>| {
                done.extend(theirs?);
                Ok(done)
            });
        }
        done
    })
}

/// The files of a snapshot that is being made.
#[derive(Debug, Default)]
pub(crate) struct Next {
    pub(crate) files: Vec<FileEntry>,
    /// Paths of those that need no comparing of checksums in this process.
    checked: Vec<String>,
}

impl Next {
    pub(crate) fn add(&mut self, path: String, unit: Unit, parts: u32, written: Written) {
        self.checked.push(path.clone());
        self.files.push(FileEntry {
            path,
            partition: unit.0,
            part: unit.1,
            parts,
            rows: written.rows,
            bytes: written.bytes,
            crc32c: written.crc32c,
            tail: written.tail,
            groups: written.groups,
        });
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
                // One that was never finished has no manifest. When none can be read, nothing is known to be replaced: what
                // stands is all that a repair may have.
                let mut later = known.iter().filter(|next| **next > number && **next <= current);
                let next = later.find_map(|next| Manifest::read(disk, layout, table, *next).ok());
                next.is_some_and(|next| {
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

pub(crate) fn numbers(disk: &dyn Disk, dir: &Path) -> Result<Vec<u64>, Error> {
    let entries = disk.list(dir).map_err(Error::disk("list", dir))?;
    let number = |name: &str| name.strip_suffix(".json").unwrap_or(name).parse().ok();
    Ok(entries.iter().filter_map(|entry| number(&entry.name)).collect())
}
