//! Against node_exporter, which reads the same kernel by other code. Needs Debian's `prometheus-node-exporter`.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tidemill_host::Host;

/// Ended by its id when the test ends.
pub(crate) struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An exporter that answers.
pub(crate) fn start(more: &[String]) -> Option<(Server, SocketAddr)> {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let child = Command::new("prometheus-node-exporter")
        .arg(format!("--web.listen-address={address}"))
        .args(more)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    match child {
        Ok(child) => {
            let server = Server(child);
            let deadline = Instant::now() + Duration::from_secs(60);
            while scrape(address).is_none_or(|found| found.is_empty()) {
                assert!(Instant::now() < deadline, "node_exporter does not answer");
                std::thread::sleep(Duration::from_millis(50));
            }
            Some((server, address))
        }
        Err(error) => {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "prometheus-node-exporter: {error}");
            eprintln!("SKIPPED node_exporter::*: cannot start `prometheus-node-exporter` ({error})");
            None
        }
    }
}

/// Its samples by name and labels.
fn scrape(address: SocketAddr) -> Option<BTreeMap<String, f64>> {
    let text = answer(address)?;
    let lines = text.lines().filter(|line| line.starts_with("node_"));
    Some(
        lines
            .filter_map(|line| line.rsplit_once(' '))
            .map(|(k, v)| (k.to_owned(), v.parse().unwrap()))
            .collect(),
    )
}

/// All that it says.
pub(crate) fn answer(address: SocketAddr) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
    write!(stream, "GET /metrics HTTP/1.0\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text)
}

#[test]
fn every_figure_agrees() {
    let Some((_server, address)) = start(&[]) else { return };
    // Ours between two of theirs: totals must lie between, levels near.
    let mut host = Host::new().unwrap();
    let before = scrape(address).unwrap();
    let ours = host.read();
    let after = scrape(address).unwrap();
    let mut compared = 0;
    let mut total = |name: &str, of: &dyn Fn(&BTreeMap<String, f64>) -> f64, value: f64| {
        // Theirs are seconds in floating point; the kernel counts whole microseconds at the finest.
        let whole = |value: f64| (value * 1e6).round() / 1e6;
        let (low, value, high) = (whole(of(&before)), whole(value), whole(of(&after)));
        assert!(low <= value && value <= high, "{name}: {value} is not within {low} and {high}");
        compared += 1;
    };
    let one =
        |name: &'static str| move |all: &BTreeMap<String, f64>| all.get(name).copied().unwrap_or(f64::NAN);
    let sum = |name: &'static str, skip: &'static str| {
        move |all: &BTreeMap<String, f64>| {
            let ours = |key: &&String| key.starts_with(&format!("{name}{{")) && !key.contains(skip);
            all.keys().filter(ours).map(|key| all[key]).sum::<f64>()
        }
    };
    total("switches", &one("node_context_switches_total"), ours.context_switches.unwrap() as f64);
    total("interrupts", &one("node_intr_total"), ours.interrupts.unwrap() as f64);
    total("swap in", &one("node_vmstat_pswpin"), ours.swapped_pages.unwrap().0 as f64);
    total("swap out", &one("node_vmstat_pswpout"), ours.swapped_pages.unwrap().1 as f64);
    total("oom kills", &one("node_vmstat_oom_kill"), ours.oom_kills.unwrap() as f64);
    total("boot", &one("node_boot_time_seconds"), ours.boot_seconds.unwrap() as f64);
    total("memory", &one("node_memory_MemTotal_bytes"), ours.memory.unwrap().total as f64);
    total("swap", &one("node_memory_SwapTotal_bytes"), ours.memory.unwrap().swap_total as f64);
    if let Some(us) = ours.pressure.cpu_us {
        total("pressure", &one("node_pressure_cpu_waiting_seconds_total"), us as f64 / 1e6);
    }
    if let Some(us) = ours.pressure.memory_us {
        total("pressure", &one("node_pressure_memory_waiting_seconds_total"), us as f64 / 1e6);
    }
    if let Some(us) = ours.pressure.io_us {
        total("pressure", &one("node_pressure_io_waiting_seconds_total"), us as f64 / 1e6);
    }
    let network = ours.network.unwrap();
    let lo = "device=\"lo\"";
    total("received", &sum("node_network_receive_bytes_total", lo), network.received_bytes as f64);
    total("sent", &sum("node_network_transmit_bytes_total", lo), network.sent_bytes as f64);
    total("packets in", &sum("node_network_receive_packets_total", lo), network.received_packets as f64);
    total("packets out", &sum("node_network_transmit_packets_total", lo), network.sent_packets as f64);
    let failed = |all: &BTreeMap<String, f64>| {
        ["receive_errs", "receive_drop", "transmit_errs", "transmit_drop"]
            .map(|what| {
                let name = format!("node_network_{what}_total{{");
                all.iter()
                    .filter(|(key, _)| key.starts_with(&name) && !key.contains(lo))
                    .map(|(_, v)| v)
                    .sum::<f64>()
            })
            .iter()
            .sum::<f64>()
    };
    total("failed packets", &failed, network.failed_packets as f64);
    let idle = |all: &BTreeMap<String, f64>| {
        all.iter()
            .filter(|(key, _)| key.starts_with("node_cpu_seconds_total{") && key.contains("mode=\"idle\""))
            .map(|(_, v)| v)
            .sum::<f64>()
    };
    // The kernel's sum over cores and its per-core figures are rounded to ticks each on their own.
    let (low, high, cores) = (idle(&before), idle(&after), ours.cores.len() as f64);
    let seconds: f64 = ours.cores.iter().map(|core| core.idle as f64 / 100.0).sum();
    assert!(low - 0.02 * cores <= seconds && seconds <= high + 0.02 * cores, "{seconds} in {low}..{high}");
    assert!(compared >= 13, "only {compared} figures were there to compare");

    // Disks: theirs one by one; ours are whole disks, which are those that we read the same way.
    let disk = ours.disk.unwrap();
    let all_reads = sum("node_disk_reads_completed_total", "no such device")(&after);
    assert!(disk.reads as f64 <= all_reads, "{} of {all_reads}", disk.reads);
    // Mounts: size and room of each that both know.
    let mut mounts = 0;
    for mount in &ours.mounts {
        let label = format!("mountpoint=\"{}\"", mount.path.display());
        let size = after
            .iter()
            .find(|(key, _)| key.starts_with("node_filesystem_size_bytes") && key.contains(&label));
        if let Some((_, size)) = size {
            assert_eq!(*size, mount.total_bytes as f64, "{mount:?}");
            mounts += 1;
        }
    }
    assert!(mounts > 0, "no mount in common: {:?}", ours.mounts);
    let sockets = one("node_sockstat_TCP_inuse")(&after);
    let connections = ours.connections.unwrap() as f64;
    let v6 = after.get("node_sockstat_TCP6_inuse").copied().unwrap_or(0.0);
    assert!((connections - sockets - v6).abs() <= 50.0, "{connections}, theirs {sockets} and {v6}");
    let load = one("node_load15")(&after);
    assert!((ours.load.unwrap()[2] - load).abs() <= 0.3);
    let running = one("node_procs_running")(&after);
    let (ours_running, tasks) = ours.tasks.unwrap();
    assert!(
        (ours_running as f64 - running).abs() <= 60.0 && tasks > ours_running,
        "{ours_running} and {running}"
    );
}
