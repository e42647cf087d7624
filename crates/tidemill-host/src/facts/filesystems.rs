//! File systems: size and room of those that are local.

use std::path::{Path, PathBuf};

use super::about::Family;
use super::book::Book;
use super::files::{Kept, Text};
use crate::procfs;

const FAMILIES: [Family; 7] = [
    Family::gauge("node_filesystem_avail_bytes", "Bytes that a program without privileges can write."),
    Family::gauge("node_filesystem_device_error", "Whether a file system did not tell its size."),
    Family::gauge("node_filesystem_files", "Files that a file system can hold."),
    Family::gauge("node_filesystem_files_free", "Files that there is room for."),
    Family::gauge("node_filesystem_free_bytes", "Bytes that are free."),
    Family::gauge("node_filesystem_readonly", "Whether a file system is mounted for reading only."),
    Family::gauge("node_filesystem_size_bytes", "Bytes that a file system can hold."),
];

/// The mounts of the first process, which are the machine's, and where they are asked.
#[derive(Debug)]
pub(super) struct Filesystems {
    root: PathBuf,
    mounts: [Kept; 2],
    max: usize,
    lines: Vec<Mounted>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Mounted {
    device: String,
    path: String,
    kind: String,
    reads_only: bool,
}

impl Filesystems {
    pub(super) fn new(root: &Path, max: usize) -> Self {
        // Where the first process is not to be looked at, ours will do. What is mounted belongs to whoever opened the
        // file, so that it is opened anew.
        let mounts = ["proc/1/mounts", "proc/self/mounts"].map(|path| Kept::new(root.join(path), false));
        Self { root: root.to_owned(), mounts, max, lines: Vec::new() }
    }

    pub(super) fn tell(&mut self, text: &mut Text, book: &mut Book) {
        self.lines.clear();
        for file in &mut self.mounts {
            if let Some(text) = text.whole(file, book) {
                self.lines.extend(mounted(text));
                break;
            }
        }
        // Of several on one path the last is the one that is seen.
        let mut seen = std::collections::HashSet::new();
        let seen = self.lines.iter().rev().filter(|line| seen.insert(&line.path));
        for (asked, line) in seen.enumerate() {
            if asked >= self.max {
                book.beyond();
                break;
            }
            let path = self.root.join(line.path.trim_start_matches('/'));
            let stat = rustix::fs::statfs(&path);
            let labels = [("device", &*line.device), ("fstype", &*line.kind), ("mountpoint", &*line.path)];
            let mut tell = |at: usize, value: f64| book.tell(&FAMILIES[at], &labels, value);
            if let Ok(stat) = &stat {
                let block = stat.f_bsize as f64;
                tell(0, stat.f_bavail as f64 * block);
                tell(2, stat.f_files as f64);
                tell(3, stat.f_ffree as f64);
                tell(4, stat.f_bfree as f64 * block);
                tell(6, stat.f_blocks as f64 * block);
            }
            tell(1, f64::from(u8::from(stat.is_err())));
            tell(5, f64::from(u8::from(line.reads_only)));
        }
    }
}

/// The local ones that people fill, of a text as fstab(5) has it.
fn mounted(text: &str) -> impl Iterator<Item = Mounted> {
    text.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let (device, path, kind, options) = (words.next()?, words.next()?, words.next()?, words.next()?);
        let path = String::from_utf8(procfs::unescape(path)).ok()?;
        // An overlay is a view of another that is listed already.
        let is_told = procfs::is_local(kind) && kind != "overlay" && !is_apart(&path);
        is_told.then(|| Mounted {
            device: String::from_utf8_lossy(&procfs::unescape(device)).into_owned(),
            path,
            kind: kind.to_owned(),
            reads_only: options.split(',').any(|option| option == "ro"),
        })
    })
}

/// Where the kernel, the system or an engine of containers has its own, and what is mounted for a while.
fn is_apart(path: &str) -> bool {
    const ALL: [&str; 6] = ["/dev", "/proc", "/run", "/sys", "/mnt", "/media"];
    const BELOW: [&str; 2] = ["/var/lib/docker/", "/var/lib/containers/storage/"];
    let inside =
        |folder: &str| path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    ALL.into_iter().any(inside) || BELOW.into_iter().any(|folder| path.starts_with(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_far_or_apart_is_never_asked() {
        let text = "/dev/sda1 / ext4 ro,relatime 0 0\nserver:/x /home nfs4 rw 0 0\n/dev/sdb /data\\040disk xfs rw 0 0\n\
                    tmpfs /run/user/0 tmpfs rw 0 0\noverlay /x overlay rw 0 0\nproc /proc proc rw 0 0\nshort\n";
        let all: Vec<Mounted> = mounted(text).collect();
        let paths: Vec<(&str, bool)> = all.iter().map(|one| (&*one.path, one.reads_only)).collect();
        assert_eq!(paths, [("/", true), ("/data disk", false)]);
        assert!(
            !is_apart("/runner")
                && is_apart("/mnt")
                && is_apart("/var/lib/docker/a")
                && !is_apart("/var/lib/docker")
        );
    }
}
