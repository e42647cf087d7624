//! This host as series: processor, memory, disks, network, mounts, and the monitor's own process.

use std::sync::Arc;

use tidemill_host::{Mount, Sample};

use super::intern::Interner;
use crate::series::{Kind, Reading};

/// What one sample says. Names begin with `system_`, of this process with `process_`; what is not known is left out.
pub(super) fn readings(sample: &Sample, interner: &mut Interner) -> Vec<Reading> {
    let mut out = Out { interner, readings: Vec::with_capacity(64) };
    processor(sample, &mut out);
    memory(sample, &mut out);
    disk(sample, &mut out);
    network(sample, &mut out);
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

fn network(sample: &Sample, out: &mut Out<'_>) {
    let network = &sample.network;
    out.gauge("system_network_received_bytes_per_second", network.received_bytes_per_second);
    out.gauge("system_network_sent_bytes_per_second", network.sent_bytes_per_second);
    out.gauge("system_network_received_packets_per_second", network.received_packets_per_second);
    out.gauge("system_network_sent_packets_per_second", network.sent_packets_per_second);
    out.gauge("system_network_failed_packets_per_second", network.failed_packets_per_second);
    out.gauge("system_network_connections", network.connections.map(as_f64));
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
