//! Making a damaged store usable again: what is sound is kept and shown, what is not is set aside and listed.

use std::{path::Path, sync::Arc, time::SystemTime};

use serde::Serialize;
use tidemill_journal::{Disk, OsDisk};

use crate::{
    Config, Error,
    layout::{Layout, make_dir, sync_dir},
    manifest::Manifest,
    published::Published,
    read_only::published_tables,
    snapshot::{Snapshot, numbers},
    table::Table,
    verify::{check_file, describe},
};

/// What was kept and what was not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RepairReport {
    /// One entry a published table.
    pub tables: Vec<RepairTable>,
}

/// One table's repair.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RepairTable {
    /// The table.
    pub name: String,
    /// The snapshot it shows now; the one it showed before when nothing was wrong.
    pub snapshot: u64,
    /// Rows it shows now.
    pub kept_rows: u64,
    /// Rows of files that were set aside. Their ledger, if one is kept elsewhere, must forget them.
    pub lost_rows: u64,
    /// Files that are not sound, by the path under `damaged/` where they are kept for people, and why.
    pub set_aside: Vec<String>,
    /// Manifests that could not be read; the newest one that can be was taken instead.
    pub unreadable: Vec<String>,
}

/// Shows, for each table, a snapshot of its sound files only. Nothing is removed: what is not sound is linked under
/// `damaged/<table>/`. A sound store is left as it is. The journal is not touched: what it holds is replayed at the next open.
///
/// # Errors
/// `Locked` while a writer has the store; `Corrupt` when no manifest of a table can be read; `Disk`.
pub fn repair(dir: &Path) -> Result<RepairReport, Error> {
    repair_on(Arc::new(OsDisk), dir)
}

/// The same on another disk.
pub fn repair_on(disk: Arc<dyn Disk>, dir: &Path) -> Result<RepairReport, Error> {
    let layout = Layout::new(dir);
    let holder = format!("pid {} (repair)", std::process::id());
    let _lock = disk.lock(&layout.lock(), &holder).map_err(|error| match error.kind() {
        std::io::ErrorKind::WouldBlock => Error::locked(dir, error.to_string()),
        _ => Error::disk("lock", &layout.lock())(error),
    })?;
    let mut report = RepairReport::default();
    for name in published_tables(&*disk, &layout)? {
        report.tables.push(repair_table(&disk, &layout, name)?);
    }
    Ok(report)
}

fn repair_table(disk: &Arc<dyn Disk>, layout: &Layout, name: String) -> Result<RepairTable, Error> {
    let mut found = RepairTable { name, ..RepairTable::default() };
    let Some(current) = layout.current(&**disk, &found.name)? else { return Ok(found) };
    let (manifest, table) = newest(&**disk, layout, current, &mut found)?;
    let old = Published::new(manifest, layout, &Arc::default())?;
    let mut sound = Vec::new();
    for (at, entry) in old.manifest.files.iter().enumerate() {
        match check_file(&**disk, &table, &old, at) {
            Ok(rows) => {
                found.kept_rows += rows;
                sound.push(entry.path.clone());
            }
            // A disk that cannot be read just now is no reason to give a file up.
            Err(error) if error.is_retryable() && disk.list(&old.dir).is_err() => return Err(error),
            Err(error) => {
                found.lost_rows += entry.rows;
                let kept = set_aside(&**disk, layout, &old, at)?;
                found.set_aside.push(format!("{kept}: {}", describe(&error)));
            }
        }
    }
    found.snapshot = old.manifest.snapshot;
    if found.set_aside.is_empty() && old.manifest.snapshot == current {
        return Ok(found);
    }
    let config = Config::default();
    let snapshot = Snapshot {
        disk,
        layout,
        config: &config,
        table: &Arc::new(table),
        kept: &Arc::default(),
        now: SystemTime::now(),
    };
    let number = snapshot.next_number()?;
    make_dir(&**disk, &layout.snapshot(&found.name, number))?;
    let next = snapshot.link(Some(&old), number, &|entry| sound.contains(&entry.path))?;
    snapshot.finish(number, old.manifest.watermark, next)?;
    found.snapshot = number;
    Ok(found)
}

/// The manifest of the current snapshot, or of the newest before it that can be read.
fn newest(
    disk: &dyn Disk,
    layout: &Layout,
    current: u64,
    found: &mut RepairTable,
) -> Result<(Manifest, Table), Error> {
    let mut known = numbers(disk, &layout.snapshots(&found.name))?;
    known.retain(|number| *number <= current);
    known.sort_unstable_by(|a, b| b.cmp(a));
    let mut last = None;
    for number in known {
        let read = Manifest::read(disk, layout, &found.name, number).and_then(|manifest| {
            let table = Table::bind(&manifest.spec(&layout.manifest(&found.name, number))?)?;
            Ok((manifest, table))
        });
        match read {
            Ok(read) => return Ok(read),
            Err(error) => {
                found.unreadable.push(describe(&error));
                last = Some(error);
            }
        }
    }
    Err(last
        .unwrap_or_else(|| Error::corrupt(&layout.link(&found.name), "shows a snapshot that is not there")))
}

/// Gives a damaged file a second name, so that no sweep removes it.
fn set_aside(disk: &dyn Disk, layout: &Layout, old: &Published, at: usize) -> Result<String, Error> {
    let entry = &old.manifest.files[at];
    let above = layout.root.join("damaged");
    let dir = above.join(&old.manifest.table);
    make_dir(disk, &above)?;
    make_dir(disk, &dir)?;
    let name = format!("{:06}-{}", old.manifest.snapshot, entry.path.replace('/', "-"));
    let path = dir.join(&name);
    match disk.link(&old.files[at].path, &path) {
        Err(error)
            if matches!(error.kind(), std::io::ErrorKind::AlreadyExists | std::io::ErrorKind::NotFound) => {}
        done => done.map_err(Error::disk("link", &path))?,
    }
    sync_dir(disk, &dir, "storage.damaged")?;
    sync_dir(disk, &above, "storage.damaged")?;
    sync_dir(disk, &layout.root, "storage.damaged")?;
    Ok(format!("damaged/{}/{name}", old.manifest.table))
}
