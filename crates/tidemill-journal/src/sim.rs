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
    collections::{BTreeMap, BTreeSet},
    fmt, io,
    path::{Component, Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{AppendFile, Disk, Entry, EntryKind, Lock, ReadFile};

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

#[derive(Clone, Default)]
struct State {
    nodes: Vec<Node>,
    calls: u64,
    crash_at: Option<u64>,
    fail_at: BTreeMap<u64, io::ErrorKind>,
    fail_site: BTreeMap<&'static str, io::ErrorKind>,
    ignored: BTreeSet<&'static str>,
    sites: BTreeMap<&'static str, u64>,
    capacity: Option<u64>,
    locks: BTreeSet<PathBuf>,
}

#[derive(Clone)]
enum Node {
    File { durable: Vec<u8>, now: Vec<u8>, pending: Vec<Write> },
    Dir { durable: BTreeMap<String, usize>, now: BTreeMap<String, usize>, pending: Vec<Change> },
    Link(PathBuf),
}

#[derive(Clone)]
struct Write {
    at: usize,
    bytes: Vec<u8>,
    /// A sync of it failed: no later sync makes it durable.
    dropped: bool,
}

/// One atomic change of a directory: a rename within it is one change of two names.
type Change = Vec<(String, Option<usize>)>;

impl Node {
    fn dir() -> Self {
        Self::Dir { durable: BTreeMap::new(), now: BTreeMap::new(), pending: Vec::new() }
    }
}

impl Default for SimDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl SimDisk {
    /// An empty disk: one root directory, which every path starts from; its directory entries are durable at once.
    pub fn new() -> Self {
        let mut state = State { nodes: vec![Node::dir()], ..State::default() };
        // A place to work in, as a mounted file system gives one.
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

fn apply(names: &mut BTreeMap<String, usize>, change: &Change) {
    for (name, id) in change {
        match id {
            Some(id) => names.insert(name.clone(), *id),
            None => names.remove(name),
        };
    }
}

fn stopped() -> io::Error {
    io::Error::other("the simulated machine has stopped")
}

fn not_found(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("{} does not exist", path.display()))
}

impl State {
    fn count(&mut self) -> io::Result<()> {
        self.calls += 1;
        if self.crash_at.is_some_and(|at| self.calls > at) {
            return Err(stopped());
        }
        match self.fail_at.remove(&self.calls) {
            Some(kind) => Err(kind.into()),
            None => Ok(()),
        }
    }

    /// True when this is the call the machine stops in.
    fn stops_here(&self) -> bool {
        self.crash_at == Some(self.calls)
    }

    fn find(&self, path: &Path, follow: bool) -> io::Result<usize> {
        self.find_within(path, follow, 8)
    }

    fn find_within(&self, path: &Path, follow: bool, links: u32) -> io::Result<usize> {
        let parts: Vec<&str> = path
            .components()
            .filter_map(|part| match part {
                Component::Normal(name) => name.to_str(),
                Component::ParentDir => Some(".."),
                _ => None,
            })
            .collect();
        let mut trail: Vec<(usize, PathBuf)> = vec![(0, PathBuf::from("/"))];
        for (at, part) in parts.iter().enumerate() {
            if *part == ".." {
                if trail.len() > 1 {
                    trail.pop();
                }
                continue;
            }
            let Some((dir, here)) = trail.last().cloned() else { return Err(not_found(path)) };
            let Node::Dir { now, .. } = &self.nodes[dir] else { return Err(not_found(path)) };
            let id = *now.get(*part).ok_or_else(|| not_found(path))?;
            match &self.nodes[id] {
                Node::Link(target) if follow || at + 1 < parts.len() => {
                    if links == 0 {
                        return Err(not_found(path));
                    }
                    let rest: PathBuf = parts[at + 1..].iter().collect();
                    return self.find_within(&here.join(target).join(rest), follow, links - 1);
                }
                _ => trail.push((id, here.join(part))),
            }
        }
        trail.last().map(|(id, _)| *id).ok_or_else(|| not_found(path))
    }

    fn parent(&self, path: &Path) -> io::Result<(usize, String)> {
        let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(|| not_found(path))?;
        let dir = self.find(path.parent().unwrap_or(Path::new("/")), true)?;
        Ok((dir, name.to_owned()))
    }

    fn record(&mut self, dir: usize, change: Change) -> io::Result<()> {
        // The call the machine stops in may or may not have reached the disk: it is recorded as un-synced.
        let stops = self.stops_here();
        match &mut self.nodes[dir] {
            Node::Dir { now, pending, .. } => {
                apply(now, &change);
                pending.push(change);
            }
            _ => return Err(io::ErrorKind::NotADirectory.into()),
        }
        if stops { Err(stopped()) } else { Ok(()) }
    }

    fn name(&mut self, path: &Path, node: Node) -> io::Result<usize> {
        let (dir, name) = self.parent(path)?;
        if self.find(path, false).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.nodes.push(node);
        let id = self.nodes.len() - 1;
        self.record(dir, vec![(name, Some(id))])?;
        Ok(id)
    }

    fn remove(&mut self, path: &Path, want_dir: bool) -> io::Result<()> {
        let (dir, name) = self.parent(path)?;
        match &self.nodes[self.find(path, false)?] {
            Node::Dir { now, .. } if want_dir && now.is_empty() => {}
            Node::Dir { .. } if want_dir => return Err(io::ErrorKind::DirectoryNotEmpty.into()),
            Node::Dir { .. } => return Err(io::ErrorKind::IsADirectory.into()),
            _ if want_dir => return Err(io::ErrorKind::NotADirectory.into()),
            _ => {}
        }
        self.record(dir, vec![(name, None)])
    }

    fn append(&mut self, id: usize, bytes: &[u8]) -> io::Result<()> {
        let used: u64 = self
            .nodes
            .iter()
            .map(|n| if let Node::File { now, .. } = n { now.len() as u64 } else { 0 })
            .sum();
        let room = self
            .capacity
            .map_or(usize::MAX, |c| usize::try_from(c.saturating_sub(used)).unwrap_or(usize::MAX));
        let full = bytes.len() > room;
        let bytes = if full { &bytes[..room] } else { bytes };
        let stops = self.stops_here();
        if let Node::File { now, pending, .. } = &mut self.nodes[id] {
            pending.push(Write { at: now.len(), bytes: bytes.to_vec(), dropped: false });
            now.extend_from_slice(bytes);
        }
        match () {
            () if stops => Err(stopped()),
            () if full => Err(io::ErrorKind::StorageFull.into()),
            () => Ok(()),
        }
    }

    /// True when the sync shall take effect.
    fn sync_site(&mut self, site: &'static str, id: usize) -> io::Result<bool> {
        *self.sites.entry(site).or_default() += 1;
        if self.stops_here() {
            return Err(stopped());
        }
        if let Some(kind) = self.fail_site.remove(site) {
            if let Node::File { pending, .. } = &mut self.nodes[id] {
                pending.iter_mut().for_each(|write| write.dropped = true);
            }
            return Err(kind.into());
        }
        Ok(!self.ignored.contains(site))
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

/// SplitMix64 (Steele, Lea, Flood 2014), or a constant.
struct Dice {
    keep: Keep,
    state: u64,
}

impl Dice {
    fn new(keep: Keep) -> Self {
        Self { keep, state: if let Keep::Random(seed) = keep { seed } else { 0 } }
    }

    fn keeps(&mut self) -> bool {
        match self.keep {
            Keep::Nothing => false,
            Keep::Everything => true,
            Keep::Random(_) => {
                self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mut z = self.state;
                z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                (z ^ (z >> 31)) & 1 == 1
            }
        }
    }
}
