//! The simulated disk's insides: nodes, what is durable of them, and which calls fail.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Component, Path, PathBuf},
};

use super::Keep;

#[derive(Clone, Default)]
pub(super) struct State {
    pub(super) nodes: Vec<Node>,
    pub(super) calls: u64,
    pub(super) crash_at: Option<u64>,
    pub(super) fail_at: BTreeMap<u64, io::ErrorKind>,
    pub(super) fail_site: BTreeMap<&'static str, io::ErrorKind>,
    pub(super) ignored: BTreeSet<&'static str>,
    pub(super) sites: BTreeMap<&'static str, u64>,
    pub(super) capacity: Option<u64>,
    pub(super) locks: BTreeSet<PathBuf>,
}

#[derive(Clone)]
pub(super) enum Node {
    File { durable: Vec<u8>, now: Vec<u8>, pending: Vec<Write> },
    Dir { durable: BTreeMap<String, usize>, now: BTreeMap<String, usize>, pending: Vec<Change> },
    Link(PathBuf),
}

#[derive(Clone)]
pub(super) struct Write {
    pub(super) at: usize,
    pub(super) bytes: Vec<u8>,
    /// A sync of it failed: no later sync makes it durable.
    pub(super) dropped: bool,
}

/// One atomic change of a directory: a rename within it is one change of two names.
pub(super) type Change = Vec<(String, Option<usize>)>;

impl Node {
    pub(super) fn dir() -> Self {
        Self::Dir { durable: BTreeMap::new(), now: BTreeMap::new(), pending: Vec::new() }
    }
}

pub(super) fn apply(names: &mut BTreeMap<String, usize>, change: &Change) {
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
    pub(super) fn count(&mut self) -> io::Result<()> {
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
    pub(super) fn stops_here(&self) -> bool {
        self.crash_at == Some(self.calls)
    }

    pub(super) fn find(&self, path: &Path, follow: bool) -> io::Result<usize> {
        self.find_within(path, follow, 8)
    }

    pub(super) fn find_within(&self, path: &Path, follow: bool, links: u32) -> io::Result<usize> {
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

    pub(super) fn parent(&self, path: &Path) -> io::Result<(usize, String)> {
        let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(|| not_found(path))?;
        let dir = self.find(path.parent().unwrap_or(Path::new("/")), true)?;
        Ok((dir, name.to_owned()))
    }

    pub(super) fn record(&mut self, dir: usize, change: Change) -> io::Result<()> {
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

    pub(super) fn name(&mut self, path: &Path, node: Node) -> io::Result<usize> {
        let (dir, name) = self.parent(path)?;
        if self.find(path, false).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.nodes.push(node);
        let id = self.nodes.len() - 1;
        self.record(dir, vec![(name, Some(id))])?;
        Ok(id)
    }

    pub(super) fn remove(&mut self, path: &Path, want_dir: bool) -> io::Result<()> {
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

    pub(super) fn append(&mut self, id: usize, bytes: &[u8]) -> io::Result<()> {
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
    pub(super) fn sync_site(&mut self, site: &'static str, id: usize) -> io::Result<bool> {
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

/// SplitMix64 (Steele, Lea, Flood 2014), or a constant.
pub(super) struct Dice {
    pub(super) keep: Keep,
    pub(super) state: u64,
}

impl Dice {
    pub(super) fn new(keep: Keep) -> Self {
        Self { keep, state: if let Keep::Random(seed) = keep { seed } else { 0 } }
    }

    pub(super) fn keeps(&mut self) -> bool {
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
