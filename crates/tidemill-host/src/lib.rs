//! What this machine is doing: processor, memory, disks, network and this process.
//!
//! ```
//! use std::time::Instant;
//! use tidemill_host::{Config, Host};
//!
//! # fn main() -> Result<(), tidemill_host::Error> {
//! let origin = Instant::now();
//! let mut host = Host::builder(Config::default()).build()?;
//! host.sample(origin.elapsed())?;
//! // … some time later
//! let sample = host.sample(origin.elapsed())?;
//! if let Some(percent) = sample.memory.percent {
//!     assert!((0.0..=100.0).contains(&percent));
//! }
//! # Ok(()) }
//! ```
//!
//! Rates need two readings, so that the first sample has levels only. [`Sample::between`] is the arithmetic without the
//! system.
//!
//! **Linux** is read from `/proc` and the control group (versions 1 and 2), with the files kept open. **Other systems**
//! tell processor, memory and process by `sysinfo`; what they cannot tell is `None`.
//!
//! [`Facts`] tells everything that Linux says of a machine, some hundred names, as node_exporter calls them.
//!
//! [`Doctor`] reads how the machine is set and says what to change, with the exact commands, their reason, risk and way back.
//!
//! [`release_memory`] gives back what this process has freed.
//!
//! **Bounds.** 1 MiB of any file, `max_mounts` file systems. Only local file systems are asked for their size, as one
//! behind a dead network would hang.

mod config;
mod doctor;
mod error;
mod facts;
mod host;
#[cfg(any(target_os = "linux", test))]
mod procfs;
mod reading;
mod release;
mod sample;
mod stats;
#[cfg_attr(target_os = "linux", path = "linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "other.rs")]
mod system;

pub use config::{Config, FactsConfig};
pub use doctor::{Doctor, Finding, Status, Write};
pub use error::{Error, ErrorKind};
pub use facts::{About, Fact, FactKind, Facts, FactsBuilder};
pub use host::{Builder, Host};
pub use reading::{CpuTimes, DiskTotals, MemoryLevels, NetworkTotals, Pressure, Reading, Throttled};
pub use release::release_memory;
pub use sample::{Cpu, Disk, Memory, Mount, Network, Process, Sample};
pub use stats::FactsStats;
