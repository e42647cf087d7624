//! What the system says at one moment: totals since boot, and levels. Rates come from two of these.

use serde::{Deserialize, Serialize};

use crate::sample::Mount;

/// One look at the system. `None` where it cannot tell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// Processor time of all cores.
    pub cpu: Option<CpuTimes>,
    /// Processor time of each core, in the system's order.
    pub cores: Vec<CpuTimes>,
    /// What the system itself gives as the used share, in percent, where it gives no times.
    pub cpu_percent: Option<f64>,
    /// Runnable tasks over 1, 5 and 15 minutes.
    pub load: Option<[f64; 3]>,
    /// Tasks of the system: those that run or could, and all.
    pub tasks: Option<(u64, u64)>,
    /// When the system was started, in seconds since 1970.
    pub boot_seconds: Option<u64>,
    /// Context switches since boot.
    pub context_switches: Option<u64>,
    /// Interrupts since boot.
    pub interrupts: Option<u64>,
    /// Time that somebody had to wait for the processor, for memory and for a disk.
    pub pressure: Pressure,
    /// Pages moved in from and out to swap since boot.
    pub swapped_pages: Option<(u64, u64)>,
    /// Times that the system killed a process for want of memory, since boot.
    pub oom_kills: Option<u64>,
    /// Memory levels.
    pub memory: Option<MemoryLevels>,
    /// The limit of the control group: bytes allowed, and used without what can be dropped.
    pub memory_limit: Option<(u64, u64)>,
    /// Cores that the control group allows.
    pub cpu_limit: Option<f64>,
    /// What the control group's processor limit cost.
    pub throttled: Option<Throttled>,
    /// All whole disks together.
    pub disk: Option<DiskTotals>,
    /// All interfaces but the loopback.
    pub network: Option<NetworkTotals>,
    /// TCP sockets in use.
    pub connections: Option<u64>,
    /// File systems.
    pub mounts: Vec<Mount>,
    /// Processor time of this process in seconds.
    pub process_cpu_seconds: Option<f64>,
    /// Resident memory of this process.
    pub rss_bytes: Option<u64>,
    /// The most it ever was.
    pub peak_rss_bytes: Option<u64>,
    /// Threads of this process.
    pub threads: Option<u64>,
    /// Open files of this process.
    pub open_files: Option<u64>,
}

/// Processor time since boot, in the system's ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuTimes {
    /// All of it.
    pub total: u64,
    /// With nothing to do.
    pub idle: u64,
    /// With nothing to do while a disk request was under way.
    pub wait: u64,
}

/// Memory levels in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryLevels {
    /// What the machine has.
    pub total: u64,
    /// What a new program could get without swapping.
    pub available: u64,
    /// Swap space.
    pub swap_total: u64,
    /// Of it, unused.
    pub swap_free: u64,
}

/// Disk totals since boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskTotals {
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes written.
    pub written_bytes: u64,
    /// Read operations.
    pub reads: u64,
    /// Write operations.
    pub writes: u64,
    /// Time that the busiest disk had requests, in ms.
    pub busy_ms: u64,
    /// Time that read operations took, added up, in ms.
    pub read_ms: u64,
    /// The same of write operations.
    pub write_ms: u64,
}

/// Network totals since boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkTotals {
    /// Bytes received.
    pub received_bytes: u64,
    /// Bytes sent.
    pub sent_bytes: u64,
    /// Packets received.
    pub received_packets: u64,
    /// Packets sent.
    pub sent_packets: u64,
    /// Packets that were damaged or dropped, in either direction.
    pub failed_packets: u64,
}

/// Time since boot that at least one task waited, in microseconds (Linux's pressure stall information).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pressure {
    /// For a processor.
    pub cpu_us: Option<u64>,
    /// For memory.
    pub memory_us: Option<u64>,
    /// For a disk.
    pub io_us: Option<u64>,
}

/// What a processor limit cost, since the control group was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Throttled {
    /// Periods in which the group wanted to run.
    pub periods: u64,
    /// Those in which it was stopped.
    pub stopped: u64,
}
