//! The disk as a trait: the few calls that durability is made of, and the real one.

use std::{
    fmt,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, IoSlice, Read, Write},
    os::unix::fs::FileExt,
    path::Path,
};

/// What stands in a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The name, without the directory. Names that are not UTF-8 are not listed.
    pub name: String,
    /// What it is; a link is not followed.
    pub kind: EntryKind,
}

/// The kind of a directory entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A symbolic link.
    Link,
}

/// A file that only grows.
pub trait AppendFile: Send {
    /// Adds bytes at the end. After an error, any part of them may have been written.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Adds several pieces as `append` would their concatenation, which is also how it is done unless a disk knows better.
    fn append_parts(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        self.append(&parts.concat())
    }
    /// Makes all bytes and the length durable. `site` names the place in the code, for simulated disks.
    fn sync(&mut self, site: &'static str) -> io::Result<()>;
}

/// A file that is read at any offset.
pub trait ReadFile: Send + Sync {
    /// Length in bytes when opened.
    fn size(&self) -> u64;
    /// Fills `buf` from `offset`, or fails with `UnexpectedEof`.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()>;
}

/// A lock held until dropped.
pub trait Lock: Send + Sync {}

/// The calls that durability is made of. Every name is a full path.
///
/// The contract is that of POSIX and no more: a write is durable after `sync` of its file, a name after `sync_dir` of its
/// directory, and nothing else orders one before the other.
pub trait Disk: fmt::Debug + Send + Sync {
    /// Creates a file that must not exist yet.
    fn create(&self, path: &Path) -> io::Result<Box<dyn AppendFile>>;
    /// Opens a file to read; links are followed.
    fn open(&self, path: &Path) -> io::Result<Box<dyn ReadFile>>;
    /// Renames, replacing what stood at `to`; atomic for every reader.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file or a link.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Creates a directory whose parent exists.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// Removes an empty directory.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;
    /// Gives the file `existing` a second name.
    fn link(&self, existing: &Path, new: &Path) -> io::Result<()>;
    /// Creates a symbolic link that holds `target`.
    fn symlink(&self, target: &Path, link: &Path) -> io::Result<()>;
    /// What a symbolic link holds.
    fn read_link(&self, link: &Path) -> io::Result<std::path::PathBuf>;
    /// What stands in a directory, by name.
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>>;
    /// Makes the names in a directory durable. `site` names the place in the code, for simulated disks.
    fn sync_dir(&self, dir: &Path, site: &'static str) -> io::Result<()>;
    /// Takes the one lock of `path`, which ends with its holder. Fails with `WouldBlock` and the holder's text when
    /// another has it; a file left by a dead process does not count.
    fn lock(&self, path: &Path, holder: &str) -> io::Result<Box<dyn Lock>>;

    /// The whole of a file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let file = self.open(path)?;
        let size = usize::try_from(file.size()).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
        let mut bytes = vec![0; size];
        file.read_at(&mut bytes, 0)?;
        Ok(bytes)
    }
}

/// The operating system's disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsDisk;

impl Disk for OsDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn AppendFile>> {
        Ok(Box::new(OsAppend(OpenOptions::new().append(true).create_new(true).open(path)?)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn ReadFile>> {
        let file = File::open(path)?;
        let size = file.metadata()?.len();
        Ok(Box::new(OsRead { file, size }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn link(&self, existing: &Path, new: &Path) -> io::Result<()> {
        fs::hard_link(existing, new)
    }

    fn symlink(&self, target: &Path, link: &Path) -> io::Result<()> {
        std::os::unix::fs::symlink(target, link)
    }

    fn read_link(&self, link: &Path) -> io::Result<std::path::PathBuf> {
        fs::read_link(link)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            let kind = match () {
                () if kind.is_dir() => EntryKind::Dir,
                () if kind.is_symlink() => EntryKind::Link,
                () => EntryKind::File,
            };
            if let Ok(name) = entry.file_name().into_string() {
                entries.push(Entry { name, kind });
            }
        }
        entries.sort();
        Ok(entries)
    }

    fn sync_dir(&self, dir: &Path, _site: &'static str) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn lock(&self, path: &Path, holder: &str) -> io::Result<Box<dyn Lock>> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                (&mut file).take(256).read_to_string(&mut text)?;
                return Err(io::Error::new(io::ErrorKind::WouldBlock, text.trim().to_owned()));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        file.set_len(0)?;
        file.write_all(holder.as_bytes())?;
        Ok(Box::new(OsLock { _file: file }))
    }
}

struct OsAppend(File);

impl AppendFile for OsAppend {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn append_parts(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        let mut slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
        let mut left = &mut slices[..];
        // Empty pieces first: a write of nothing is no sign of a full disk.
        IoSlice::advance_slices(&mut left, 0);
        while !left.is_empty() {
            match self.0.write_vectored(left) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => IoSlice::advance_slices(&mut left, written),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn sync(&mut self, _site: &'static str) -> io::Result<()> {
        // fdatasync: the length is part of what it must make durable, times are not needed.
        self.0.sync_data()
    }
}

struct OsRead {
    file: File,
    size: u64,
}

impl ReadFile for OsRead {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buf, offset)
    }
}

/// The kernel ends a lock with the descriptor, so a dead holder never blocks anyone.
struct OsLock {
    _file: File,
}

impl Lock for OsLock {}
