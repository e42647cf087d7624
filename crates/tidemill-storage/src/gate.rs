//! Who may write to the disk next: commits at once, publishing and compaction when none is under way, and only so many at a time.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tidemill_journal::{AppendFile, Disk, Entry, Lock, ReadFile};

/// Counts writes under way.
#[derive(Debug)]
pub(crate) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
    /// Background writes at a time.
    most: usize,
    /// Longest time one background write lets commits go first, so that it comes to its turn on the busiest disk.
    patience: Duration,
}

#[derive(Debug, Default)]
struct State {
    live: usize,
    background: usize,
    /// Background writes that let a commit go first, so far.
    waited: u64,
}

impl Gate {
    pub(crate) fn new(most: usize, patience: Duration) -> Self {
        Self { state: Mutex::default(), changed: Condvar::new(), most, patience }
    }

    /// A commit writes while this is held. It waits for nobody.
    pub(crate) fn live(&self) -> Pass<'_> {
        self.lock().live += 1;
        Pass { gate: self, live: true }
    }

    /// A write that may wait is under way while this is held.
    pub(crate) fn background(&self) -> Pass<'_> {
        let begun = Instant::now();
        let mut state = self.lock();
        let mut waited = false;
        loop {
            let left = self.patience.saturating_sub(begun.elapsed());
            let yields = state.live > 0 && !left.is_zero();
            if state.background < self.most && !yields {
                break;
            }
            waited |= yields;
            // Only the wait for commits ends by itself; that for others of its kind ends with them.
            let wait = if state.background < self.most { left } else { Duration::from_secs(1) };
            let woken = self.changed.wait_timeout(state, wait);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.background += 1;
        state.waited += u64::from(waited);
        Pass { gate: self, live: false }
    }

    /// Background writes that have let a commit go first.
    pub(crate) fn waited(&self) -> u64 {
        self.lock().waited
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One write under way.
#[derive(Debug)]
pub(crate) struct Pass<'a> {
    gate: &'a Gate,
    live: bool,
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        let mut state = self.gate.lock();
        if self.live {
            state.live -= 1;
        } else {
            state.background -= 1;
        }
        drop(state);
        self.gate.changed.notify_all();
    }
}

/// A disk whose writes wait at the gate.
#[derive(Debug)]
pub(crate) struct Background {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) gate: Arc<Gate>,
}

struct File {
    file: Box<dyn AppendFile>,
    gate: Arc<Gate>,
}

impl AppendFile for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let _pass = self.gate.background();
        self.file.append(bytes)
    }

    fn append_parts(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        let _pass = self.gate.background();
        self.file.append_parts(parts)
    }

    fn sync(&mut self, site: &'static str) -> io::Result<()> {
        let _pass = self.gate.background();
        self.file.sync(site)
    }
}

impl Disk for Background {
    fn create(&self, path: &Path) -> io::Result<Box<dyn AppendFile>> {
        let file = self.disk.create(path)?;
        Ok(Box::new(File { file, gate: self.gate.clone() }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn ReadFile>> {
        self.disk.open(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_dir(path)
    }

    fn link(&self, existing: &Path, new: &Path) -> io::Result<()> {
        self.disk.link(existing, new)
    }

    fn symlink(&self, target: &Path, link: &Path) -> io::Result<()> {
        self.disk.symlink(target, link)
    }

    fn read_link(&self, link: &Path) -> io::Result<PathBuf> {
        self.disk.read_link(link)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.disk.list(dir)
    }

    fn sync_dir(&self, dir: &Path, site: &'static str) -> io::Result<()> {
        self.disk.sync_dir(dir, site)
    }

    fn lock(&self, path: &Path, holder: &str) -> io::Result<Box<dyn Lock>> {
        self.disk.lock(path, holder)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.disk.read(path)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc,
    };

    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    #[test]
    fn what_may_wait_waits_for_a_commit_and_a_commit_for_nobody() {
        let gate = Gate::new(1, LONG);
        let other = gate.background();
        let commit = gate.live();
        drop(other);
        let (done, seen) = mpsc::channel();
        std::thread::scope(|scope| {
            let gate = &gate;
            scope.spawn(move || {
                drop(gate.background());
                done.send(()).unwrap();
            });
            // A sleep proves nothing but that it did not begin at once; that it begins is proved below.
            assert!(seen.recv_timeout(Duration::from_millis(50)).is_err());
            drop(commit);
            seen.recv().unwrap();
        });
        assert_eq!(gate.waited(), 1);
    }

    #[test]
    fn it_waits_no_longer_than_its_patience() {
        let gate = Gate::new(1, Duration::from_millis(5));
        let _commit = gate.live();
        drop(gate.background());
        assert_eq!(gate.waited(), 1);
        // The control: without patience it never waits.
        let gate = Gate::new(1, Duration::ZERO);
        let _commit = gate.live();
        drop(gate.background());
        assert_eq!(gate.waited(), 0);
    }

    #[test]
    fn no_more_are_under_way_than_allowed() {
        let (gate, now, most) = (Gate::new(3, LONG), AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..12 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let pass = gate.background();
                        most.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
                        std::thread::yield_now();
                        now.fetch_sub(1, SeqCst);
                        drop(pass);
                    }
                });
            }
        });
        assert!((1..=3).contains(&most.load(SeqCst)), "{most:?}");
    }
}
