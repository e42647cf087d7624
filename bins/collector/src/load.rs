//! How busy the machine was during a pass: means over samples, for the grades.

use std::time::{Duration, Instant};

use tidemill_host::Host;

/// Time between two samples.
const EVERY: Duration = Duration::from_secs(2);

/// Means of the machine's load since the start.
#[derive(Debug)]
pub struct Load {
    host: Option<Host>,
    begun: Instant,
    next: Instant,
    cpu: Mean,
    memory: Mean,
    disk_wait: Mean,
}

#[derive(Clone, Copy, Debug, Default)]
struct Mean {
    sum: f64,
    count: u32,
}

impl Load {
    /// Starts sampling. A machine that cannot be read is not graded.
    pub fn start() -> Self {
        let host = match Host::builder(tidemill_host::Config::default()).build() {
            Ok(host) => Some(host),
            Err(error) => {
                tracing::warn!(%error, "this machine's load cannot be read, so it is not graded");
                None
            }
        };
        let begun = Instant::now();
        let (cpu, memory, disk_wait) = Default::default();
        let mut load = Self { host, begun, next: begun, cpu, memory, disk_wait };
        load.sample();
        load
    }

    /// Takes a sample when it is time.
    pub fn sample(&mut self) {
        if Instant::now() >= self.next {
            self.take();
        }
    }

    /// Takes the last sample, so that a short pass is graded too.
    pub fn finish(&mut self) {
        self.take();
    }

    fn take(&mut self) {
        let now = Instant::now();
        self.next = now + EVERY;
        let Some(host) = &mut self.host else { return };
        match host.sample(now.duration_since(self.begun)) {
            Ok(sample) => {
                self.cpu.add(sample.cpu.percent);
                self.memory.add(sample.memory.percent);
                self.disk_wait.add(sample.disk.wait_percent);
            }
            Err(error) => tracing::debug!(%error, "no sample of this machine's load"),
        }
    }

    /// Processor use, percent.
    pub fn cpu_percent(&self) -> Option<f64> {
        self.cpu.get()
    }

    /// Memory use, percent.
    pub fn memory_percent(&self) -> Option<f64> {
        self.memory.get()
    }

    /// Time a disk was waited for, percent.
    pub fn disk_wait_percent(&self) -> Option<f64> {
        self.disk_wait.get()
    }
}

impl Mean {
    fn add(&mut self, value: Option<f64>) {
        if let Some(value) = value {
            self.sum += value;
            self.count += 1;
        }
    }

    fn get(self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / f64::from(self.count))
    }
}
