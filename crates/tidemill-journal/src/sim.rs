//! A disk in memory that forgets, at a crash, any subset of what was not synced.
//!
//! The model is stricter than any real file system: a write is durable only after its file's `sync`, a name only after its
//! directory's `sync_dir`; in between each 512-byte sector of each write and each change of a name survives or not on its
//! own. A failed sync drops its writes as Linux does: they stay readable, and no later sync makes them durable.
//!
//! Count the calls of a scripted run, then run it once per call with [`SimDisk::crash_at`], reopen what
//! [`SimDisk::crash`] leaves, and compare. [`SimDisk::ignore_site`] is the control: with any one sync switched off, that
//! comparison must fail.

use std::{
    collections::BTreeMap,
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{AppendFile, Disk, Entry, EntryKind, Lock, ReadFile};

mod state;

use state::{Dice, Node, State, apply};

const SECTOR: usize = 512;

/// What survives of the un-synced at a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Only what was synced.
    Nothing,
    /// Everything, as when only the process died after its last call.
    Everything,
    /// A subset drawn from this seed; the same seed gives the same subset.
    Random(u64),
}

/// A simulated disk. Clones share it.
#[derive(Clone)]
pub struct SimDisk {
    shared: Arc<Mutex<State>>,
}

impl Default for SimDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl SimDisk {
    /// A disk with two empty directories, `/journal` and `/data`, as a mounted file system gives a place to work in.
    pub fn new() -> Self {
        let mut state = State { nodes: vec![Node::dir()], ..State::default() };
        for name in ["journal", "data"] {
            state.nodes.push(Node::dir());
            let id = state.nodes.len() - 1;
            if let Node::Dir { durable, now, .. } = &mut state.nodes[0] {
                durable.insert(name.into(), id);
                now.insert(name.into(), id);
            }
        }
        Self { shared: Arc::new(Mutex::new(state)) }
    }

    /// Calls that change the disk so far: create, append, sync, rename, remove, link and so on; reads are not counted.
    pub fn calls(&self) -> u64 {
        self.state().calls
    }

    /// From the `n`th changing call on (1 is the first), every call fails, as if the machine had stopped there. The `n`th
    /// call itself is left half done: an append may survive in any part.
    pub fn crash_at(&self, n: u64) {
        self.state().crash_at = Some(n);
    }

    /// The `n`th changing call fails with `kind`, once.
    pub fn fail_at(&self, n: u64, kind: io::ErrorKind) {
        self.state().fail_at.insert(n, kind);
    }

    /// The next sync at `site` fails with `kind`, once.
    pub fn fail_site(&self, site: &'static str, kind: io::ErrorKind) {
        self.state().fail_site.insert(site, kind);
    }

    /// Every sync at `site` does nothing and reports success: the control of a crash test.
    pub fn ignore_site(&self, site: &'static str) {
        self.state().ignored.insert(site);
    }

    /// The sites that synced so far, and how often.
    pub fn sites(&self) -> BTreeMap<&'static str, u64> {
        self.state().sites.clone()
    }

    /// Appends fail with `StorageFull` once files hold this many bytes; half of what fits is written before.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state().capacity = bytes;
    }

    /// The disk after a power failure. Handles, locks and injected faults of the old one are gone.
    pub fn crash(&self, keep: Keep) -> Self {
        let old = self.state();
        let mut dice = Dice::new(keep);
        let mut nodes = old.nodes.clone();
        for node in &mut nodes {
            match node {
                Node::File { durable, now, pending } => {
                    for write in pending.drain(..) {
                        for (at, sector) in write.bytes.chunks(SECTOR).enumerate() {
                            if dice.keeps() {
                                let at = write.at + at * SECTOR;
                                if durable.len() < at + sector.len() {
                                    durable.resize(at + sector.len(), 0);
                                }
                                durable[at..at + sector.len()].copy_from_slice(sector);
                            }
                        }
                    }
                    now.clone_from(durable);
                }
                Node::Dir { durable, now, pending } => {
                    for change in pending.drain(..) {
                        if dice.keeps() {
                            apply(durable, &change);
                        }
                    }
                    now.clone_from(durable);
                }
                Node::Link(_) => {}
            }
        }
        let ignored = old.ignored.clone();
        Self { shared: Arc::new(Mutex::new(State { nodes, ignored, ..State::default() })) }
    }

    /// The disk after `kill -9`: every call made is seen by the next process, and nothing more is durable than before.
    pub fn kill(&self) -> Self {
        let old = self.state();
        let (nodes, ignored) = (old.nodes.clone(), old.ignored.clone());
        Self { shared: Arc::new(Mutex::new(State { nodes, ignored, ..State::default() })) }
    }

    /// Goes on counting calls where `old` stopped, and stops where `old` would have: one script over several lives.
    pub fn resume_count(&self, old: &Self) {
        let (calls, crash_at, sites) = {
            let old = old.state();
            (old.calls, old.crash_at, old.sites.clone())
        };
        let mut state = self.state();
        (state.calls, state.crash_at, state.sites) = (calls, crash_at, sites);
    }

    /// Overwrites one byte of a file, durably: what rot does.
    pub fn flip_bit(&self, path: &Path, bit: usize) -> io::Result<()> {
        let mut state = self.state();
        let id = state.find(path, true)?;
        if let Node::File { durable, now, .. } = &mut state.nodes[id] {
            for bytes in [durable, now] {
                if let Some(byte) = bytes.get_mut(bit / 8) {
                    *byte ^= 1 << (bit % 8);
                }
            }
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, call: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.state();
        state.count()?;
        call(&mut state)
    }
}

struct SimFile {
    disk: SimDisk,
    id: usize,
}

impl AppendFile for SimFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.disk.change(|state| state.append(self.id, bytes))
    }

    fn sync(&mut self, site: &'static str) -> io::Result<()> {
        self.disk.change(|state| {
            if state.sync_site(site, self.id)?
                && let Node::File { durable, pending, .. } = &mut state.nodes[self.id]
            {
                for write in pending.iter().filter(|write| !write.dropped) {
                    let end = write.at + write.bytes.len();
                    if durable.len() < end {
                        durable.resize(end, 0);
                    }
                    durable[write.at..end].copy_from_slice(&write.bytes);
                }
                pending.retain(|write| write.dropped);
            }
            Ok(())
        })
    }
}

struct SimRead(Vec<u8>);

impl ReadFile for SimRead {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let from = usize::try_from(offset).map_err(|_| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        let bytes = from.checked_add(buf.len()).and_then(|to| self.0.get(from..to));
        buf.copy_from_slice(bytes.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?);
        Ok(())
    }
}

struct SimLock {
    disk: SimDisk,
    path: PathBuf,
}

impl Lock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.disk.state().locks.remove(&self.path);
    }
}

impl Disk for SimDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn AppendFile>> {
        let node = Node::File { durable: Vec::new(), now: Vec::new(), pending: Vec::new() };
        let id = self.change(|state| state.name(path, node))?;
        Ok(Box::new(SimFile { disk: self.clone(), id }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn ReadFile>> {
        let state = self.state();
        match &state.nodes[state.find(path, true)?] {
            Node::File { now, .. } => Ok(Box::new(SimRead(now.clone()))),
            _ => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change(|state| {
            let id = state.find(from, false)?;
            let ((from_dir, from), (to_dir, to)) = (state.parent(from)?, state.parent(to)?);
            if from_dir == to_dir {
                return state.record(from_dir, vec![(from, None), (to, Some(id))]);
            }
            state.record(to_dir, vec![(to, Some(id))])?;
            state.record(from_dir, vec![(from, None)])
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.change(|state| state.remove(path, false))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.change(|state| state.name(path, Node::dir()).map(drop))
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.change(|state| state.remove(path, true))
    }

    fn link(&self, existing: &Path, new: &Path) -> io::Result<()> {
        self.change(|state| {
            let id = state.find(existing, true)?;
            let (dir, name) = state.parent(new)?;
            if state.find(new, false).is_ok() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            state.record(dir, vec![(name, Some(id))])
        })
    }

    fn symlink(&self, target: &Path, link: &Path) -> io::Result<()> {
        self.change(|state| state.name(link, Node::Link(target.to_owned())).map(drop))
    }

    fn read_link(&self, link: &Path) -> io::Result<PathBuf> {
        let state = self.state();
        match &state.nodes[state.find(link, false)?] {
            Node::Link(target) => Ok(target.clone()),
            _ => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let state = self.state();
        let Node::Dir { now, .. } = &state.nodes[state.find(dir, true)?] else {
            return Err(io::ErrorKind::NotADirectory.into());
        };
        let kind = |id: &usize| match &state.nodes[*id] {
            Node::File { .. } => EntryKind::File,
            Node::Dir { .. } => EntryKind::Dir,
            Node::Link(_) => EntryKind::Link,
        };
        Ok(now.iter().map(|(name, id)| Entry { name: name.clone(), kind: kind(id) }).collect())
    }

    fn sync_dir(&self, dir: &Path, site: &'static str) -> io::Result<()> {
        self.change(|state| {
            let id = state.find(dir, true)?;
            if state.sync_site(site, id)?
                && let Node::Dir { durable, now, pending } = &mut state.nodes[id]
            {
                durable.clone_from(now);
                pending.clear();
            }
            Ok(())
        })
    }

    fn lock(&self, path: &Path, _holder: &str) -> io::Result<Box<dyn Lock>> {
        if !self.state().locks.insert(path.to_owned()) {
            return Err(io::Error::new(io::ErrorKind::WouldBlock, "another handle of this simulated disk"));
        }
        Ok(Box::new(SimLock { disk: self.clone(), path: path.to_owned() }))
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimDisk").field("calls", &self.calls()).finish_non_exhaustive()
    }
}
