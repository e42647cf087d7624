//! Files: written at an offset, read at one without waiting where the page cache has it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use super::log::{Job, SegmentFile};

/// What a read that must not wait found.
pub(super) enum Quick {
    Bytes(Vec<u8>),
    /// It would have to wait for the disk.
    Waits,
}

impl SegmentFile {
    /// Its file, made when there is none.
    fn open(&self) -> io::Result<&File> {
        if let Some(file) = self.file.get() {
            return Ok(file);
        }
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&self.path)?;
        Ok(self.file.get_or_init(|| file))
    }

    fn there(&self) -> io::Result<&File> {
        self.file.get().ok_or_else(|| io::Error::other("the segment has no file yet"))
    }

    /// From the page cache alone.
    pub(super) fn read_quick(&self, at: u64, len: usize) -> io::Result<Quick> {
        #[cfg(target_os = "linux")]
        {
            use rustix::io::{Errno, ReadWriteFlags, preadv2};
            let mut bytes = vec![0; len];
            let slices = &mut [io::IoSliceMut::new(&mut bytes)];
            match preadv2(self.there()?, slices, at, ReadWriteFlags::NOWAIT) {
                Ok(read) if read == len => Ok(Quick::Bytes(bytes)),
                // A part of it, or a file system that cannot tell.
                Ok(_) | Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INTR) => Ok(Quick::Waits),
                Err(error) => Err(error.into()),
            }
        }
        #[cfg(not(target_os = "linux"))]
        Ok(Quick::Waits)
    }

    /// However long it takes.
    pub(super) fn read(&self, at: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        self.there()?.read_exact_at(&mut bytes, at)?;
        Ok(bytes)
    }

    /// What is written of its first bytes; nothing when it has no file yet.
    pub(super) fn read_head(&self, len: usize) -> io::Result<Vec<u8>> {
        let Some(file) = self.file.get() else { return Ok(Vec::new()) };
        let mut bytes = vec![0; len];
        let mut read = 0;
        while read < len {
            match file.read_at(&mut bytes[read..], read as u64) {
                Ok(0) => break,
                Ok(more) => read += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        bytes.truncate(read);
        Ok(bytes)
    }

    /// Makes what was written last.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.get().map_or(Ok(()), File::sync_data)
    }
}

impl Job {
    pub(super) fn run(&self) -> io::Result<()> {
        match self {
            Self::Write { file, at, bytes, .. } => file.open()?.write_all_at(bytes, *at),
            Self::Unlink(file) => unlink(file),
        }
    }
}

/// A file that cannot be removed is emptied: its values must not come back.
fn unlink(file: &Arc<SegmentFile>) -> io::Result<()> {
    match std::fs::remove_file(&file.path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(_) => file.open()?.set_len(0),
    }
}
