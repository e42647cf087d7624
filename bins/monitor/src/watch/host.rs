//! This host as series: processor, memory, disks, network, mounts, and the monitor's own process; in full all that a
//! node_exporter tells.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use tidemill_host::{Fact, FactKind, Facts, FactsConfig, FactsStats, Host, Mount, Sample};

use super::intern::{Interner, Wanted};
use crate::config::{HostDetail, Monitor};
use crate::current::Current;
use crate::series::{Kind, Reading};

/// This host, looked at again and again.
pub(super) struct Watched {
    host: Host,
    facts: Option<Facts>,
    interner: Interner,
    origin: Instant,
    link: Option<f64>,
    current: Current,
    /// Facts that were explained.
    explained: usize,
}

impl Watched {
    /// `current` is told what the names mean.
    pub(super) fn new(config: &Monitor, current: Current) -> anyhow::Result<Self> {
        let link = match config.network_mbit {
            Some(mbit) => Some(f64::from(mbit) * 125_000.0),
            None => link_bytes_per_second(Path::new("/sys/class/net")),
        };
        let bounds = FactsConfig::default();
        let room = 4096 + if config.host_detail == HostDetail::Full { bounds.max_facts } else { 0 };
        let facts = match config.host_detail {
            HostDetail::Summary => None,
            HostDetail::Full => Some(Facts::builder(bounds).build()?),
        };
        let interner = Interner::new(&Arc::from("host"), Wanted::default(), room);
        Ok(Self { host: Host::new()?, facts, interner, origin: Instant::now(), link, current, explained: 0 })
    }

    /// Everything now. Blocks for as long as a file system does.
    pub(super) fn look(&mut self) -> Result<Vec<Reading>, tidemill_host::Error> {
        let sample = self.host.sample(self.origin.elapsed())?;
        self.interner.begin();
        let mut readings = readings(&sample, self.link, &mut self.interner);
        if let Some(facts) = &mut self.facts {
            let all = facts.read(SystemTime::now());
            if all.len() != self.explained {
                self.explained = all.len();
                self.current.explain(all.iter().map(|fact| (fact.about.name(), fact.about.help())));
            }
            detailed(all, &mut self.interner, &mut readings);
            left_out(facts.stats(), &mut self.interner, &mut readings);
        }
        self.interner.end();
        Ok(readings)
    }
}

/// Facts as readings.
fn detailed(facts: &[Fact], interner: &mut Interner, readings: &mut Vec<Reading>) {
    readings.reserve(facts.len());
    let mut labels: Vec<(&str, &str)> = Vec::with_capacity(16);
    for fact in facts {
        labels.clear();
        labels.extend(fact.about.labels());
        let kind = match fact.about.kind() {
            FactKind::Counter => Kind::Counter,
            FactKind::Gauge => Kind::Gauge,
        };
        if let Some(series) = interner.labelled(fact.about.name(), &labels, kind) {
            readings.push(Reading { series, value: fact.value });
        }
    }
}

/// What one sample says. Names begin with `system_`, of this process with `process_`; what is not known is left out. `link`
/// is what the network can carry one way, in bytes a second.
fn readings(sample: &Sample, link: Option<f64>, interner: &mut Interner) -> Vec<Reading> {
    let mut out = Out { interner, readings: Vec::with_capacity(64) };
    processor(sample, &mut out);
    memory(sample, &mut out);
    disk(sample, &mut out);
    network(sample, link, &mut out);
    // Of several on one path the last is the one that is seen.
    for mount in sample.mounts.iter().rev() {
        of_mount(mount, &mut out);
    }
    process(sample, &mut out);
    out.readings
}

struct Out<'a> {
    interner: &'a mut Interner,
    readings: Vec<Reading>,
}

impl Out<'_> {
    fn gauge(&mut self, name: &str, value: Option<f64>) {
        self.with(name, &[], Kind::Gauge, value);
    }

    fn with(&mut self, name: &str, labels: &[(&str, &str)], kind: Kind, value: Option<f64>) {
        let Some(value) = value.filter(|value| value.is_finite()) else { return };
        if let Some(series) = self.interner.labelled(name, labels, kind) {
            self.readings.push(Reading { series: Arc::clone(&series), value });
        }
    }
}

/// What could not be told.
fn left_out(stats: FactsStats, interner: &mut Interner, readings: &mut Vec<Reading>) {
    for (name, count) in [
        ("system_facts_unreadable_total", stats.unreadable),
        ("system_facts_odd_total", stats.odd),
        ("system_facts_beyond_total", stats.beyond),
    ] {
        if let Some(series) = interner.labelled(name, &[], Kind::Counter) {
            readings.push(Reading { series, value: as_f64(count) });
        }
    }
}

fn processor(sample: &Sample, out: &mut Out<'_>) {
    let cpu = &sample.cpu;
    out.gauge("system_cpu_percent", cpu.percent);
    for (core, percent) in cpu.per_core.iter().enumerate() {
        out.with("system_cpu_core_percent", &[("core", &core.to_string())], Kind::Gauge, Some(*percent));
    }
    for (name, at) in [("system_load1", 0), ("system_load5", 1), ("system_load15", 2)] {
        out.gauge(name, cpu.load.map(|load| load[at]));
    }
    out.gauge("system_tasks_running", cpu.running_tasks.map(as_f64));
    out.gauge("system_tasks", cpu.tasks.map(as_f64));
    out.gauge("system_boot_time_seconds", cpu.boot_seconds.map(as_f64));
    out.gauge("system_context_switches_per_second", cpu.context_switches_per_second);
    out.gauge("system_interrupts_per_second", cpu.interrupts_per_second);
    out.gauge("system_cpu_pressure_percent", cpu.pressure_percent);
    out.gauge("system_cpu_throttled_percent", cpu.throttled_percent);
    out.gauge("system_cpu_limit_cores", cpu.limit_cores);
}

fn memory(sample: &Sample, out: &mut Out<'_>) {
    let memory = &sample.memory;
    out.gauge("system_memory_percent", memory.percent);
    out.gauge("system_memory_total_bytes", memory.total_bytes.map(as_f64));
    out.gauge("system_memory_used_bytes", memory.used_bytes.map(as_f64));
    out.gauge("system_memory_available_bytes", memory.available_bytes.map(as_f64));
    out.gauge("system_memory_peak_used_bytes", memory.peak_used_bytes.map(as_f64));
    out.gauge("system_memory_pressure_percent", memory.pressure_percent);
    out.gauge("system_memory_limit_bytes", memory.limit_bytes.map(as_f64));
    out.gauge("system_swap_total_bytes", memory.swap_total_bytes.map(as_f64));
    out.gauge("system_swap_used_bytes", memory.swap_used_bytes.map(as_f64));
    out.gauge("system_swapped_in_pages_per_second", memory.swapped_in_per_second);
    out.gauge("system_swapped_out_pages_per_second", memory.swapped_out_per_second);
    out.with("system_oom_kills_total", &[], Kind::Counter, memory.oom_kills.map(as_f64));
}

fn disk(sample: &Sample, out: &mut Out<'_>) {
    let disk = &sample.disk;
    out.gauge("system_disk_wait_percent", disk.wait_percent);
    out.gauge("system_disk_busy_percent", disk.busy_percent);
    out.gauge("system_disk_read_bytes_per_second", disk.read_bytes_per_second);
    out.gauge("system_disk_written_bytes_per_second", disk.written_bytes_per_second);
    out.gauge("system_disk_reads_per_second", disk.reads_per_second);
    out.gauge("system_disk_writes_per_second", disk.writes_per_second);
    out.gauge("system_disk_read_milliseconds", disk.read_ms);
    out.gauge("system_disk_write_milliseconds", disk.write_ms);
    out.gauge("system_disk_pressure_percent", disk.pressure_percent);
}

fn network(sample: &Sample, link: Option<f64>, out: &mut Out<'_>) {
    let network = &sample.network;
    out.gauge("system_network_received_bytes_per_second", network.received_bytes_per_second);
    out.gauge("system_network_sent_bytes_per_second", network.sent_bytes_per_second);
    out.gauge("system_network_received_packets_per_second", network.received_packets_per_second);
    out.gauge("system_network_sent_packets_per_second", network.sent_packets_per_second);
    out.gauge("system_network_failed_packets_per_second", network.failed_packets_per_second);
    out.gauge("system_network_connections", network.connections.map(as_f64));
    // A link carries as much each way: the busier way is what is full.
    let busier =
        network.received_bytes_per_second.into_iter().chain(network.sent_bytes_per_second).reduce(f64::max);
    out.gauge("system_network_percent", link.zip(busier).map(|(link, busier)| 100.0 * busier / link));
}

/// Bytes a second that the interfaces below this folder (`/sys/class/net`) carry one way: those that are up, belong to a
/// device and know their speed.
fn link_bytes_per_second(interfaces: &Path) -> Option<f64> {
    let speed = |folder: PathBuf| -> Option<f64> {
        let read = |file: &str| std::fs::read_to_string(folder.join(file)).ok();
        let up = read("operstate")?.trim() == "up" && folder.join("device").exists();
        let mbit: f64 = read("speed")?.trim().parse().ok()?;
        (up && mbit > 0.0).then_some(mbit * 125_000.0)
    };
    let all = std::fs::read_dir(interfaces).ok()?.flatten().filter_map(|entry| speed(entry.path()));
    Some(all.sum::<f64>()).filter(|sum| *sum > 0.0)
}

fn of_mount(mount: &Mount, out: &mut Out<'_>) {
    let path = mount.path.to_string_lossy();
    let labels = [("mount", &*path)];
    out.with("system_mount_percent", &labels, Kind::Gauge, Some(mount.percent));
    out.with("system_mount_total_bytes", &labels, Kind::Gauge, Some(as_f64(mount.total_bytes)));
    out.with("system_mount_available_bytes", &labels, Kind::Gauge, Some(as_f64(mount.available_bytes)));
}

fn process(sample: &Sample, out: &mut Out<'_>) {
    let process = &sample.process;
    out.with("process_cpu_seconds_total", &[], Kind::Counter, process.cpu_seconds);
    out.gauge("process_cpu_percent", process.cpu_percent);
    out.gauge("process_resident_memory_bytes", process.rss_bytes.map(as_f64));
    out.gauge("process_peak_resident_memory_bytes", process.peak_rss_bytes.map(as_f64));
    out.gauge("process_threads", process.threads.map(as_f64));
    out.gauge("process_open_fds", process.open_files.map(as_f64));
}

fn as_f64(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::intern::Wanted;

    #[test]
    fn a_link_is_as_fast_as_the_interfaces_that_are_up() {
        let net = tempfile::tempdir().unwrap();
        let put = |name: &str, state: &str, speed: &str, device: bool| {
            let folder = net.path().join(name);
            std::fs::create_dir(&folder).unwrap();
            std::fs::write(folder.join("operstate"), state).unwrap();
            std::fs::write(folder.join("speed"), speed).unwrap();
            if device {
                std::fs::create_dir(folder.join("device")).unwrap();
            }
        };
        assert_eq!(link_bytes_per_second(net.path()), None, "nothing is known");
        put("virtio", "up\n", "-1\n", true);
        assert_eq!(link_bytes_per_second(net.path()), None, "it does not say");
        put("eth0", "up\n", "1000\n", true);
        put("eth1", "down\n", "1000\n", true);
        put("bridge", "up\n", "10000\n", false);
        assert_eq!(link_bytes_per_second(net.path()), Some(125e6));
        assert_eq!(link_bytes_per_second(&net.path().join("none")), None);
    }

    #[test]
    fn the_busier_way_is_what_is_full() {
        let mut sample = Sample::default();
        sample.network.received_bytes_per_second = Some(100e6);
        sample.network.sent_bytes_per_second = Some(10e6);
        let mut interner = Interner::new(&Arc::from("host"), Wanted::default(), 100);
        let mut percent = |link| {
            interner.begin();
            let told = readings(&sample, link, &mut interner);
            told.iter().find(|one| &*one.series.name == "system_network_percent").map(|one| one.value)
        };
        assert_eq!((percent(Some(125e6)), percent(None)), (Some(80.0), None));
    }
}
