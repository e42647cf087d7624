//! What a folder remembers of a bucket, durable before the bucket changes: so a writer that comes back knows its own work.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tidemill_journal::Disk;

use crate::{
    Error,
    layout::{Layout, make_dir, sync_dir},
};

/// `remote/<table>.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Known {
    /// The bucket and prefix it is about.
    pub(super) place: String,
    /// SHA-256 of the manifest that stood there and of the one that was to follow it; either may be the one that stands.
    pub(super) manifests: Vec<String>,
}

fn path(layout: &Layout, table: &str) -> PathBuf {
    layout.root.join("remote").join(format!("{table}.json"))
}

impl Known {
    /// What is known of `place`; nothing when the folder never wrote there.
    pub(super) fn read(disk: &dyn Disk, layout: &Layout, table: &str, place: &str) -> Result<Self, Error> {
        let path = path(layout, table);
        match disk.read(&path) {
            Ok(bytes) => {
                let known: Self = serde_json::from_slice(&bytes)
                    .map_err(|e| Error::corrupt(&path, format!("does not say what was pushed: {e}")))?;
                Ok(if known.place == place { known } else { Self { place: place.into(), ..Self::default() } })
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Ok(Self { place: place.into(), ..Self::default() })
            }
            Err(error) => Err(Error::disk("read", &path)(error)),
        }
    }

    /// Durable when it returns.
    pub(super) fn write(&self, disk: &dyn Disk, layout: &Layout, table: &str) -> Result<(), Error> {
        let path = path(layout, table);
        let dir = path.parent().unwrap_or(Path::new("."));
        make_dir(disk, dir)?;
        sync_dir(disk, &layout.root, "storage.remote-folder")?;
        let next = dir.join(format!(".{table}.next"));
        if disk.open(&next).is_ok() {
            disk.remove(&next).map_err(Error::disk("remove", &next))?;
        }
        let text = serde_json::to_vec(self).unwrap_or_default();
        let mut file = disk.create(&next).map_err(Error::disk("create", &next))?;
        file.append(&text)
            .and_then(|()| file.sync("storage.remote-state"))
            .map_err(Error::disk("write", &next))?;
        disk.rename(&next, &path).map_err(Error::disk("swap", &path))?;
        sync_dir(disk, dir, "storage.remote-name")
    }
}
