//! What the server used of its machine, at one moment of the run.

use serde::{Deserialize, Serialize};

/// The server's processes together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServerSample {
    /// Seconds since the start of the run.
    pub at_s: f64,
    /// Processor use since the sample before, in cores: 1.0 is one core fully used.
    pub cpu_cores: f64,
    /// Resident memory.
    pub memory_bytes: u64,
    /// Open file descriptors; 0 when not known.
    pub open_files: u64,
    /// Bytes read from disks a second, since the sample before; 0 when not known.
    pub disk_read_bytes: f64,
    /// Bytes written to disks a second, since the sample before; 0 when not known.
    pub disk_write_bytes: f64,
    /// Bytes a second over the machine's interfaces, both ways, loopback included; 0 when not known.
    pub network_bytes: f64,
    /// The share of the whole machine's processors (0-1) that was busy; 0 when not known.
    pub host_cpu: f64,
    /// The share of the whole machine's memory (0-1) that was in use; 0 when not known.
    pub host_memory: f64,
}
