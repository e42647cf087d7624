//! Files that are read again and again: kept open where that is cheap, and never more than 1 MiB of any.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::book::Book;

/// The most that is read of any file.
const LONGEST: usize = 1 << 20;

/// A file by its path, open or not.
#[derive(Debug)]
pub(super) struct Kept {
    path: PathBuf,
    file: Option<File>,
    keep: bool,
}

/// A buffer that every file is read into.
#[derive(Debug, Default)]
pub(super) struct Text(Vec<u8>);

impl Kept {
    /// One that stays open.
    pub(super) fn open(path: PathBuf) -> Self {
        Self { path, file: None, keep: true }
    }

    /// One that stays open if `keep`.
    pub(super) fn new(path: PathBuf, keep: bool) -> Self {
        Self { path, file: None, keep }
    }
}

impl Text {
    /// The whole of a file that the kernel makes in pieces, as those below /proc.
    pub(super) fn whole(&mut self, kept: &mut Kept, book: &mut Book) -> Option<&str> {
        self.read(kept, true, book)
    }

    /// A file that the kernel gives in one piece, as those below /sys; without the space around it.
    pub(super) fn line(&mut self, kept: &mut Kept, book: &mut Book) -> Option<&str> {
        self.read(kept, false, book).map(str::trim)
    }

    /// The whole of a file that is not kept open.
    pub(super) fn at(&mut self, path: &Path, book: &mut Book) -> Option<&str> {
        self.whole(&mut Kept::new(path.to_owned(), false), book).map(str::trim)
    }

    fn read(&mut self, kept: &mut Kept, whole: bool, book: &mut Book) -> Option<&str> {
        let length = match self.bytes(kept, whole) {
            Ok(length) => length,
            Err(error) if is_absence(&error) => return None,
            Err(_) => {
                book.unreadable();
                return None;
            }
        };
        if length >= LONGEST {
            book.beyond();
            return None;
        }
        let text = std::str::from_utf8(&self.0[..length]).ok();
        if text.is_none() {
            book.odd();
        }
        text
    }

    fn bytes(&mut self, kept: &mut Kept, whole: bool) -> io::Result<usize> {
        let file = match kept.file.take() {
            Some(file) => file,
            None => File::open(&kept.path)?,
        };
        let mut length = 0;
        loop {
            if self.0.len() < length + 4096 {
                self.0.resize((length + 4096).next_power_of_two().min(LONGEST + 4096), 0);
            }
            match file.read_at(&mut self.0[length..], length as u64) {
                Ok(read) => {
                    length += read;
                    if read == 0 || !whole || length >= LONGEST {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    // A link that is down has no speed; the file is as good as before.
                    if kept.keep && error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) {
                        kept.file = Some(file);
                    }
                    return Err(error);
                }
            }
        }
        if kept.keep {
            kept.file = Some(file);
        }
        Ok(length)
    }
}

/// Names in a folder, in order; those that are not UTF-8 are no devices. Beyond `most` they are counted and left out.
pub(super) fn names(
    folder: &Path,
    most: usize,
    book: &mut Book,
    wanted: impl Fn(&str) -> bool,
) -> Vec<String> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => {
            if !is_absence(&error) {
                book.unreadable();
            }
            return Vec::new();
        }
    };
    let mut names = Vec::new();
    for entry in entries.flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        if !wanted(&name) {
            continue;
        }
        if names.len() == most {
            book.beyond();
            break;
        }
        names.push(name);
    }
    names.sort_unstable();
    names
}

/// Whether the kernel says that there is no such thing here, or that it has no value now.
fn is_absence(error: &io::Error) -> bool {
    const ABSENT: [Errno; 7] = [
        Errno::NOENT,
        Errno::NOTDIR,
        Errno::NODEV,
        Errno::NXIO,
        Errno::INVAL,
        Errno::OPNOTSUPP,
        Errno::NODATA,
    ];
    error.raw_os_error().is_some_and(|code| ABSENT.iter().any(|errno| errno.raw_os_error() == code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_no_failure_and_what_is_odd_is_counted() {
        let (mut text, mut book) = (Text::default(), Book::new(10));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("value");
        let mut kept = Kept::open(path.clone());
        assert_eq!(text.line(&mut kept, &mut book), None);
        std::fs::write(&path, " 17 \n").unwrap();
        assert_eq!(text.line(&mut kept, &mut book), Some("17"), "it came later");
        std::fs::write(&path, "18\n").unwrap();
        assert_eq!(text.whole(&mut kept, &mut book), Some("18\n"), "the open file, from its beginning");
        assert_eq!((book.stats().unreadable, book.stats().odd), (0, 0));
        std::fs::write(&path, [0xff, 0xfe]).unwrap();
        assert_eq!(text.line(&mut kept, &mut book), None);
        std::fs::write(&path, vec![b'1'; LONGEST + 5]).unwrap();
        assert_eq!(text.whole(&mut kept, &mut book), None);
        assert_eq!(text.at(dir.path(), &mut book), None, "a folder");
        assert_eq!((book.stats().odd, book.stats().beyond, book.stats().unreadable), (1, 1, 1));
        assert!(names(&dir.path().join("none"), 5, &mut book, |_| true).is_empty());
    }
}
