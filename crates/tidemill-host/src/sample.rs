//! What the machine is doing: levels of one reading and rates between two, by arithmetic alone.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::reading::{CpuTimes, Reading};

/// The machine and this process between two readings. Rates are `None` in the first sample, and everything is `None`
/// where the system cannot tell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Time since the reading before.
    pub elapsed: Option<Duration>,
    /// Processor.
    pub cpu: Cpu,
    /// Memory.
    pub memory: Memory,
    /// Disks.
    pub disk: Disk,
    /// Network.
    pub network: Network,
    /// File systems, in the order they were mounted.
    pub mounts: Vec<Mount>,
    /// This process.
    pub process: Process,
}

/// Processor.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cpu {
    /// Used share of all cores, 0-100. Waiting for a disk is not use.
    pub percent: Option<f64>,
    /// The same for each core.
    pub per_core: Vec<f64>,
    /// Runnable tasks over 1, 5 and 15 minutes.
    pub load: Option<[f64; 3]>,
    /// Tasks that run or could.
    pub running_tasks: Option<u64>,
    /// All tasks of the system: its threads.
    pub tasks: Option<u64>,
    /// When the system was started, in seconds since 1970.
    pub boot_seconds: Option<u64>,
    /// Context switches per second.
    pub context_switches_per_second: Option<f64>,
    /// Interrupts per second.
    pub interrupts_per_second: Option<f64>,
    /// Share of the time that some task waited for a processor, 0-100.
    pub pressure_percent: Option<f64>,
    /// Share of its periods in which the control group was stopped by its limit, 0-100; `None` when it did not want to
    /// run.
    pub throttled_percent: Option<f64>,
    /// Cores that the control group allows.
    pub limit_cores: Option<f64>,
}

/// Memory.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// Used share, 0-100: of the machine or of the control group's limit, whichever is tighter.
    pub percent: Option<f64>,
    /// What the machine has.
    pub total_bytes: Option<u64>,
    /// Not available.
    pub used_bytes: Option<u64>,
    /// What a new program could get without swapping.
    pub available_bytes: Option<u64>,
    /// The most that was used in any sample of this [`Host`](crate::Host).
    pub peak_used_bytes: Option<u64>,
    /// Share of the time that some task waited for memory, 0-100.
    pub pressure_percent: Option<f64>,
    /// Times that the system killed a process for want of memory, since boot.
    pub oom_kills: Option<u64>,
    /// Pages moved in from swap per second.
    pub swapped_in_per_second: Option<f64>,
    /// Pages moved out to swap per second.
    pub swapped_out_per_second: Option<f64>,
    /// Swap space.
    pub swap_total_bytes: Option<u64>,
    /// Of it, used.
    pub swap_used_bytes: Option<u64>,
    /// The control group's limit, when it is below the machine's memory.
    pub limit_bytes: Option<u64>,
}

/// Disks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Disk {
    /// Share of the processor time that was idle only because of a disk, 0-100.
    pub wait_percent: Option<f64>,
    /// Share of the time that the busiest disk had requests, 0-100.
    pub busy_percent: Option<f64>,
    /// Bytes read per second.
    pub read_bytes_per_second: Option<f64>,
    /// Bytes written per second.
    pub written_bytes_per_second: Option<f64>,
    /// Read operations per second.
    pub reads_per_second: Option<f64>,
    /// Write operations per second.
    pub writes_per_second: Option<f64>,
    /// How long a read operation took on average, in ms; `None` when there was none.
    pub read_ms: Option<f64>,
    /// How long a write operation took on average, in ms; `None` when there was none.
    pub write_ms: Option<f64>,
    /// Share of the time that some task waited for a disk, 0-100.
    pub pressure_percent: Option<f64>,
}

/// Network, without the loopback.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Network {
    /// Bytes received per second.
    pub received_bytes_per_second: Option<f64>,
    /// Bytes sent per second.
    pub sent_bytes_per_second: Option<f64>,
    /// Packets received per second.
    pub received_packets_per_second: Option<f64>,
    /// Packets sent per second.
    pub sent_packets_per_second: Option<f64>,
    /// Packets damaged or dropped per second, in either direction.
    pub failed_packets_per_second: Option<f64>,
    /// TCP sockets in use.
    pub connections: Option<u64>,
}

/// One file system.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Mount {
    /// Where it is.
    pub path: PathBuf,
    /// Its size.
    pub total_bytes: u64,
    /// What a user without privileges can still write.
    pub available_bytes: u64,
    /// Used share of what such a user could have, 0-100, as `df` shows it.
    pub percent: f64,
}

/// This process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Process {
    /// Processor time since it started.
    pub cpu_seconds: Option<f64>,
    /// Processor time per time, 100 for one full core.
    pub cpu_percent: Option<f64>,
    /// Resident memory.
    pub rss_bytes: Option<u64>,
    /// The most it ever was.
    pub peak_rss_bytes: Option<u64>,
    /// Threads.
    pub threads: Option<u64>,
    /// Open files.
    pub open_files: Option<u64>,
}

impl Sample {
    /// The levels of `now`, and the rates since `before`, which was read `elapsed` earlier. A total that stepped back
    /// (a disk was removed) gives 0.
    #[must_use]
    pub fn between(before: Option<(&Reading, Duration)>, now: &Reading) -> Self {
        let before = before.filter(|(_, elapsed)| !elapsed.is_zero());
        let elapsed = before.map(|(_, elapsed)| elapsed);
        let rate = |total: fn(&Reading) -> Option<u64>| {
            let (earlier, elapsed) = before?;
            Some(total(now)?.saturating_sub(total(earlier)?) as f64 / elapsed.as_secs_f64())
        };
        // Microseconds per second, as percent.
        let waited = |total: fn(&Reading) -> Option<u64>| rate(total).map(|us| (us / 1e4).min(100.0));
        // The mean of what happened in between.
        let mean = |sum: fn(&Reading) -> Option<u64>, count: fn(&Reading) -> Option<u64>| {
            let (earlier, _) = before?;
            let count = count(now)?.saturating_sub(count(earlier)?);
            let sum = sum(now)?.saturating_sub(sum(earlier)?);
            (count > 0).then(|| sum as f64 / count as f64)
        };
        let times = before.and_then(|(earlier, _)| Some((earlier.cpu?, now.cpu?)));
        let per_core = match before {
            Some((earlier, _)) if earlier.cores.len() == now.cores.len() => earlier
                .cores
                .iter()
                .zip(&now.cores)
                .map(|(a, b)| used_percent(*a, *b).unwrap_or(0.0))
                .collect(),
            _ => Vec::new(),
        };
        let cpu_seconds = before.and_then(|(earlier, elapsed)| {
            let used = now.process_cpu_seconds? - earlier.process_cpu_seconds?;
            Some(used.max(0.0) / elapsed.as_secs_f64() * 100.0)
        });
        Self {
            elapsed,
            cpu: Cpu {
                percent: times.and_then(|(a, b)| used_percent(a, b)).or(now.cpu_percent),
                per_core,
                load: now.load,
                running_tasks: now.tasks.map(|(running, _)| running),
                tasks: now.tasks.map(|(_, all)| all),
                boot_seconds: now.boot_seconds,
                context_switches_per_second: rate(|reading| reading.context_switches),
                interrupts_per_second: rate(|reading| reading.interrupts),
                pressure_percent: waited(|reading| reading.pressure.cpu_us),
                throttled_percent: mean(
                    |reading| Some(reading.throttled?.stopped),
                    |reading| Some(reading.throttled?.periods),
                )
                .map(|share| (share * 100.0).min(100.0)),
                limit_cores: now.cpu_limit,
            },
            memory: Memory {
                pressure_percent: waited(|reading| reading.pressure.memory_us),
                oom_kills: now.oom_kills,
                swapped_in_per_second: rate(|reading| Some(reading.swapped_pages?.0)),
                swapped_out_per_second: rate(|reading| Some(reading.swapped_pages?.1)),
                ..Memory::new(now)
            },
            disk: Disk {
                wait_percent: times.and_then(|(a, b)| share(b.wait.saturating_sub(a.wait), a, b)),
                // Milliseconds per second, as percent.
                busy_percent: rate(|reading| Some(reading.disk?.busy_ms)).map(|ms| (ms / 10.0).min(100.0)),
                read_bytes_per_second: rate(|reading| Some(reading.disk?.read_bytes)),
                written_bytes_per_second: rate(|reading| Some(reading.disk?.written_bytes)),
                reads_per_second: rate(|reading| Some(reading.disk?.reads)),
                writes_per_second: rate(|reading| Some(reading.disk?.writes)),
                read_ms: mean(|reading| Some(reading.disk?.read_ms), |reading| Some(reading.disk?.reads)),
                write_ms: mean(|reading| Some(reading.disk?.write_ms), |reading| Some(reading.disk?.writes)),
                pressure_percent: waited(|reading| reading.pressure.io_us),
            },
            network: Network {
                received_bytes_per_second: rate(|reading| Some(reading.network?.received_bytes)),
                sent_bytes_per_second: rate(|reading| Some(reading.network?.sent_bytes)),
                received_packets_per_second: rate(|reading| Some(reading.network?.received_packets)),
                sent_packets_per_second: rate(|reading| Some(reading.network?.sent_packets)),
                failed_packets_per_second: rate(|reading| Some(reading.network?.failed_packets)),
                connections: now.connections,
            },
            mounts: now.mounts.clone(),
            process: Process {
                cpu_seconds: now.process_cpu_seconds,
                cpu_percent: cpu_seconds,
                rss_bytes: now.rss_bytes,
                peak_rss_bytes: now.peak_rss_bytes,
                threads: now.threads,
                open_files: now.open_files,
            },
        }
    }
}

impl Memory {
    fn new(now: &Reading) -> Self {
        let Some(levels) = now.memory else { return Self::default() };
        let used = levels.total.saturating_sub(levels.available);
        let limit = now.memory_limit.filter(|(limit, _)| *limit < levels.total);
        let machine = percent(used, levels.total);
        let group = limit.and_then(|(limit, used)| percent(used, limit));
        Self {
            percent: machine.into_iter().chain(group).reduce(f64::max),
            total_bytes: Some(levels.total),
            used_bytes: Some(used),
            available_bytes: Some(levels.available),
            swap_total_bytes: Some(levels.swap_total),
            swap_used_bytes: Some(levels.swap_total.saturating_sub(levels.swap_free)),
            limit_bytes: limit.map(|(limit, _)| limit),
            peak_used_bytes: Some(used),
            ..Self::default()
        }
    }
}

impl Mount {
    /// From what the system says in blocks: all, free, and free for a user without privileges.
    #[must_use]
    pub fn new(path: PathBuf, block_bytes: u64, blocks: u64, free: u64, available: u64) -> Self {
        let used = blocks.saturating_sub(free);
        Self {
            path,
            total_bytes: blocks.saturating_mul(block_bytes),
            available_bytes: available.saturating_mul(block_bytes),
            percent: percent(used, used.saturating_add(available)).unwrap_or(0.0),
        }
    }
}

fn used_percent(before: CpuTimes, now: CpuTimes) -> Option<f64> {
    let total = now.total.checked_sub(before.total)?;
    // The kernel's idle and wait times may step back by a tick.
    let unused = now.idle.saturating_sub(before.idle) + now.wait.saturating_sub(before.wait);
    share(total.saturating_sub(unused), before, now)
}

fn share(part: u64, before: CpuTimes, now: CpuTimes) -> Option<f64> {
    percent(part, now.total.checked_sub(before.total)?)
}

fn percent(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| (part as f64 / whole as f64 * 100.0).min(100.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading::{DiskTotals, MemoryLevels, NetworkTotals, Pressure, Throttled};

    fn times(total: u64, idle: u64, wait: u64) -> CpuTimes {
        CpuTimes { total, idle, wait }
    }

    #[test]
    fn rates_are_differences_over_time() {
        let disk = DiskTotals {
            read_bytes: 1000,
            reads: 10,
            writes: 5,
            busy_ms: 100,
            read_ms: 50,
            ..DiskTotals::default()
        };
        let network = NetworkTotals { received_bytes: 50, sent_bytes: 70, ..NetworkTotals::default() };
        let before = Reading {
            cpu: Some(times(1000, 800, 50)),
            cores: vec![times(500, 400, 0), times(500, 400, 50)],
            context_switches: Some(100),
            disk: Some(disk),
            network: Some(network),
            pressure: Pressure { cpu_us: Some(100_000), memory_us: None, io_us: Some(0) },
            throttled: Some(Throttled { periods: 10, stopped: 5 }),
            swapped_pages: Some((0, 0)),
            interrupts: Some(0),
            process_cpu_seconds: Some(1.5),
            ..Reading::default()
        };
        let now = Reading {
            cpu: Some(times(1200, 900, 90)),
            cores: vec![times(600, 400, 0), times(600, 500, 50)],
            context_switches: Some(300),
            disk: Some(DiskTotals {
                read_bytes: 5000,
                written_bytes: 8000,
                reads: 30,
                writes: 9,
                busy_ms: 1100,
                read_ms: 90,
                write_ms: 6,
            }),
            network: Some(NetworkTotals {
                received_bytes: 150,
                sent_bytes: 20,
                received_packets: 8,
                failed_packets: 2,
                ..NetworkTotals::default()
            }),
            pressure: Pressure { cpu_us: Some(500_000), memory_us: Some(1), io_us: Some(9_000_000) },
            throttled: Some(Throttled { periods: 30, stopped: 10 }),
            swapped_pages: Some((4, 10)),
            interrupts: Some(1000),
            tasks: Some((2, 300)),
            process_cpu_seconds: Some(2.5),
            ..Reading::default()
        };
        let s = Sample::between(Some((&before, Duration::from_secs(2))), &now);
        assert_eq!(s.cpu.percent, Some(30.0));
        assert_eq!(s.cpu.per_core, [100.0, 0.0]);
        assert_eq!(s.disk.wait_percent, Some(20.0));
        assert_eq!(s.disk.busy_percent, Some(50.0));
        assert_eq!(s.cpu.context_switches_per_second, Some(100.0));
        assert_eq!(s.disk.read_bytes_per_second, Some(2000.0));
        assert_eq!(s.disk.written_bytes_per_second, Some(4000.0));
        assert_eq!((s.disk.reads_per_second, s.disk.writes_per_second), (Some(10.0), Some(2.0)));
        assert_eq!(s.network.received_bytes_per_second, Some(50.0));
        assert_eq!(s.network.sent_bytes_per_second, Some(0.0), "a total that stepped back");
        assert_eq!(s.process.cpu_percent, Some(50.0));
        assert_eq!((s.disk.read_ms, s.disk.write_ms), (Some(2.0), Some(1.5)));
        assert_eq!((s.cpu.pressure_percent, s.disk.pressure_percent), (Some(20.0), Some(100.0)));
        assert_eq!(s.memory.pressure_percent, None, "not known before");
        assert_eq!(s.cpu.throttled_percent, Some(25.0));
        assert_eq!((s.memory.swapped_in_per_second, s.memory.swapped_out_per_second), (Some(2.0), Some(5.0)));
        assert_eq!(
            (s.cpu.interrupts_per_second, s.cpu.running_tasks, s.cpu.tasks),
            (Some(500.0), Some(2), Some(300))
        );
        assert_eq!(s.network.received_packets_per_second, Some(4.0));
        assert_eq!(s.network.failed_packets_per_second, Some(1.0));
    }

    #[test]
    fn the_first_sample_has_levels_only() {
        let memory = MemoryLevels { total: 1000, available: 750, swap_total: 100, swap_free: 90 };
        let now = Reading { cpu: Some(times(10, 5, 0)), memory: Some(memory), ..Reading::default() };
        for s in [Sample::between(None, &now), Sample::between(Some((&now, Duration::ZERO)), &now)] {
            assert_eq!(s.cpu.percent, None);
            assert_eq!(s.memory.percent, Some(25.0));
            assert_eq!(s.memory.swap_used_bytes, Some(10));
            assert_eq!(s.elapsed, None);
        }
    }

    #[test]
    fn the_tighter_memory_limit_counts() {
        let memory = MemoryLevels { total: 1000, available: 750, ..MemoryLevels::default() };
        let with = |limit| Reading { memory: Some(memory), memory_limit: Some(limit), ..Reading::default() };
        let tight = Sample::between(None, &with((100, 90)));
        assert_eq!((tight.memory.percent, tight.memory.limit_bytes), (Some(90.0), Some(100)));
        let wide = Sample::between(None, &with((500, 50)));
        assert_eq!(wide.memory.percent, Some(25.0));
        let none = Sample::between(None, &with((u64::MAX, 900)));
        assert_eq!((none.memory.percent, none.memory.limit_bytes), (Some(25.0), None));
    }

    #[test]
    fn fullness_is_what_df_says() {
        let mount = Mount::new("/".into(), 4096, 1000, 400, 300);
        assert_eq!((mount.total_bytes, mount.available_bytes), (4_096_000, 1_228_800));
        assert!((mount.percent - 600.0 / 900.0 * 100.0).abs() < 1e-9);
        assert_eq!(Mount::new("/".into(), 4096, 0, 0, 0).percent, 0.0);
    }
}
