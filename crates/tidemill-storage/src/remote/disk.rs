//! A bucket seen as a disk that only reads: so everything that reads a store reads a bucket, and there is no second reader.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use tidemill_journal::{AppendFile, Disk, Entry, EntryKind, Lock, ReadFile};

use super::{
    bucket::Bucket,
    manifest::{MAX_BYTES, RemoteManifest},
    push::manifest_path,
};
use crate::{Error, layout::Layout};

/// The manifests of one moment, laid out as a store's folder under `/`.
#[derive(Debug)]
pub(super) struct RemoteDisk {
    bucket: Arc<Bucket>,
    nodes: BTreeMap<PathBuf, Node>,
}

#[derive(Debug)]
enum Node {
    Dir,
    Link(PathBuf),
    Text(Bytes),
    Object { key: String, bytes: u64 },
}

impl RemoteDisk {
    /// Reads every table's manifest.
    pub(super) fn load(bucket: &Arc<Bucket>) -> Result<Self, Error> {
        let mut disk = Self { bucket: bucket.clone(), nodes: BTreeMap::new() };
        let layout = Layout::new(Path::new("/"));
        for dir in [layout.links(), layout.journal()] {
            disk.add(dir, Node::Dir);
        }
        for table in bucket.block(bucket.folders())? {
            let path = manifest_path(&table);
            let Some((bytes, _)) = bucket.block(bucket.get(&path, MAX_BYTES))? else { continue };
            let found = RemoteManifest::from_bytes(&bytes, &table, &format!("{}/{path}", bucket.place))?;
            let number = found.manifest.snapshot;
            let text = serde_json::to_vec(&found.manifest).unwrap_or_default();
            disk.add(layout.manifest(&table, number), Node::Text(text.into()));
            disk.add(layout.snapshot(&table, number), Node::Dir);
            let target = format!("../snapshots/{table}/{number:06}");
            disk.add(layout.link(&table), Node::Link(target.into()));
            for file in &found.manifest.files {
                let key = found.keys.get(&file.path).map(|key| format!("{table}/{key}"));
                let node = Node::Object { key: key.unwrap_or_default(), bytes: file.bytes };
                disk.add(layout.snapshot(&table, number).join(&file.path), node);
            }
        }
        Ok(disk)
    }

    fn add(&mut self, path: PathBuf, node: Node) {
        for above in path.ancestors().skip(1) {
            self.nodes.entry(above.to_owned()).or_insert(Node::Dir);
        }
        self.nodes.insert(path, node);
    }
}

fn read_only<T>() -> io::Result<T> {
    Err(io::ErrorKind::ReadOnlyFilesystem.into())
}

impl Disk for RemoteDisk {
    fn open(&self, path: &Path) -> io::Result<Box<dyn ReadFile>> {
        match self.nodes.get(path) {
            Some(Node::Text(text)) => Ok(Box::new(Text(text.clone()))),
            Some(Node::Object { key, bytes }) => Ok(Box::new(Object {
                bucket: self.bucket.clone(),
                key: key.clone(),
                size: *bytes,
                blocks: Mutex::default(),
            })),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn read_link(&self, link: &Path) -> io::Result<PathBuf> {
        match self.nodes.get(link) {
            Some(Node::Link(target)) => Ok(target.clone()),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        match self.nodes.get(dir) {
            Some(Node::Dir) => {}
            _ => return Err(io::ErrorKind::NotFound.into()),
        }
        let below = self.nodes.range(dir.to_owned()..).take_while(|(path, _)| path.starts_with(dir));
        let direct = below.filter(|(path, _)| path.parent() == Some(dir));
        let entry = |(path, node): (&PathBuf, &Node)| {
            let kind = match node {
                Node::Dir => EntryKind::Dir,
                Node::Link(_) => EntryKind::Link,
                Node::Text(_) | Node::Object { .. } => EntryKind::File,
            };
            Some(Entry { name: path.file_name()?.to_str()?.to_owned(), kind })
        };
        Ok(direct.filter_map(entry).collect())
    }

    fn create(&self, _path: &Path) -> io::Result<Box<dyn AppendFile>> {
        read_only()
    }

    fn rename(&self, _from: &Path, _to: &Path) -> io::Result<()> {
        read_only()
    }

    fn remove(&self, _path: &Path) -> io::Result<()> {
        read_only()
    }

    fn create_dir(&self, _path: &Path) -> io::Result<()> {
        read_only()
    }

    fn remove_dir(&self, _path: &Path) -> io::Result<()> {
        read_only()
    }

    fn link(&self, _existing: &Path, _new: &Path) -> io::Result<()> {
        read_only()
    }

    fn symlink(&self, _target: &Path, _link: &Path) -> io::Result<()> {
        read_only()
    }

    fn sync_dir(&self, _dir: &Path, _site: &'static str) -> io::Result<()> {
        read_only()
    }

    fn lock(&self, _path: &Path, _holder: &str) -> io::Result<Box<dyn Lock>> {
        read_only()
    }
}

struct Text(Bytes);

impl ReadFile for Text {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let end = from.checked_add(buf.len());
        let found = end.and_then(|end| self.0.get(from..end)).ok_or(io::ErrorKind::UnexpectedEof)?;
        buf.copy_from_slice(found);
        Ok(())
    }
}

/// An object in blocks, those asked for last kept: the decoder asks for many small pieces.
struct Object {
    bucket: Arc<Bucket>,
    key: String,
    size: u64,
    /// By number, the newest in front.
    blocks: Mutex<VecDeque<(u64, Bytes)>>,
}

impl Object {
    fn block(&self, number: u64) -> io::Result<Bytes> {
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = blocks.iter().position(|(found, _)| *found == number)
            && let Some(found) = blocks.remove(at)
        {
            let bytes = found.1.clone();
            blocks.push_front(found);
            return Ok(bytes);
        }
        let config = &self.bucket.config;
        let start = number * config.block_bytes;
        let range = start..self.size.min(start + config.block_bytes);
        let wanted = range.end - range.start;
        let bytes = self.bucket.block(self.bucket.get_range(&self.key, range)).map_err(io::Error::other)?;
        if bytes.len() as u64 != wanted {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        blocks.push_front((number, bytes.clone()));
        blocks.truncate(config.blocks);
        Ok(bytes)
    }
}

impl ReadFile for Object {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        if offset.checked_add(buf.len() as u64).is_none_or(|end| end > self.size) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let (mut done, block_bytes) = (0, self.bucket.config.block_bytes);
        while done < buf.len() {
            let at = offset + done as u64;
            let block = self.block(at / block_bytes)?;
            let from = (at % block_bytes) as usize;
            let len = (block.len() - from).min(buf.len() - done);
            buf[done..done + len].copy_from_slice(&block[from..from + len]);
            done += len;
        }
        Ok(())
    }
}
