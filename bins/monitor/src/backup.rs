//! Copies of everything kept: verified when they are made and when they come back, on a schedule, with retention.
//!
//! A backup is a folder `backup_YYYYMMDD_HHMMSS` with a list of its files and their checksums. Of each store it holds the
//! snapshot that readers see; what was committed after that is not in it.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::config::{Fault, fault};
use crate::history::stamp;

/// What is not copied: other copies, and what only a running process needs.
const LEFT_OUT: [&str; 4] = ["backups", "exports", "lock", "journal"];
const LIST: &str = "backup.json";
const FORMAT: u32 = 1;
/// Files of one backup, at most.
const MOST: usize = 1_000_000;

/// `[backup]`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where backups go; default `DATA/backups`. Another disk is better.
    pub dir: Option<PathBuf>,
    /// How often, while the monitor runs; default never.
    #[serde(with = "humantime_serde")]
    pub every: Option<Duration>,
    /// Backups kept in the folder, the newest; default 7.
    pub keep: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { dir: None, every: None, keep: 7 }
    }
}

impl Config {
    pub(crate) fn check(&self, path: &str) -> Result<(), Fault> {
        let rhythm = Duration::from_secs(60)..=Duration::from_secs(366 * 86_400);
        fault(&format!("{path}.every"), self.every.is_none_or(|every| rhythm.contains(&every)), || {
            "must be 1m to 1y".into()
        })?;
        fault(&format!("{path}.keep"), (1..=10_000).contains(&self.keep), || {
            format!("is {}; choose 1 to 10000", self.keep)
        })
    }

    /// Where backups of this data folder go.
    #[must_use]
    pub fn folder(&self, data: &Path) -> PathBuf {
        self.dir.clone().unwrap_or_else(|| data.join("backups"))
    }
}

/// What was copied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The folder.
    pub path: PathBuf,
    /// Files in it.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Stores whose every checksum and row was read back.
    pub stores: usize,
    /// Older backups that were removed.
    pub removed: usize,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct List {
    format: u32,
    at_ms: i64,
    version: String,
    files: Vec<Entry>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    path: String,
    bytes: u64,
    crc32c: u32,
    /// Of a link: what it points to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    link: Option<String>,
}

/// Copies `data` into a new folder below `into`, verifies it, and removes all but the newest `keep`. Blocks.
///
/// # Errors
/// What could not be copied or did not verify; nothing with the name of a backup is left behind then.
pub fn make(data: &Path, into: &Path, keep: usize, now_ms: i64) -> Result<Report> {
    let name = format!("backup_{}", stamp(now_ms));
    let (path, partial) = (into.join(&name), into.join(format!("{name}.partial")));
    ensure!(!path.exists(), "{} exists; wait a second", path.display());
    fs::remove_dir_all(&partial).ok();
    fs::create_dir_all(&partial).with_context(|| format!("cannot create {}", partial.display()))?;
    let copied = copy_all(data, &partial, into, now_ms).and_then(|()| verify(&partial));
    let (files, bytes, stores) = match copied {
        Ok(counted) => counted,
        Err(error) => {
            fs::remove_dir_all(&partial).ok();
            return Err(error);
        }
    };
    fs::rename(&partial, &path).with_context(|| format!("cannot name {}", path.display()))?;
    sync_dir(into)?;
    let removed = retain(into, keep)?;
    Ok(Report { path, files, bytes, stores, removed })
}

/// Verifies a backup and brings it back into `data`, which must hold nothing of a monitor. Blocks.
///
/// # Errors
/// A backup that does not verify, or a folder that is in use.
pub fn restore(backup: &Path, data: &Path) -> Result<Report> {
    let (files, bytes, stores) =
        verify(backup).with_context(|| format!("{} is no sound backup", backup.display()))?;
    for name in ["history", "state"] {
        let there = data.join(name);
        ensure!(
            !there.exists(),
            "{} exists; restore into an empty folder, or move it away first",
            there.display()
        );
    }
    let partial = data.join(".restoring");
    fs::remove_dir_all(&partial).ok();
    fs::create_dir_all(&partial).with_context(|| format!("cannot create {}", partial.display()))?;
    let list = list(backup)?;
    for entry in &list.files {
        let (from, to) = (backup.join(&entry.path), partial.join(&entry.path));
        bring(&from, &to, entry)?;
    }
    for store in stores_below(&partial)? {
        fs::create_dir_all(store.join("journal"))?;
    }
    // What came back is what went in: read again before it gets its name.
    let written = serde_json::to_vec(&list)?;
    fs::write(partial.join(LIST), written)?;
    verify(&partial).context("what was written does not verify; is the disk sound?")?;
    fs::remove_file(partial.join(LIST))?;
    for entry in fs::read_dir(&partial)? {
        let entry = entry?;
        let to = data.join(entry.file_name());
        fs::rename(entry.path(), &to).with_context(|| format!("cannot name {}", to.display()))?;
    }
    fs::remove_dir(&partial)?;
    sync_dir(data)?;
    Ok(Report { path: data.to_owned(), files, bytes, stores, removed: 0 })
}

/// The backups of a folder, oldest first.
///
/// # Errors
/// A folder that cannot be listed.
pub fn all(into: &Path) -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(into) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("cannot list {}", into.display())),
    };
    let named = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.strip_prefix("backup_").is_some_and(|stamp| stamp.len() == 15) && path.is_dir()
    };
    let mut found: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(named).collect();
    found.sort();
    Ok(found)
}

/// Compares every file with the list, and reads every store through. Files, bytes, stores.
///
/// # Errors
/// The first file that is not what it was.
pub fn verify(backup: &Path) -> Result<(usize, u64, usize)> {
    let list = list(backup)?;
    let (mut bytes, mut stores) = (0, 0);
    for entry in &list.files {
        let path = backup.join(&entry.path);
        if let Some(link) = &entry.link {
            let found = fs::read_link(&path).with_context(|| format!("{} is missing", entry.path))?;
            ensure!(found == Path::new(link), "{} points to {}", entry.path, found.display());
            continue;
        }
        let (size, sum) = sum_of(&path).with_context(|| format!("cannot read {}", entry.path))?;
        ensure!(
            (size, sum) == (entry.bytes, entry.crc32c),
            "{} has {size} bytes of checksum {sum:08x}, not {} of {:08x}",
            entry.path,
            entry.bytes,
            entry.crc32c
        );
        bytes += size;
    }
    for store in stores_below(backup)? {
        let report = tidemill_storage::verify(&store).with_context(|| format!("{}", store.display()))?;
        ensure!(report.is_sound(), "{}: {:?} {:?}", store.display(), report.tables, report.journal_bad);
        stores += 1;
    }
    Ok((list.files.len(), bytes, stores))
}

fn list(backup: &Path) -> Result<List> {
    let path = backup.join(LIST);
    let text = fs::read(&path).with_context(|| format!("cannot read {}; is it a backup?", path.display()))?;
    let list: List =
        serde_json::from_slice(&text).with_context(|| format!("{} is damaged", path.display()))?;
    ensure!(list.format == FORMAT, "the backup has format {}, this build reads {FORMAT}", list.format);
    let inside =
        |path: &str| !path.starts_with('/') && !path.split('/').any(|part| part == ".." || part.is_empty());
    for entry in &list.files {
        let link =
            entry.link.as_deref().is_none_or(|link| !link.starts_with('/') && link.split("..").count() <= 3);
        ensure!(inside(&entry.path) && link, "{:?} leads out of the backup", entry.path);
    }
    Ok(list)
}

fn copy_all(data: &Path, to: &Path, into: &Path, now_ms: i64) -> Result<()> {
    let mut files = Vec::new();
    let into = fs::canonicalize(into)?;
    copy_tree(data, to, "", &into, &mut files)?;
    ensure!(!files.is_empty(), "{} holds nothing to copy", data.display());
    let list = List { format: FORMAT, at_ms: now_ms, version: env!("CARGO_PKG_VERSION").into(), files };
    let mut file = File::create(to.join(LIST))?;
    file.write_all(&serde_json::to_vec(&list)?)
        .and_then(|()| file.sync_all())
        .context("cannot write the list")
}

fn copy_tree(from: &Path, to: &Path, below: &str, into: &Path, files: &mut Vec<Entry>) -> Result<()> {
    if is_store(from) {
        return copy_store(from, to, below, files);
    }
    let mut entries: Vec<_> =
        fs::read_dir(from).with_context(|| format!("cannot list {}", from.display()))?.flatten().collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name();
        let Some(name) = name.to_str() else { bail!("{} is no UTF-8", entry.path().display()) };
        let left_out = LEFT_OUT.contains(&name) || name.ends_with(".new") || name.starts_with('.');
        if left_out || fs::canonicalize(entry.path()).is_ok_and(|path| path == *into) {
            continue;
        }
        let path = if below.is_empty() { name.to_owned() } else { format!("{below}/{name}") };
        let kind = entry.file_type()?;
        if kind.is_dir() {
            fs::create_dir_all(to.join(name))?;
            copy_tree(&entry.path(), &to.join(name), &path, into, files)?;
        } else if kind.is_file() {
            copy_file(&entry.path(), &to.join(name), path, files)?;
        }
    }
    Ok(())
}

fn is_store(dir: &Path) -> bool {
    ["parquet", "snapshots", "manifests"].iter().all(|name| dir.join(name).is_dir())
}

/// The snapshot that each table's link shows. The store keeps it for its readers while it is copied.
fn copy_store(from: &Path, to: &Path, below: &str, files: &mut Vec<Entry>) -> Result<()> {
    // The journal of a copy is empty.
    for name in ["parquet", "snapshots", "manifests", "journal"] {
        fs::create_dir_all(to.join(name))?;
    }
    for entry in fs::read_dir(from.join("parquet"))?.flatten() {
        let name = entry.file_name();
        let Some(table) = name.to_str().filter(|name| !name.starts_with('.')) else { continue };
        let target = fs::read_link(entry.path()).with_context(|| format!("{}", entry.path().display()))?;
        let number = target.file_name().and_then(|name| name.to_str()).context("a link points nowhere")?;
        let manifest = format!("manifests/{table}/{number}.json");
        fs::create_dir_all(to.join("manifests").join(table))?;
        copy_file(&from.join(&manifest), &to.join(&manifest), format!("{below}/{manifest}"), files)?;
        let snapshot = format!("snapshots/{table}/{number}");
        fs::create_dir_all(to.join(&snapshot))?;
        let nowhere = Path::new("");
        copy_tree(
            &from.join(&snapshot),
            &to.join(&snapshot),
            &format!("{below}/{snapshot}"),
            nowhere,
            files,
        )?;
        let link = to.join("parquet").join(table);
        std::os::unix::fs::symlink(&target, &link)?;
        let path = format!("{below}/parquet/{table}");
        let link = Some(target.to_string_lossy().into_owned());
        files.push(Entry { path, bytes: 0, crc32c: 0, link });
    }
    Ok(())
}

fn copy_file(from: &Path, to: &Path, path: String, files: &mut Vec<Entry>) -> Result<()> {
    ensure!(files.len() < MOST, "there are more than {MOST} files");
    let (bytes, crc32c) = copy_bytes(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
    files.push(Entry { path, bytes, crc32c, link: None });
    Ok(())
}

fn copy_bytes(from: &Path, to: &Path) -> std::io::Result<(u64, u32)> {
    let (mut from, mut to) = (File::open(from)?, File::create(to)?);
    let mut buffer = vec![0; 64 << 10];
    let (mut bytes, mut sum) = (0, 0);
    loop {
        let read = from.read(&mut buffer)?;
        if read == 0 {
            to.sync_all()?;
            return Ok((bytes, sum));
        }
        to.write_all(&buffer[..read])?;
        sum = crc32c::crc32c_append(sum, &buffer[..read]);
        bytes += read as u64;
    }
}

fn bring(from: &Path, to: &Path, entry: &Entry) -> Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    match &entry.link {
        Some(link) => std::os::unix::fs::symlink(link, to)?,
        None => _ = copy_bytes(from, to).with_context(|| format!("cannot copy {}", from.display()))?,
    }
    Ok(())
}

fn sum_of(path: &Path) -> std::io::Result<(u64, u32)> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 64 << 10];
    let (mut bytes, mut sum) = (0, 0);
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok((bytes, sum));
        }
        sum = crc32c::crc32c_append(sum, &buffer[..read]);
        bytes += read as u64;
    }
}

fn stores_below(dir: &Path) -> Result<Vec<PathBuf>> {
    if is_store(dir) {
        return Ok(vec![dir.to_owned()]);
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)?.flatten() {
        if entry.file_type()?.is_dir() {
            found.extend(stores_below(&entry.path())?);
        }
    }
    Ok(found)
}

fn retain(into: &Path, keep: usize) -> Result<usize> {
    let found = all(into)?;
    let old = found.len().saturating_sub(keep);
    for path in &found[..old] {
        fs::remove_dir_all(path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(old)
}

fn sync_dir(dir: &Path) -> Result<()> {
    File::open(dir).and_then(|dir| dir.sync_all()).with_context(|| format!("cannot sync {}", dir.display()))
}
