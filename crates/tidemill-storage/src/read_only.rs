//! Reading what is published while a writer may go on, and knowing how old it is.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use tidemill_journal::{Disk, EntryKind, OsDisk};

use crate::{
    Batches, ColumnReport, Error, Scan, layout::Layout, manifest::Manifest, published::Published,
    table::Table,
};

/// The snapshots that stood when it was opened. A writer keeps them for its `reader_grace`; open again before that ends. Parsed footers
/// are kept for the next scan, 16 MiB at most.
#[derive(Debug)]
pub struct ReadOnly {
    disk: Arc<dyn Disk>,
    tables: BTreeMap<String, (Arc<Table>, Arc<Published>)>,
}

impl ReadOnly {
    /// Opens every published table of the store in `dir`.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        Self::open_on(Arc::new(OsDisk), dir)
    }

    /// The same on another disk.
    pub fn open_on(disk: Arc<dyn Disk>, dir: &Path) -> Result<Self, Error> {
        let layout = Layout::new(dir);
        let (kept, mut tables) = (Arc::default(), BTreeMap::new());
        for name in published_tables(&*disk, &layout)? {
            let Some(number) = layout.current(&*disk, &name)? else { continue };
            let manifest = Manifest::read(&*disk, &layout, &name, number)?;
            let table = Table::bind(&manifest.spec(&layout.manifest(&name, number))?)?;
            tables.insert(name, (Arc::new(table), Arc::new(Published::new(manifest, &layout, &kept)?)));
        }
        Ok(Self { disk, tables })
    }

    /// The published tables, by name.
    pub fn tables(&self) -> impl Iterator<Item = &str> {
        self.tables.keys().map(String::as_str)
    }

    /// The columns of a table.
    pub fn schema(&self, table: &str) -> Result<SchemaRef, Error> {
        Ok(self.find(table)?.0.schema.clone())
    }

    /// Rows of a table.
    pub fn rows(&self, table: &str) -> Result<u64, Error> {
        Ok(self.find(table)?.1.manifest.rows())
    }

    /// The number of the snapshot.
    pub fn snapshot(&self, table: &str) -> Result<u64, Error> {
        Ok(self.find(table)?.1.manifest.snapshot)
    }

    /// When the snapshot was published.
    pub fn published_at(&self, table: &str) -> Result<SystemTime, Error> {
        Ok(self.find(table)?.1.manifest.published_at())
    }

    /// How old the snapshot is. What was committed since is not in it.
    pub fn staleness(&self, table: &str, now: SystemTime) -> Result<Duration, Error> {
        Ok(now.duration_since(self.published_at(table)?).unwrap_or_default())
    }

    /// Reads a table.
    pub fn scan(&self, table: &str, scan: &Scan) -> Result<Batches, Error> {
        let (bound, published) = self.find(table)?;
        Batches::new(self.disk.clone(), bound.clone(), Some(published.clone()), BTreeMap::new(), scan)
    }

    /// The last `n` rows of one series, oldest first; `series` gives the key columns but the last, which must be text.
    pub fn latest(&self, table: &str, series: &[&str], n: usize) -> Result<Vec<RecordBatch>, Error> {
        self.scan(table, &Scan::new().prefix(series.iter().copied()))?.last(n)
    }

    /// How each column of a table stands on disk: encoding, compression, bytes before and after.
    pub fn columns(&self, table: &str) -> Result<Vec<ColumnReport>, Error> {
        let (bound, published) = self.find(table)?;
        let mut out: Vec<ColumnReport> = Vec::new();
        for at in 0..published.files.len() {
            published.open(&*self.disk, at)?.report(bound, &mut out)?;
        }
        Ok(out)
    }

    /// Files whose checksum is not compared when they are opened.
    #[cfg(feature = "s3")]
    pub(crate) fn believe(&self, which: impl Fn(&crate::manifest::FileEntry) -> bool) {
        for (_, published) in self.tables.values() {
            let files = published.manifest.files.iter().filter(|file| which(file));
            files.for_each(|file| published.mark_checked(&file.path));
        }
    }

    fn find(&self, table: &str) -> Result<&(Arc<Table>, Arc<Published>), Error> {
        self.tables.get(table).ok_or_else(|| Error::input(table, "is not published"))
    }
}

pub(crate) fn published_tables(disk: &dyn Disk, layout: &Layout) -> Result<Vec<String>, Error> {
    let entries = disk.list(&layout.links()).map_err(Error::disk("list", &layout.links()))?;
    let links = entries.into_iter().filter(|e| e.kind == EntryKind::Link && !e.name.starts_with('.'));
    Ok(links.map(|entry| entry.name).collect())
}
