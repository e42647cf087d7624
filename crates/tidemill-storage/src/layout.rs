//! Where things stand under a store's directory.

use std::{
    io,
    path::{Path, PathBuf},
};

use tidemill_journal::{Disk, EntryKind};

use crate::Error;

/// The folders of a store.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) root: PathBuf,
}

impl Layout {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.root.join("journal")
    }

    /// Links only: what readers open.
    pub(crate) fn links(&self) -> PathBuf {
        self.root.join("parquet")
    }

    pub(crate) fn link(&self, table: &str) -> PathBuf {
        self.links().join(table)
    }

    pub(crate) fn snapshots(&self, table: &str) -> PathBuf {
        self.root.join("snapshots").join(table)
    }

    pub(crate) fn snapshot(&self, table: &str, number: u64) -> PathBuf {
        self.snapshots(table).join(format!("{number:06}"))
    }

    pub(crate) fn manifests(&self, table: &str) -> PathBuf {
        self.root.join("manifests").join(table)
    }

    pub(crate) fn manifest(&self, table: &str, number: u64) -> PathBuf {
        self.manifests(table).join(format!("{number:06}.json"))
    }

    /// The snapshot that a table's link shows, none before the first.
    pub(crate) fn current(&self, disk: &dyn Disk, table: &str) -> Result<Option<u64>, Error> {
        let link = self.link(table);
        match disk.read_link(&link) {
            Ok(target) => {
                let number =
                    target.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
                number.map(Some).ok_or_else(|| {
                    Error::corrupt(&link, format!("points to {}, which is no snapshot", target.display()))
                })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::disk("read the link", &link)(error)),
        }
    }

    /// Creates what is missing and makes it durable; also what an earlier process created and never synced.
    pub(crate) fn prepare<'a>(
        &self,
        disk: &dyn Disk,
        tables: impl Iterator<Item = &'a str>,
    ) -> Result<(), Error> {
        self.create_root(disk)?;
        for name in ["journal", "parquet", "snapshots", "manifests"] {
            make_dir(disk, &self.root.join(name))?;
        }
        for table in tables {
            make_dir(disk, &self.snapshots(table))?;
            make_dir(disk, &self.manifests(table))?;
        }
        sync_dir(disk, &self.root, "storage.root")?;
        sync_dir(disk, &self.root.join("snapshots"), "storage.snapshots")?;
        sync_dir(disk, &self.root.join("manifests"), "storage.manifests")?;
        // A link that was swapped by a process that died before its sync may be seen and not be durable.
        sync_dir(disk, &self.links(), "storage.reopen")
    }

    fn create_root(&self, disk: &dyn Disk) -> Result<(), Error> {
        let missing: Vec<&Path> = self.root.ancestors().take_while(|dir| !is_dir(disk, dir)).collect();
        for dir in missing.iter().rev() {
            make_dir(disk, dir)?;
        }
        // Names created here must be durable. Those above may have been created by a process that died before its sync:
        // they are synced too where that is allowed.
        for (at, dir) in self.root.ancestors().skip(1).enumerate() {
            let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
            let synced = sync_dir(disk, dir, "storage.parent");
            if at < missing.len() {
                synced?;
            }
        }
        Ok(())
    }
}

fn is_dir(disk: &dyn Disk, dir: &Path) -> bool {
    dir.as_os_str().is_empty() || disk.list(dir).is_ok()
}

pub(crate) fn make_dir(disk: &dyn Disk, dir: &Path) -> Result<(), Error> {
    match disk.create_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        done => done.map_err(Error::disk("create", dir)),
    }
}

pub(crate) fn sync_dir(disk: &dyn Disk, dir: &Path, site: &'static str) -> Result<(), Error> {
    disk.sync_dir(dir, site).map_err(Error::disk("sync", dir))
}

/// Removes a folder and what is in it; what is gone already does not matter.
pub(crate) fn remove_tree(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
    for entry in disk.list(dir)? {
        let path = dir.join(&entry.name);
        match entry.kind {
            EntryKind::Dir => remove_tree(disk, &path)?,
            EntryKind::File | EntryKind::Link => disk.remove(&path)?,
        }
    }
    disk.remove_dir(dir)
}
