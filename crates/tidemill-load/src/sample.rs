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

impl ServerSample {
    /// To six digits after the point, so that JSON gives back the same.
    pub(crate) fn rounded(mut self) -> Self {
        let fields = [
            &mut self.at_s,
            &mut self.cpu_cores,
            &mut self.disk_read_bytes,
            &mut self.disk_write_bytes,
            &mut self.network_bytes,
            &mut self.host_cpu,
            &mut self.host_memory,
        ];
        for field in fields {
            *field = round(*field);
        }
        self
    }
}

/// Six digits after the point.
pub(crate) fn round(value: f64) -> f64 {
    if value.abs() < 1e9 { (value * 1e6).round() / 1e6 } else { value.round() }
}
