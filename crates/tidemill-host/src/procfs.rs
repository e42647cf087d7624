//! The text of Linux's /proc and /sys, read without touching either: see proc(5) and the kernel's cgroup documents.

use crate::reading::{CpuTimes, DiskTotals, MemoryLevels, NetworkTotals, Throttled};

/// What /proc/stat says.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Stat {
    pub(crate) cpu: Option<CpuTimes>,
    pub(crate) cores: Vec<CpuTimes>,
    pub(crate) context_switches: Option<u64>,
    pub(crate) interrupts: Option<u64>,
    pub(crate) boot_seconds: Option<u64>,
}

pub(crate) fn stat(text: &str) -> Stat {
    let mut stat = Stat::default();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        match words.next() {
            Some("cpu") => stat.cpu = times(words),
            Some("ctxt") => stat.context_switches = words.next().and_then(|word| word.parse().ok()),
            // All of them come first, each kind after it.
            Some("intr") => stat.interrupts = words.next().and_then(|word| word.parse().ok()),
            Some("btime") => stat.boot_seconds = words.next().and_then(|word| word.parse().ok()),
            Some(name) if name.starts_with("cpu") => stat.cores.extend(times(words)),
            _ => {}
        }
    }
    stat
}

/// user nice system idle iowait irq softirq steal; what follows (guest) is contained in user.
fn times<'a>(words: impl Iterator<Item = &'a str>) -> Option<CpuTimes> {
    let mut all = [0_u64; 8];
    let mut found = 0;
    for (time, word) in all.iter_mut().zip(words) {
        *time = word.parse().ok()?;
        found += 1;
    }
    (found >= 4).then(|| CpuTimes {
        total: all.iter().fold(0, |sum, time| sum.saturating_add(*time)),
        idle: all[3],
        wait: all[4],
    })
}

pub(crate) fn load(text: &str) -> Option<[f64; 3]> {
    let mut words =
        text.split_ascii_whitespace().map(|word| word.parse::<f64>().ok().filter(|load| load.is_finite()));
    Some([words.next()??, words.next()??, words.next()??])
}

/// Tasks that run or could, and all, of /proc/loadavg.
pub(crate) fn tasks(text: &str) -> Option<(u64, u64)> {
    let (running, all) = text.split_ascii_whitespace().nth(3)?.split_once('/')?;
    Some((running.parse().ok()?, all.parse().ok()?))
}

/// Microseconds in which some task waited, of a file in /proc/pressure.
pub(crate) fn pressure(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("some "))?;
    line.split_ascii_whitespace().find_map(|word| word.strip_prefix("total="))?.parse().ok()
}

/// Periods and stopped ones of a `cpu.stat`.
pub(crate) fn throttled(text: &str) -> Option<Throttled> {
    Some(Throttled { periods: field(text, "nr_periods")?, stopped: field(text, "nr_throttled")? })
}

pub(crate) fn memory(text: &str) -> Option<MemoryLevels> {
    let bytes = |name: &str| kilobytes(text, name);
    Some(MemoryLevels {
        total: bytes("MemTotal:")?,
        available: bytes("MemAvailable:").or_else(|| bytes("MemFree:"))?,
        swap_total: bytes("SwapTotal:").unwrap_or(0),
        swap_free: bytes("SwapFree:").unwrap_or(0),
    })
}

/// The value of a line `name:  n kB`, in bytes.
pub(crate) fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

/// Adds up the lines of /proc/diskstats that `is_disk`; sectors have 512 bytes there, whatever the disk's.
pub(crate) fn disks(text: &str, mut is_disk: impl FnMut(&str) -> bool) -> DiskTotals {
    let mut all = DiskTotals::default();
    for line in text.lines() {
        let words: Vec<&str> = line.split_ascii_whitespace().take(13).collect();
        let [_, _, name, numbers @ ..] = words.as_slice() else { continue };
        let number = |i: usize| numbers.get(i).and_then(|word| word.parse::<u64>().ok()).unwrap_or(0);
        if numbers.len() < 10 || !is_disk(name) {
            continue;
        }
        all.reads = all.reads.saturating_add(number(0));
        all.read_bytes = all.read_bytes.saturating_add(number(2).saturating_mul(512));
        all.writes = all.writes.saturating_add(number(4));
        all.written_bytes = all.written_bytes.saturating_add(number(6).saturating_mul(512));
        all.busy_ms = all.busy_ms.max(number(9));
        all.read_ms = all.read_ms.saturating_add(number(3));
        all.write_ms = all.write_ms.saturating_add(number(7));
    }
    all
}

/// Adds up the interfaces of /proc/net/dev but the loopback.
pub(crate) fn network(text: &str) -> NetworkTotals {
    let mut all = NetworkTotals::default();
    for (name, numbers) in text.lines().filter_map(|line| line.split_once(':')) {
        if name.trim() == "lo" {
            continue;
        }
        // bytes packets errs drop fifo frame compressed multicast, and the same of what was sent.
        let mut found = [0_u64; 12];
        for (number, word) in found.iter_mut().zip(numbers.split_ascii_whitespace()) {
            *number = word.parse().unwrap_or(0);
        }
        let add = |to: &mut u64, n: u64| *to = to.saturating_add(n);
        add(&mut all.received_bytes, found[0]);
        add(&mut all.received_packets, found[1]);
        add(&mut all.sent_bytes, found[8]);
        add(&mut all.sent_packets, found[9]);
        [2, 3, 10, 11].into_iter().for_each(|i| add(&mut all.failed_packets, found[i]));
    }
    all
}

/// TCP sockets in use of /proc/net/sockstat or sockstat6.
pub(crate) fn connections(text: &str) -> Option<u64> {
    let line =
        text.lines().find_map(|line| line.strip_prefix("TCP: ").or_else(|| line.strip_prefix("TCP6: ")))?;
    line.strip_prefix("inuse ")?.split_ascii_whitespace().next()?.parse().ok()
}

/// What /proc/self/stat says of a process.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ProcessStat {
    pub(crate) cpu_ticks: u64,
    pub(crate) threads: u64,
    pub(crate) rss_pages: u64,
}

pub(crate) fn process(text: &str) -> Option<ProcessStat> {
    // The name in parentheses may hold anything, parentheses and spaces included.
    let (_, after) = text.rsplit_once(')')?;
    let words: Vec<&str> = after.split_ascii_whitespace().take(22).collect();
    let number = |field: usize| words.get(field - 3)?.parse::<u64>().ok();
    Some(ProcessStat {
        cpu_ticks: number(14)?.checked_add(number(15)?)?,
        threads: number(20)?,
        rss_pages: number(24)?,
    })
}

/// A line of /proc/self/mountinfo: device number, path and kind.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct MountLine<'a> {
    pub(crate) device: &'a str,
    pub(crate) path: Vec<u8>,
    pub(crate) kind: &'a str,
}

pub(crate) fn mounts(text: &str) -> impl Iterator<Item = MountLine<'_>> {
    text.lines().filter_map(|line| {
        let (front, back) = line.split_once(" - ")?;
        let mut words = front.split_ascii_whitespace();
        let device = words.nth(2)?;
        let path = unescape(words.nth(1)?);
        Some(MountLine { device, path, kind: back.split_ascii_whitespace().next()? })
    })
}

/// `\040` and its like are bytes in octal.
pub(crate) fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let octal = after
            .get(..3)
            .filter(|digits| first == b'\\' && digits.iter().all(|d| (b'0'..=b'7').contains(d)));
        if let Some(digits) = octal {
            out.push(digits.iter().fold(0_u8, |byte, digit| byte.wrapping_mul(8).wrapping_add(digit - b'0')));
            rest = &after[3..];
        } else {
            out.push(first);
            rest = after;
        }
    }
    out
}

/// Whether a kind of file system can fill up and does not hang: no pseudo file systems, none behind a network.
pub(crate) fn is_local(kind: &str) -> bool {
    const LOCAL: [&str; 17] = [
        "ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "bcachefs", "jfs", "reiserfs", "vfat",
        "exfat", "ntfs3", "ufs", "overlay", "tmpfs", "nilfs2",
    ];
    LOCAL.contains(&kind)
}

/// Whether a file system stands where the kernel, systemd or a container's engine puts its own: nobody's data fills it,
/// or it is a view of one that is listed already. The same places that node_exporter leaves out by default.
pub(crate) fn is_apart(path: &[u8]) -> bool {
    const ALL: [&[u8]; 3] = [b"/dev", b"/proc", b"/sys"];
    const BELOW: [&[u8]; 3] = [b"/run/credentials/", b"/var/lib/docker/", b"/var/lib/containers/storage/"];
    let inside =
        |folder: &[u8]| path.strip_prefix(folder).is_some_and(|rest| matches!(rest, [] | [b'/', ..]));
    ALL.into_iter().any(inside) || BELOW.into_iter().any(|folder| path.starts_with(folder))
}

/// The control group's path for `controller` ("" for version 2) from /proc/self/cgroup.
pub(crate) fn cgroup<'a>(text: &'a str, controller: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        controllers.split(',').any(|name| name == controller).then_some(path)
    })
}

/// The first word as a number; "max" is none.
pub(crate) fn number(text: &str) -> Option<u64> {
    text.split_ascii_whitespace().next()?.parse().ok()
}

/// The value of a line `name n`.
pub(crate) fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| number(line.strip_prefix(name)?.strip_prefix(' ')?))
}

/// Cores of a `cpu.max`: quota and period in microseconds.
pub(crate) fn cpu_max(text: &str) -> Option<f64> {
    let mut words = text.split_ascii_whitespace();
    let quota: f64 = words.next()?.parse().ok()?;
    let period: f64 = words.next()?.parse().ok()?;
    (quota > 0.0 && period > 0.0).then(|| quota / period)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn processor_times() {
        let text = "cpu  10 1 5 80 4 0 0 0 3 0\ncpu0 5 1 5 40 4 0 0 0 3 0\ncpu1 5 0 0 40 0 0 0 0 0 0\nintr 5 6\nctxt 77\nbtime 1700000000\n";
        let stat = stat(text);
        assert_eq!(stat.cpu, Some(CpuTimes { total: 100, idle: 80, wait: 4 }));
        assert_eq!(stat.cores.len(), 2);
        assert_eq!(stat.context_switches, Some(77));
        assert_eq!((stat.interrupts, stat.boot_seconds), (Some(5), Some(1_700_000_000)));
        assert_eq!(super::stat("cpu 1 2\n").cpu, None, "cut short");
    }

    #[test]
    fn memory_and_load() {
        let text =
            "MemTotal:  1000 kB\nMemFree: 10 kB\nMemAvailable: 600 kB\nSwapTotal: 5 kB\nSwapFree: 4 kB\n";
        let levels = MemoryLevels { total: 1_024_000, available: 614_400, swap_total: 5120, swap_free: 4096 };
        assert_eq!(memory(text), Some(levels));
        assert_eq!(memory("MemTotal: x kB"), None);
        assert_eq!(load("0.50 1.25 2.00 3/400 12345\n"), Some([0.5, 1.25, 2.0]));
        assert_eq!(load("0.50 1.25"), None);
        assert_eq!(tasks("0.50 1.25 2.00 3/400 12345\n"), Some((3, 400)));
        assert_eq!(tasks("0.50 1.25 2.00\n"), None);
        let text = "some avg10=0.12 avg60=0.00 avg300=0.00 total=4711\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=9\n";
        assert_eq!((pressure(text), pressure("full total=9")), (Some(4711), None));
        let text = "usage_usec 9\nnr_periods 100\nnr_throttled 7\nthrottled_usec 5\n";
        assert_eq!(throttled(text), Some(Throttled { periods: 100, stopped: 7 }));
    }

    #[test]
    fn disks_and_network() {
        let text = "  8 0 sda 10 0 4 7 20 0 8 9 0 500 16\n  8 1 sda1 10 0 4 7 20 0 8 9 0 500 16\n  8 16 sdb 1 0 2 0 0 0 0 0 0 900 1\n";
        let totals = disks(text, |name| name == "sda" || name == "sdb");
        let wanted = DiskTotals {
            read_bytes: 6 * 512,
            written_bytes: 8 * 512,
            reads: 11,
            writes: 20,
            busy_ms: 900,
            read_ms: 7,
            write_ms: 9,
        };
        assert_eq!(totals, wanted);
        let text = "Inter-|   Receive |  Transmit\n face |bytes packets|bytes\n    lo: 9 9 0 0 0 0 0 0 9 9 0 0 0 0 0 0\n  eth0: 100 2 1 3 0 0 0 0 55 4 5 7 0 0 0 0\n";
        let wanted = NetworkTotals {
            received_bytes: 100,
            sent_bytes: 55,
            received_packets: 2,
            sent_packets: 4,
            failed_packets: 16,
        };
        assert_eq!(network(text), wanted);
        assert_eq!(connections("sockets: used 3\nTCP: inuse 27 orphan 0\nUDP: inuse 1\n"), Some(27));
        assert_eq!(connections("TCP6: inuse 4\n"), Some(4));
    }

    #[test]
    fn a_process_may_be_called_anything() {
        let fields = (4..=30).map(|n| n.to_string()).collect::<Vec<_>>().join(" ");
        let text = format!("77 (a) b (c) S {fields}\n");
        assert_eq!(process(&text), Some(ProcessStat { cpu_ticks: 29, threads: 20, rss_pages: 24 }));
        assert_eq!(process("77 (a) S 1 2 3"), None);
    }

    #[test]
    fn mounts_and_control_groups() {
        let text = "22 27 8:1 / /data\\040disk rw,relatime shared:1 - ext4 /dev/sda1 rw\n23 27 0:5 / /proc rw - proc proc rw\n";
        let all: Vec<_> = mounts(text).collect();
        assert_eq!(all[0], MountLine { device: "8:1", path: b"/data disk".to_vec(), kind: "ext4" });
        assert!(is_local(all[0].kind) && !is_local(all[1].kind));
        for path in
            ["/sys/fs/cgroup", "/dev", "/dev/shm", "/run/credentials/x.service", "/var/lib/docker/overlay2/a"]
        {
            assert!(is_apart(path.as_bytes()), "{path}");
        }
        for path in ["/", "/run", "/system", "/devices/a", "/var/lib/docker", "/a/sys", "/tmp"] {
            assert!(!is_apart(path.as_bytes()), "{path}");
        }
        assert_eq!(cgroup("4:memory:/a/b\n0::/c\n", ""), Some("/c"));
        assert_eq!(cgroup("4:cpu,memory:/a/b:c\n", "memory"), Some("/a/b:c"));
        assert_eq!(cpu_max("150000 100000\n"), Some(1.5));
        assert_eq!(cpu_max("max 100000\n"), None);
        assert_eq!((number("max\n"), number("12\n")), (None, Some(12)));
        assert_eq!(field("anon 1\ninactive_file 5\n", "inactive_file"), Some(5));
    }

    proptest! {
        #[test]
        fn no_text_makes_a_parser_panic(text in "([a-z0-9:()\\\\ -]|\n|[^a]){0,300}") {
            let _ = (stat(&text), load(&text), memory(&text), disks(&text, |_| true), network(&text));
            let _ = (connections(&text), process(&text), mounts(&text).count(), cgroup(&text, "memory"));
            let _ = (number(&text), field(&text, "a"), cpu_max(&text));
            let _ = (tasks(&text), pressure(&text), throttled(&text));
        }

        #[test]
        fn no_number_makes_a_parser_panic(numbers in prop::collection::vec(any::<u64>(), 0..40)) {
            let words = numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(" ");
            let _ = (stat(&format!("cpu {words}")), disks(&format!("8 0 sda {words}"), |_| true));
            let _ = (network(&format!("eth0: {words}")), process(&format!("1 (x) {words}")));
            let _ = memory(&format!("MemTotal: {words} kB\nMemAvailable: {words} kB"));
        }
    }
}
