//! Reads what is added to one file, through rotation and truncation.

use std::fs::{File, Metadata};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::split::Splitter;

/// Bytes read at once.
const CHUNK: usize = 64 << 10;

/// How far a file was read: of which file, since names move on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The file's number on its device, and the device.
    pub file: (u64, u64),
    /// Bytes read, up to the end of the last whole line.
    pub offset: u64,
}

/// Follows one path. Blocks on the disk; not for an async thread.
///
/// A file that was moved away is read to its end before its successor is begun. One that was cut short is read from its beginning.
/// A file cut short and grown beyond what was read between two looks cannot be told from one that grew.
#[derive(Debug)]
pub struct Follower {
    path: PathBuf,
    open: Option<Open>,
    splitter: Splitter,
    /// Where to go on, or to begin, in the first file.
    begin: Option<Position>,
    from_end: bool,
}

#[derive(Debug)]
struct Open {
    file: File,
    id: (u64, u64),
    offset: u64,
}

impl Follower {
    /// Follows `path`: from `known` on when it is that file still, else from its beginning, or with `from_end` from its end.
    #[must_use]
    pub fn new(path: &Path, max_line: usize, known: Option<Position>, from_end: bool) -> Self {
        Self { path: path.to_owned(), open: None, splitter: Splitter::new(max_line), begin: known, from_end }
    }

    /// Hands out the lines that were added, after reading at most about `budget` bytes; what was read.
    ///
    /// # Errors
    /// The file cannot be read; a file that is not there is no error, but what was read of it is.
    pub fn poll(&mut self, budget: usize, mut line: impl FnMut(&str)) -> std::io::Result<usize> {
        let mut read = 0;
        let mut buffer = vec![0; CHUNK.min(budget.max(1))];
        // Two files at most: the one that was moved away, and its successor.
        for _ in 0..2 {
            let now = match std::fs::metadata(&self.path) {
                Ok(now) => Some(now),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
                Err(error) => return Err(error),
            };
            if self.open.is_none() {
                let Some(now) = &now else { return Ok(read) };
                self.begin(now)?;
            }
            let Some(open) = &mut self.open else { return Ok(read) };
            if open.file.metadata()?.len() < open.offset {
                // Cut short: what was begun will not be ended.
                self.splitter.finish(&mut line);
                open.offset = 0;
            }
            open.file.seek(SeekFrom::Start(open.offset))?;
            loop {
                if read >= budget {
                    return Ok(read);
                }
                let count = open.file.read(&mut buffer)?;
                if count == 0 {
                    break;
                }
                self.splitter.push(&buffer[..count], &mut line);
                open.offset += count as u64;
                read += count;
            }
            if now.as_ref().map(id) == Some(open.id) {
                return Ok(read);
            }
            // The name is another file's now, or nobody's; this one is read to its end.
            self.splitter.finish(&mut line);
            self.open = None;
            (self.begin, self.from_end) = (None, false);
        }
        Ok(read)
    }

    /// Where to go on after a restart.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        let open = self.open.as_ref()?;
        let whole = open.offset.saturating_sub(self.splitter.pending() as u64);
        Some(Position { file: open.id, offset: whole })
    }

    /// Lines that were cut.
    #[must_use]
    pub fn cut(&self) -> u64 {
        self.splitter.cut
    }

    fn begin(&mut self, now: &Metadata) -> std::io::Result<()> {
        let file = File::open(&self.path)?;
        let opened = file.metadata()?;
        let id = id(&opened);
        let offset = match self.begin.take() {
            Some(known) if known.file == id && known.offset <= opened.len() => known.offset,
            // Another file stands there than the one that was read: all of it is new.
            Some(_) => 0,
            None if self.from_end => now.len(),
            None => 0,
        };
        self.open = Some(Open { file, id, offset });
        Ok(())
    }
}

#[cfg(unix)]
fn id(file: &Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt as _;
    (file.ino(), file.dev())
}

#[cfg(not(unix))]
fn id(_: &Metadata) -> (u64, u64) {
    (0, 0)
}
