//! What the doctor reads, before anyone has judged it.

use super::{Doctor, selected};

/// Processors looked at, at most.
const MAX_CORES: usize = 4096;

/// A machine's settings; None where it does not tell.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// Governor of each processor, with its file.
    pub(super) governors: Vec<(String, String)>,
    pub(super) huge_pages: Option<String>,
    pub(super) mount: Option<Mount>,
    pub(super) files: Option<(u64, u64)>,
    pub(super) memory_limit: Option<String>,
    pub(super) cpu_limit: Option<String>,
    sysctl: Vec<(&'static str, String)>,
}

/// Where the data stands.
#[derive(Debug, PartialEq)]
pub(super) struct Mount {
    pub(super) point: String,
    pub(super) kind: String,
    pub(super) options: Vec<String>,
}

/// The sysctl settings that are judged.
const SYSCTL: [&str; 9] = [
    "vm.swappiness",
    "vm.dirty_ratio",
    "vm.dirty_background_ratio",
    "vm.dirty_bytes",
    "vm.dirty_background_bytes",
    "net.core.rmem_max",
    "net.core.wmem_max",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
];

impl Facts {
    pub(super) fn read(doctor: &Doctor) -> Self {
        let sysctl = SYSCTL.iter().filter_map(|name| Some((*name, doctor.text(&file(name))?)));
        Self {
            governors: governors(doctor),
            huge_pages: doctor
                .text("/sys/kernel/mm/transparent_hugepage/enabled")
                .and_then(|text| selected(&text).map(str::to_owned)),
            mount: mount(doctor),
            files: doctor.text("/proc/self/limits").and_then(|text| open_files(&text)),
            memory_limit: group(doctor, "memory.max", "memory/memory.limit_in_bytes"),
            cpu_limit: group(doctor, "cpu.max", "cpu/cpu.cfs_quota_us"),
            sysctl: sysctl.collect(),
        }
    }

    pub(super) fn sysctl(&self, name: &str) -> Option<&str> {
        self.sysctl.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }
}

/// Where a sysctl setting stands.
pub(super) fn file(name: &str) -> String {
    format!("/proc/sys/{}", name.replace('.', "/"))
}

fn governors(doctor: &Doctor) -> Vec<(String, String)> {
    let path = |core| format!("/sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor");
    // Offline processors leave gaps; a machine without the first has none.
    let cores = (0..MAX_CORES).map_while(|core| {
        let there = core == 0 || doctor.place(&format!("/sys/devices/system/cpu/cpu{core}")).exists();
        there.then(|| (path(core), doctor.text(&path(core))))
    });
    cores.filter_map(|(path, governor)| Some((path, governor?))).collect()
}

/// The limit of the group this process is in, version 2 or 1.
fn group(doctor: &Doctor, second: &str, first: &str) -> Option<String> {
    let own = doctor.text("/proc/self/cgroup").unwrap_or_default();
    let path = own.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/").to_owned();
    let places = [
        format!("/sys/fs/cgroup{path}/{second}"),
        format!("/sys/fs/cgroup/{second}"),
        format!("/sys/fs/cgroup/{first}"),
    ];
    places.iter().find_map(|place| doctor.text(place))
}

/// Soft and hard limit of open files; `unlimited` is the largest number.
fn open_files(limits: &str) -> Option<(u64, u64)> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let mut words = line
        .split_whitespace()
        .map(|word| if word == "unlimited" { Some(u64::MAX) } else { word.parse().ok() });
    Some((words.next()??, words.next()??))
}

/// The mount with the longest point that the data's folder, or the nearest one that exists, stands below.
fn mount(doctor: &Doctor) -> Option<Mount> {
    let table = doctor.text("/proc/self/mountinfo")?;
    let data = std::path::absolute(doctor.data()).ok()?;
    let mounts = table.lines().filter_map(|line| {
        // 36 35 98:0 /root /point rw,noatime shared:1 - ext4 /dev/sda1 rw,errors=continue
        let (left, right) = line.split_once(" - ")?;
        let mut left = left.split(' ').skip(4);
        let (point, own) = (unescape(left.next()?), left.next()?);
        let mut right = right.split(' ');
        let (kind, all) = (right.next()?.to_owned(), right.nth(1).unwrap_or_default());
        let options = own.split(',').chain(all.split(',')).map(str::to_owned).collect();
        data.starts_with(&point).then_some(Mount { point, kind, options })
    });
    // Of two on one point the later covers the earlier.
    mounts.max_by_key(|mount| mount.point.len())
}

/// `\040` is a blank in a mount's name.
fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        match after.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                out.push(char::from(byte));
                rest = &after[3..];
            }
            None => {
                out.push('\\');
                rest = after;
            }
        }
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_with_and_without_an_end() {
        let text = "Limit                     Soft Limit           Hard Limit           Units\n\
                    Max open files            1024                 524288               files";
        assert_eq!(open_files(text), Some((1024, 524_288)));
        assert_eq!(open_files("Max open files  unlimited unlimited files"), Some((u64::MAX, u64::MAX)));
        assert_eq!(open_files("Max open files  many"), None);
        assert_eq!(open_files(""), None);
    }

    #[test]
    fn blanks_in_a_mount_are_blanks() {
        assert_eq!(unescape("/mnt/my\\040disk"), "/mnt/my disk");
        assert_eq!(unescape("/mnt/odd\\"), "/mnt/odd\\");
        assert_eq!(unescape("/a\\9b"), "/a\\9b");
    }
}
