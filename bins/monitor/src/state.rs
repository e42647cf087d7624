//! Small state as JSON files below `DATA/state`: written beside, synced and renamed, so that no crash leaves half of it.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Where state stands below the data folder.
#[must_use]
pub fn folder(data: &Path) -> PathBuf {
    data.join("state")
}

/// What was written; `None` where nothing was.
///
/// # Errors
/// A file that cannot be read, or that is not ours.
pub fn read<T: DeserializeOwned>(file: &Path) -> Result<Option<T>> {
    match std::fs::read_to_string(file) {
        Ok(text) => {
            let read = serde_json::from_str(&text);
            let wrong = || format!("{} is damaged; move it away, or restore a backup", file.display());
            read.with_context(wrong).map(Some)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
    }
}

/// Replaces the file. Blocks until it is on the disk.
///
/// # Errors
/// What the disk said; the file is the old one then.
pub fn write<T: Serialize>(file: &Path, value: &T) -> Result<()> {
    let text = serde_json::to_vec(value)?;
    let wrong = || format!("cannot write {}", file.display());
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).with_context(wrong)?;
    }
    let beside = file.with_extension("json.new");
    let mut new = File::create(&beside).with_context(wrong)?;
    new.write_all(&text).and_then(|()| new.sync_all()).with_context(wrong)?;
    std::fs::rename(&beside, file).with_context(wrong)
}
