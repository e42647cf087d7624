//! Checking a store against its manifests: every checksum, every row count, order, uniqueness, and the journal.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use serde::Serialize;
use tidemill_journal::{Config as JournalConfig, Disk, EntryKind, ErrorKind, Journal, OnCorruption, OsDisk};

use crate::{
    Error,
    codec::{Codec, Read, columns_of},
    layout::Layout,
    manifest::Manifest,
    multiset::Multiset,
    published::Published,
    read_only::published_tables,
    table::Table,
};

/// What was checked and what is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct VerifyReport {
    /// One entry a published table.
    pub tables: Vec<VerifyTable>,
    /// Frames in the journal that wait to be published.
    pub journal_frames: u64,
    /// What is wrong with the journal.
    pub journal_bad: Vec<String>,
}

/// One table's current snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct VerifyTable {
    /// The table.
    pub name: String,
    /// Its snapshot.
    pub snapshot: u64,
    /// Files that were looked at.
    pub files: u64,
    /// Rows in sound files.
    pub rows: u64,
    /// One line for each file that is not sound: its path and why.
    pub bad: Vec<String>,
}

impl VerifyReport {
    /// True when nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.journal_bad.is_empty() && self.tables.iter().all(|table| table.bad.is_empty())
    }
}

/// Reads the whole store and changes nothing. Damage is in the report; an error means that it could not be looked for.
pub fn verify(dir: &Path) -> Result<VerifyReport, Error> {
    verify_on(&OsDisk, dir)
}

/// The same on another disk.
pub fn verify_on(disk: &dyn Disk, dir: &Path) -> Result<VerifyReport, Error> {
    let layout = Layout::new(dir);
    let mut report = VerifyReport::default();
    for name in published_tables(disk, &layout)? {
        let mut found = VerifyTable { name, ..VerifyTable::default() };
        if let Err(error) = check_table(disk, &layout, &mut found) {
            found.bad.push(describe(&error));
        }
        report.tables.push(found);
    }
    check_journal(disk, &layout, &mut report)?;
    Ok(report)
}

/// The same, and every file is read once more by another codec, whole and in memory: its rows must be those that were found.
pub fn verify_by(codec: &dyn Codec, dir: &Path) -> Result<VerifyReport, Error> {
    let (disk, layout) = (&OsDisk, Layout::new(dir));
    let mut report = verify_on(disk, dir)?;
    for found in report.tables.iter_mut().filter(|found| found.bad.is_empty()) {
        let Some(number) = layout.current(disk, &found.name)? else { continue };
        let manifest = Manifest::read(disk, &layout, &found.name, number)?;
        let table = Table::bind(&manifest.spec(&layout.manifest(&found.name, number))?)?;
        let published = Published::new(manifest, &layout, &Arc::default())?;
        for at in 0..published.files.len() {
            let path = &published.files[at].path;
            let mut ours = Multiset::default();
            let reader = published.open(disk, at)?;
            for batch in reader.read(&table.schema, Read::default())? {
                ours.add(&columns_of(&table, &batch.map_err(|e| reader.error(e))?));
            }
            let bytes = disk.read(path).map_err(Error::disk("read", path))?;
            let read = codec.decode(&bytes, &table.schema).map(|batches| {
                let mut theirs = Multiset::default();
                batches.iter().for_each(|batch| theirs.add(&columns_of(&table, batch)));
                theirs
            });
            match read {
                Ok(theirs) if theirs == ours => {}
                Ok(_) => found.bad.push(format!("{}: {} reads other rows", path.display(), codec.name())),
                Err(error) => found.bad.push(format!("{}: {}", path.display(), describe(&error))),
            }
        }
    }
    Ok(report)
}

fn check_journal(disk: &dyn Disk, layout: &Layout, report: &mut VerifyReport) -> Result<(), Error> {
    let config = JournalConfig { on_corruption: OnCorruption::SetAside, ..JournalConfig::default() };
    // A writer may trim segments between the listing and the reading: look again, a bounded number of times.
    let mut looks = 5;
    loop {
        looks -= 1;
        match Journal::read(disk, &layout.journal(), &config, &mut |_, _| Ok(())) {
            Ok(recovery) => {
                report.journal_frames = recovery.frames;
                let lost = recovery.lost.iter().map(|loss| {
                    format!(
                        "{}: frames {} to {} are lost",
                        loss.segment.display(),
                        loss.first_seq,
                        loss.last_seq
                    )
                });
                report.journal_bad.extend(lost);
                return Ok(());
            }
            Err(error) if error.kind() == ErrorKind::Disk && looks > 0 => {}
            Err(error) if error.kind() == ErrorKind::Disk => return Err(error.into()),
            Err(error) => {
                report.journal_bad.push(error.to_string());
                return Ok(());
            }
        }
    }
}

fn check_table(disk: &dyn Disk, layout: &Layout, found: &mut VerifyTable) -> Result<(), Error> {
    let Some(number) = layout.current(disk, &found.name)? else { return Ok(()) };
    found.snapshot = number;
    let manifest = Manifest::read(disk, layout, &found.name, number)?;
    let table = Table::bind(&manifest.spec(&layout.manifest(&found.name, number))?)?;
    let published = Published::new(manifest, layout, &Arc::default())?;
    for at in 0..published.files.len() {
        found.files += 1;
        match check_file(disk, &table, &published, at) {
            Ok(rows) => found.rows += rows,
            Err(error) => found.bad.push(describe(&error)),
        }
    }
    let expected: BTreeSet<&str> = published.manifest.files.iter().map(|file| file.path.as_str()).collect();
    for stray in
        files_under(disk, &published.dir, "")?.iter().filter(|path| !expected.contains(path.as_str()))
    {
        found.bad.push(format!("{}: is not in the manifest", published.dir.join(stray).display()));
    }
    Ok(())
}

/// Checksum first: bytes that are not what was written are never decoded.
pub(crate) fn check_file(
    disk: &dyn Disk,
    table: &Table,
    published: &Published,
    at: usize,
) -> Result<u64, Error> {
    let entry = &published.manifest.files[at];
    let path = &published.files[at].path;
    let reader = published.open(disk, at)?;
    let mut rows = 0;
    let mut last = None;
    for batch in reader.read(&table.schema, Read::default())? {
        let batch = columns_of(table, &batch.map_err(|e| reader.error(e))?);
        for row in 0..batch.len() {
            let key = table.shape.encode(&batch, row);
            match &last {
                Some(last) if *last == key => {
                    return Err(Error::corrupt(path, format!("row {} repeats its key", rows + row as u64)));
                }
                Some(last) if *last > key => {
                    return Err(Error::corrupt(path, format!("row {} is out of order", rows + row as u64)));
                }
                _ => last = Some(key),
            }
            let part = table.shape.part(&batch, row, entry.parts);
            if table.cut.of(&batch, row) != entry.partition || part != entry.part {
                let detail = format!("row {} belongs into another file", rows + row as u64);
                return Err(Error::corrupt(path, detail));
            }
        }
        rows += batch.len() as u64;
    }
    if rows != entry.rows {
        return Err(Error::corrupt(path, format!("holds {rows} rows, not {}", entry.rows)));
    }
    Ok(rows)
}

fn files_under(disk: &dyn Disk, dir: &Path, prefix: &str) -> Result<Vec<String>, Error> {
    let mut out = Vec::new();
    for entry in disk.list(dir).map_err(Error::disk("list", dir))? {
        let path = format!("{prefix}{}", entry.name);
        match entry.kind {
            EntryKind::Dir => out.extend(files_under(disk, &dir.join(&entry.name), &format!("{path}/"))?),
            _ => out.push(path),
        }
    }
    Ok(out)
}

pub(crate) fn describe(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}
