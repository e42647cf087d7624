//! Linux: files of /proc kept open and read again from their beginning.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fs::File;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::procfs;
use crate::reading::{Pressure, Reading, Throttled};
use crate::sample::Mount;

/// The most that is read of any file: 4096 cores fit.
const LONGEST: usize = 1 << 20;

#[derive(Debug)]
pub(crate) struct System {
    config: Config,
    text: Text,
    stat: Option<File>,
    load: Option<File>,
    memory: Option<File>,
    disks: Option<File>,
    vmstat: Option<File>,
    /// Waiting for a processor, for memory, for a disk.
    pressure: [Option<File>; 3],
    /// Device names and whether they are whole disks.
    whole: HashMap<String, bool>,
    group: Group,
    ticks: f64,
    page_bytes: u64,
}

/// A buffer that every file is read into.
#[derive(Debug, Default)]
struct Text(Vec<u8>);

/// Where the limits of our control group stand.
#[derive(Debug, Default)]
struct Group {
    /// Folders from our group up to the root.
    memory: Vec<PathBuf>,
    cpu: Vec<PathBuf>,
    v1_memory: Option<PathBuf>,
    v1_cpu: Option<PathBuf>,
}

impl System {
    pub(crate) fn new(config: Config) -> Self {
        let open = |path: &str| File::open(path).ok();
        let mut text = Text::default();
        let group = Group::find(Path::new("/sys/fs/cgroup"), text.path("/proc/self/cgroup").unwrap_or(""));
        Self {
            config,
            text,
            stat: open("/proc/stat"),
            load: open("/proc/loadavg"),
            memory: open("/proc/meminfo"),
            disks: open("/proc/diskstats"),
            vmstat: open("/proc/vmstat"),
            pressure: ["cpu", "memory", "io"].map(|name| open(&format!("/proc/pressure/{name}"))),
            whole: HashMap::new(),
            group,
            ticks: rustix::param::clock_ticks_per_second() as f64,
            page_bytes: rustix::param::page_size() as u64,
        }
    }

    pub(crate) fn read(&mut self) -> Reading {
        let mut reading = Reading::default();
        let text = &mut self.text;
        if let Some(stat) = text.file(self.stat.as_ref()).map(procfs::stat) {
            reading.cpu = stat.cpu;
            reading.cores = stat.cores;
            reading.context_switches = stat.context_switches;
            reading.interrupts = stat.interrupts;
            reading.boot_seconds = stat.boot_seconds;
        }
        if let Some(text) = text.file(self.load.as_ref()) {
            reading.load = procfs::load(text);
            reading.tasks = procfs::tasks(text);
        }
        if let Some(text) = text.file(self.vmstat.as_ref()) {
            let pages = |name| procfs::field(text, name);
            reading.swapped_pages = pages("pswpin").zip(pages("pswpout"));
            reading.oom_kills = pages("oom_kill");
        }
        let [cpu_us, memory_us, io_us] =
            self.pressure.each_ref().map(|file| text.file(file.as_ref()).and_then(procfs::pressure));
        reading.pressure = Pressure { cpu_us, memory_us, io_us };
        reading.memory = text.file(self.memory.as_ref()).and_then(procfs::memory);
        let whole = &mut self.whole;
        reading.disk =
            text.file(self.disks.as_ref()).map(|text| procfs::disks(text, |name| is_disk(whole, name)));
        // These belong to the network name space of whoever opened them, so that they are opened anew.
        reading.network = text.path("/proc/self/net/dev").map(procfs::network);
        let v4 = text.path("/proc/self/net/sockstat").and_then(procfs::connections);
        let v6 = text.path("/proc/self/net/sockstat6").and_then(procfs::connections);
        reading.connections = v4.map_or(v6, |v4| Some(v4 + v6.unwrap_or(0)));
        // And these to the process, which may have forked.
        if let Some(process) = text.path("/proc/self/stat").and_then(procfs::process) {
            reading.process_cpu_seconds = Some(process.cpu_ticks as f64 / self.ticks);
            reading.threads = Some(process.threads);
            reading.rss_bytes = Some(process.rss_pages * self.page_bytes);
        }
        reading.peak_rss_bytes =
            text.path("/proc/self/status").and_then(|text| procfs::kilobytes(text, "VmHWM:"));
        if self.config.open_files {
            // One of them is the listing itself.
            reading.open_files =
                std::fs::read_dir("/proc/self/fd").ok().map(|files| files.count() as u64 - 1);
        }
        if self.config.mounts {
            reading.mounts = mounts(text, self.config.max_mounts);
        }
        reading.memory_limit = self.group.memory_limit(text);
        reading.cpu_limit = self.group.cpu_limit(text);
        reading.throttled = self.group.throttled(text);
        reading
    }
}

impl Text {
    /// The whole of an open file.
    fn file(&mut self, file: Option<&File>) -> Option<&str> {
        let file = file?;
        let mut length = 0;
        loop {
            if self.0.len() < length + 4096 {
                self.0.resize((length + 4096).next_power_of_two().min(LONGEST + 4096), 0);
            }
            let read = file.read_at(&mut self.0[length..], length as u64).ok()?;
            length += read;
            if read == 0 || length >= LONGEST {
                break;
            }
        }
        std::str::from_utf8(&self.0[..length]).ok()
    }

    fn path(&mut self, path: impl AsRef<Path>) -> Option<&str> {
        self.file(Some(&File::open(path).ok()?))
    }
}

impl Group {
    /// From the text of /proc/self/cgroup and where control groups are mounted.
    fn find(mounted: &Path, cgroup: &str) -> Self {
        // Version 2 holds all controllers in one tree; a hybrid system mounts it beside those of version 1.
        let unified = [mounted.join("unified"), mounted.to_path_buf()]
            .into_iter()
            .find(|root| root.join("cgroup.controllers").exists());
        let up = |root: &Path, path: &str| -> Vec<PathBuf> {
            let inner = Path::new(path.trim_start_matches('/'));
            inner.ancestors().map(|part| root.join(part)).collect()
        };
        let v2 = match (unified, procfs::cgroup(cgroup, "")) {
            (Some(root), Some(path)) => up(&root, path),
            _ => Vec::new(),
        };
        let v1 = |controller: &str, file: &str| {
            let path = procfs::cgroup(cgroup, controller)?;
            // Inside a container the path is that of the host, and the root is our group.
            up(&mounted.join(controller), path).into_iter().find(|folder| folder.join(file).exists())
        };
        Self {
            memory: v2.clone(),
            cpu: v2,
            v1_memory: v1("memory", "memory.limit_in_bytes"),
            v1_cpu: v1("cpu", "cpu.cfs_quota_us"),
        }
    }

    /// The tightest limit and what is used of it, without file pages that can be dropped.
    fn memory_limit(&self, text: &mut Text) -> Option<(u64, u64)> {
        let v2 = self.memory.iter().map(|folder| (folder, "memory.max", "memory.current", "inactive_file"));
        let v1 = self
            .v1_memory
            .iter()
            .map(|folder| (folder, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"));
        let (limit, folder, used, inactive) = v2
            .chain(v1)
            .filter_map(|(folder, limit, used, inactive)| {
                let limit = text.path(folder.join(limit)).and_then(procfs::number)?;
                Some((limit, folder, used, inactive))
            })
            .min_by_key(|(limit, ..)| *limit)?;
        let used = text.path(folder.join(used)).and_then(procfs::number)?;
        let inactive = text.path(folder.join("memory.stat")).and_then(|text| procfs::field(text, inactive));
        Some((limit, used.saturating_sub(inactive.unwrap_or(0))))
    }

    /// Of the innermost group that counts it.
    fn throttled(&self, text: &mut Text) -> Option<Throttled> {
        let folders = self.cpu.iter().chain(&self.v1_cpu);
        folders.filter_map(|folder| text.path(folder.join("cpu.stat")).and_then(procfs::throttled)).next()
    }

    fn cpu_limit(&self, text: &mut Text) -> Option<f64> {
        let v1 = self.v1_cpu.as_ref().and_then(|folder| {
            let quota = text.path(folder.join("cpu.cfs_quota_us")).and_then(procfs::number)?;
            let period = text.path(folder.join("cpu.cfs_period_us")).and_then(procfs::number)?;
            (period > 0).then(|| quota as f64 / period as f64)
        });
        let v2 =
            self.cpu.iter().filter_map(|folder| text.path(folder.join("cpu.max")).and_then(procfs::cpu_max));
        v2.chain(v1).reduce(f64::min)
    }
}

/// Whether a device is a disk and not a part of one or made of some.
fn is_disk(whole: &mut HashMap<String, bool>, name: &str) -> bool {
    const MADE: [&str; 7] = ["loop", "ram", "zram", "dm-", "md", "sr", "fd"];
    if let Some(known) = whole.get(name) {
        return *known;
    }
    let is_whole =
        !MADE.iter().any(|prefix| name.starts_with(prefix)) && Path::new("/sys/block").join(name).exists();
    // Devices come and go; a table that grows without end would be a leak.
    if whole.len() >= 4096 {
        whole.clear();
    }
    whole.insert(name.to_owned(), is_whole);
    is_whole
}

fn mounts(text: &mut Text, max: usize) -> Vec<Mount> {
    let Some(text) = text.path("/proc/self/mountinfo") else { return Vec::new() };
    let mut seen = HashSet::new();
    procfs::mounts(text)
        .filter(|line| procfs::is_local(line.kind) && !procfs::is_apart(&line.path))
        .filter(|line| seen.insert(line.device))
        .filter_map(|line| {
            let path = PathBuf::from(OsString::from_vec(line.path));
            let stat = rustix::fs::statvfs(&path).ok()?;
            (stat.f_blocks > 0)
                .then(|| Mount::new(path, stat.f_frsize, stat.f_blocks, stat.f_bfree, stat.f_bavail))
        })
        .take(max)
        .collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A folder of files by path and content: control groups, a root.
    pub(crate) fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        root
    }

    #[test]
    fn the_tightest_limit_of_all_groups_above_counts() {
        let root = tree(&[
            ("cgroup.controllers", "cpu memory\n"),
            ("a/memory.max", "1000\n"),
            ("a/memory.current", "900\n"),
            ("a/memory.stat", "anon 700\ninactive_file 150\n"),
            ("a/b/memory.max", "max\n"),
            ("a/b/memory.current", "5\n"),
            ("a/cpu.max", "300000 100000\n"),
            ("a/b/cpu.max", "150000 100000\n"),
            ("a/b/cpu.stat", "usage_usec 1\nnr_periods 8\nnr_throttled 2\n"),
        ]);
        let (group, mut text) = (Group::find(root.path(), "0::/a/b\n"), Text::default());
        assert_eq!(group.memory_limit(&mut text), Some((1000, 750)), "without what can be dropped");
        assert_eq!(group.cpu_limit(&mut text), Some(1.5));
        assert_eq!(group.throttled(&mut text), Some(Throttled { periods: 8, stopped: 2 }));
        // Inside a container the path is that of the host, and nothing stands there but the root.
        let group = Group::find(root.path(), "0::/\n");
        assert_eq!((group.memory_limit(&mut text), group.cpu_limit(&mut text)), (None, None));
    }

    #[test]
    fn version_1_is_read_from_its_own_trees() {
        let root = tree(&[
            ("memory/c/memory.limit_in_bytes", "4096\n"),
            ("memory/c/memory.usage_in_bytes", "3000\n"),
            ("memory/c/memory.stat", "inactive_file 1\ntotal_inactive_file 500\n"),
            ("cpu/cpu.cfs_quota_us", "50000\n"),
            ("cpu/cpu.cfs_period_us", "100000\n"),
            ("cpu/cpu.stat", "nr_periods 3\nnr_throttled 1\nthrottled_time 5\n"),
        ]);
        let cgroup = "5:memory:/c\n4:cpu,cpuacct:/docker/abc\n";
        let (group, mut text) = (Group::find(root.path(), cgroup), Text::default());
        assert_eq!(group.memory_limit(&mut text), Some((4096, 2500)));
        assert_eq!(group.cpu_limit(&mut text), Some(0.5), "of the group that the container sees as its root");
        assert_eq!(group.throttled(&mut text), Some(Throttled { periods: 3, stopped: 1 }));
        let unlimited = tree(&[("cpu/cpu.cfs_quota_us", "-1\n"), ("cpu/cpu.cfs_period_us", "100000\n")]);
        assert_eq!(Group::find(unlimited.path(), cgroup).cpu_limit(&mut text), None);
    }

    #[test]
    fn without_control_groups_there_is_no_limit() {
        let root = tree(&[]);
        let (group, mut text) = (Group::find(root.path(), ""), Text::default());
        assert_eq!((group.memory_limit(&mut text), group.cpu_limit(&mut text)), (None, None));
        assert_eq!(group.throttled(&mut text), None);
    }
}
