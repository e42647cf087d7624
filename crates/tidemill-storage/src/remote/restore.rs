//! Bringing a bucket's tables back into an empty folder, which becomes their writer.

use std::{path::Path, sync::Arc, time::SystemTime};

use tidemill_journal::{Disk, OsDisk};

use super::{Remote, disk::RemoteDisk, manifest::RemoteManifest, push::Origin};
use crate::{
    Config, Error, PublishedTable,
    layout::{Layout, make_dir},
    snapshot::{Next, Snapshot},
    table::Table,
};

/// Bytes copied at once.
const PIECE: u64 = 1 << 20;

impl Remote {
    /// Brings every table back into `dir`, which must hold none of them, and takes them over: the writer that pushed last is
    /// refused from then on. Interrupted, it may be called again.
    ///
    /// # Errors
    /// `Locked`; `Config` when a table stands in `dir` already; `Corrupt` when a file is not what its manifest says; `Stale` when
    /// another writer pushed at this very moment; `Remote`; `Disk`.
    pub fn restore(&self, dir: &Path, now: SystemTime) -> Result<Vec<PublishedTable>, Error> {
        self.restore_on(Arc::new(OsDisk), dir, now)
    }

    /// The same on another disk.
    pub fn restore_on(
        &self,
        disk: Arc<dyn Disk>,
        dir: &Path,
        now: SystemTime,
    ) -> Result<Vec<PublishedTable>, Error> {
        let layout = Layout::new(dir);
        let tables = self.bucket.block(self.bucket.folders())?;
        layout.prepare(&*disk, tables.iter().map(String::as_str))?;
        let lock = disk.lock(&layout.lock(), "restore").map_err(|error| match error.kind() {
            std::io::ErrorKind::WouldBlock => Error::locked(dir, error.to_string()),
            _ => Error::disk("lock", &layout.lock())(error),
        })?;
        if let Some(table) = tables.iter().find(|table| !matches!(layout.current(&*disk, table), Ok(None))) {
            return Err(Error::config(format!(
                "{} holds table {table} already; restore into an empty folder",
                dir.display()
            )));
        }
        let origin = Origin { disk: &*disk, layout: &layout, now };
        let mut out = Vec::new();
        for table in tables {
            if let Some(claimed) = self.claim(&origin, &table)? {
                out.push(self.fetch(&disk, &layout, claimed, now)?);
            }
        }
        drop(lock);
        Ok(out)
    }

    fn fetch(
        &self,
        disk: &Arc<dyn Disk>,
        layout: &Layout,
        claimed: RemoteManifest,
        now: SystemTime,
    ) -> Result<PublishedTable, Error> {
        let manifest = claimed.manifest;
        let config = Config::default();
        let from = Layout::new(Path::new("/"));
        let source = RemoteDisk::load(&self.bucket)?;
        let table = Arc::new(Table::bind(&manifest.spec(Path::new(&self.bucket.place))?)?);
        let snapshot = Snapshot { disk, layout, config: &config, table: &table, kept: &Arc::default(), now };
        // Numbers go on where they were, so that none is ever used twice.
        let number = snapshot.next_number()?.max(manifest.snapshot);
        let dir = layout.snapshot(&table.name, number);
        make_dir(&**disk, &dir)?;
        let mut done = PublishedTable {
            name: table.name.clone(),
            snapshot: number,
            rows: manifest.rows(),
            ..PublishedTable::default()
        };
        let mut next = Next::default();
        for entry in &manifest.files {
            let path = dir.join(&entry.path);
            if let Some(above) = path.parent().filter(|above| *above != dir) {
                make_dir(&**disk, above)?;
            }
            let object = from.snapshot(&table.name, manifest.snapshot).join(&entry.path);
            let file = source.open(&object).map_err(Error::disk("open", &object))?;
            let mut to = disk.create(&path).map_err(Error::disk("create", &path))?;
            let (mut at, mut crc) = (0, 0);
            while at < file.size() {
                let mut piece = vec![0; PIECE.min(file.size() - at) as usize];
                file.read_at(&mut piece, at).map_err(Error::disk("fetch", &object))?;
                crc = crc32c::crc32c_append(crc, &piece);
                to.append(&piece).map_err(Error::disk("write", &path))?;
                at += piece.len() as u64;
            }
            if crc != entry.crc32c {
                let detail = format!("came with checksum {crc:08x}, not {:08x}", entry.crc32c);
                return Err(Error::corrupt(&path, detail));
            }
            to.sync("storage.restore").map_err(Error::disk("sync", &path))?;
            done.files_written += 1;
            done.bytes_written += entry.bytes;
            next.files.push(entry.clone());
        }
        snapshot.finish(number, manifest.watermark, next)?;
        Ok(done)
    }
}
