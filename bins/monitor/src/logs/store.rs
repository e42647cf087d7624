//! Lines that are kept: the newest in memory, the others in files of JSON lines, both bounded.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::config::Config;
use super::entry::Entry;
use super::level::Level;
use super::search::{Found, Query};

/// Files on disk when the bound is reached: one leaves at a time.
const FILES: u64 = 32;

/// Keeps lines. Blocks on the disk.
#[derive(Debug)]
pub struct Store {
    recent: VecDeque<Entry>,
    recent_bytes: usize,
    folder: Option<PathBuf>,
    files: VecDeque<Segment>,
    config: Config,
    next: u64,
}

#[derive(Debug)]
struct Segment {
    path: PathBuf,
    bytes: u64,
    /// The first number in it.
    first: u64,
    /// When something was added last, in milliseconds since 1970.
    written_ms: i64,
}

/// A line on disk.
#[derive(Debug, Serialize, Deserialize)]
struct Stored<'a> {
    n: u64,
    t: i64,
    l: Level,
    #[serde(borrow)]
    s: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    m: std::borrow::Cow<'a, str>,
}

impl Store {
    /// Goes on with what stands in `folder`; without a folder, or with `disk_bytes = 0`, everything is in memory.
    ///
    /// # Errors
    /// The folder cannot be made or read.
    pub fn open(folder: Option<&Path>, config: &Config) -> std::io::Result<Self> {
        let folder = folder.filter(|_| config.disk_bytes > 0).map(Path::to_owned);
        let mut store = Self {
            recent: VecDeque::new(),
            recent_bytes: 0,
            folder,
            files: VecDeque::new(),
            config: config.clone(),
            next: 1,
        };
        let Some(folder) = &store.folder else { return Ok(store) };
        std::fs::create_dir_all(folder)?;
        let mut files = Vec::new();
        for file in std::fs::read_dir(folder)? {
            let file = file?;
            let name = file.file_name();
            let first = name.to_str().and_then(|name| name.strip_suffix(".jsonl")?.parse().ok());
            let Some(first) = first else { continue };
            let of = file.metadata()?;
            let written = of.modified().ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
            let written_ms = written.and_then(|at| i64::try_from(at.as_millis()).ok()).unwrap_or(0);
            files.push(Segment { path: file.path(), bytes: of.len(), first, written_ms });
        }
        files.sort_by_key(|file| file.first);
        if let Some(last) = files.last() {
            let mut count = 0;
            for line in BufReader::new(File::open(&last.path)?).split(b'\n') {
                line?;
                count += 1;
            }
            store.next = last.first + count;
        }
        store.files = files.into();
        // What an earlier end cut short stays a line of its own, which no search understands.
        if let Some(last) = store.files.back_mut().filter(|last| last.bytes > 0) {
            let mut file = OpenOptions::new().append(true).open(&last.path)?;
            file.write_all(b"\n")?;
            (last.bytes, store.next) = (last.bytes + 1, store.next + 1);
        }
        Ok(store)
    }

    /// The number of the next line.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Keeps lines that were numbered from [`next`](Self::next) on.
    ///
    /// # Errors
    /// The disk's; in memory they are kept all the same.
    pub fn add(&mut self, now_ms: i64, entries: Vec<Entry>) -> std::io::Result<()> {
        let written = self.write(now_ms, &entries);
        for entry in entries {
            self.next = self.next.max(entry.seq + 1);
            self.recent_bytes += size(&entry);
            self.recent.push_back(entry);
        }
        while self.recent.len() > self.config.memory_lines || self.recent_bytes > self.config.memory_bytes {
            let Some(oldest) = self.recent.pop_front() else { break };
            self.recent_bytes -= size(&oldest);
        }
        written
    }

    /// Looks for lines, the newest first.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn search(&self, query: &Query) -> std::io::Result<Found> {
        let mut found = Found::default();
        for entry in self.recent.iter().rev() {
            found.looked_at += 1;
            let Entry { at_ms, level, source, text, .. } = entry;
            if query.wants(*at_ms, *level, source, text) && !found.take(query, entry) {
                return Ok(found);
            }
        }
        let oldest = self.recent.front().map_or(self.next, |entry| entry.seq);
        let mut budget = self.config.max_search;
        for segment in self.files.iter().rev().filter(|segment| segment.first < oldest) {
            if segment.bytes > budget {
                found.more = true;
                break;
            }
            budget -= segment.bytes;
            let mut text = Vec::new();
            File::open(&segment.path)?.take(segment.bytes).read_to_end(&mut text)?;
            for line in text.rsplit(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                let Ok(Stored { n, t, l, s, m }) = serde_json::from_slice(line) else { continue };
                if n >= oldest {
                    continue;
                }
                found.looked_at += 1;
                if query.wants(t, l, &s, &m) {
                    let entry =
                        Entry { seq: n, at_ms: t, level: l, source: Arc::from(&*s), text: m.into_owned() };
                    if !found.take(query, &entry) {
                        return Ok(found);
                    }
                }
            }
        }
        Ok(found)
    }

    /// Bytes in memory and on disk.
    #[must_use]
    pub fn bytes(&self) -> (usize, u64) {
        (self.recent_bytes, self.files.iter().map(|file| file.bytes).sum())
    }

    fn write(&mut self, now_ms: i64, entries: &[Entry]) -> std::io::Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let Some(first) = entries.first() else { return Ok(()) };
        let mut lines = Vec::new();
        for entry in entries {
            let stored = Stored {
                n: entry.seq,
                t: entry.at_ms,
                l: entry.level,
                s: (&*entry.source).into(),
                m: entry.text.as_str().into(),
            };
            serde_json::to_writer(&mut lines, &stored)?;
            lines.push(b'\n');
        }
        let whole = (self.config.disk_bytes / FILES).max(1);
        if self.files.back().is_none_or(|file| file.bytes >= whole) {
            let path = folder.join(format!("{:020}.jsonl", first.seq));
            self.files.push_back(Segment { path, bytes: 0, first: first.seq, written_ms: now_ms });
        }
        if let Some(file) = self.files.back_mut() {
            OpenOptions::new().create(true).append(true).open(&file.path)?.write_all(&lines)?;
            (file.bytes, file.written_ms) = (file.bytes + lines.len() as u64, now_ms);
        }
        let keep_ms = i64::try_from(self.config.retention.as_millis()).unwrap_or(i64::MAX);
        let mut total: u64 = self.files.iter().map(|file| file.bytes).sum();
        while let Some(oldest) = self.files.front() {
            let old = now_ms.saturating_sub(oldest.written_ms) > keep_ms;
            if !(old || total > self.config.disk_bytes) {
                break;
            }
            match std::fs::remove_file(&oldest.path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            total -= oldest.bytes;
            self.files.pop_front();
        }
        Ok(())
    }
}

fn size(entry: &Entry) -> usize {
    entry.text.len() + std::mem::size_of::<Entry>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(seq: u64, at_ms: i64, text: &str) -> Entry {
        Entry { seq, at_ms, level: Level::Info, source: "s".into(), text: text.to_owned() }
    }

    fn texts(store: &Store, text: &str) -> Vec<String> {
        let query = Query { text: text.to_owned(), limit: 1000, ..Query::default() };
        store.search(&query).unwrap().lines.into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn what_left_memory_is_found_on_disk_once_and_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config { memory_lines: 3, ..Config::default() };
        let mut store = Store::open(Some(folder.path()), &config).unwrap();
        for n in 1..=10 {
            store.add(n, vec![entry(store.next(), n, &format!("Line {n}"))]).unwrap();
        }
        let expected: Vec<String> = (1..=10).rev().map(|n| format!("Line {n}")).collect();
        assert_eq!(texts(&store, "line"), expected);
        let mut store = Store::open(Some(folder.path()), &config).unwrap();
        assert_eq!(texts(&store, "line"), expected);
        store.add(11, vec![entry(store.next(), 11, "Line 11")]).unwrap();
        assert_eq!(texts(&store, "line 1"), ["Line 11", "Line 10", "Line 1"]);
        // A line that a crash cut short is passed over.
        let file = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
        let text = std::fs::read(&file).unwrap();
        std::fs::write(&file, &text[..text.len() - 5]).unwrap();
        let mut store = Store::open(Some(folder.path()), &config).unwrap();
        store.add(12, vec![entry(store.next(), 12, "Line 12")]).unwrap();
        assert_eq!(texts(&store, "line 1"), ["Line 12", "Line 10", "Line 1"]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn memory_and_disk_are_bounded_and_the_newest_stay(lens in prop::collection::vec(1_usize..3000, 50..300)) {
            let folder = tempfile::tempdir().unwrap();
            let config = Config { memory_lines: 20, memory_bytes: 10_000, disk_bytes: 1 << 16, ..Config::default() };
            let mut store = Store::open(Some(folder.path()), &config).unwrap();
            for (at, len) in lens.iter().enumerate() {
                store.add(at as i64, vec![entry(store.next(), at as i64, &"x".repeat(*len))]).unwrap();
                let (memory, disk) = store.bytes();
                prop_assert!(memory <= 10_000 && disk <= 1 << 16, "{} {}", memory, disk);
            }
            let on_disk: u64 = std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum();
            prop_assert!(on_disk <= 1 << 16);
            let found = texts(&store, "");
            let newest: Vec<usize> = lens.iter().rev().take(found.len()).copied().collect();
            prop_assert_eq!(found.iter().map(String::len).collect::<Vec<_>>(), newest);
            let whole: u64 = lens.iter().map(|len| *len as u64 + 60).sum();
            prop_assert!(whole > 1 << 16 || found.len() == lens.len());
        }
    }
}
