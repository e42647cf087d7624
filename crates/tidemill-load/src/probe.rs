//! Samples what the server uses: its processes under `/proc`, or the page it shows to Prometheus.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::client::{HostTicks, kilobytes};
use crate::error::Error;
use crate::plan::{ServerProbe, Target};
use crate::sample::ServerSample;
use crate::target::{Endpoint, Scheme};

/// Where samples come from, and the sample before.
pub(crate) struct Probe {
    source: Source,
    before: Option<Raw>,
    ticks: HostTicks,
}

enum Source {
    /// A process and its descendants.
    Process(u32),
    Page(Endpoint),
}

/// Counters as they stand.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Raw {
    at_s: f64,
    cpu_s: f64,
    memory_bytes: u64,
    open_files: u64,
    read_bytes: u64,
    written_bytes: u64,
    network_bytes: u64,
}

/// The longest wait for a page, and its largest size.
const PATIENCE: Duration = Duration::from_millis(400);
const LARGEST_PAGE: u64 = 4 << 20;

/// The most processes of one server.
const PROCESSES: usize = 4096;

impl Probe {
    /// `None` when the plan asks for no samples.
    pub(crate) fn new(
        plan: &ServerProbe,
        endpoint: &Endpoint,
        target: &Target,
    ) -> Result<Option<Self>, Error> {
        let source = if let Some(pid) = plan.pid {
            Source::Process(pid)
        } else if plan.auto {
            let pid = listener(endpoint.port()).ok_or_else(|| {
                Error::plan(
                    "server.auto",
                    format!("no process of this machine that we may see listens on port {}", endpoint.port()),
                )
            })?;
            Source::Process(pid)
        } else if let Some(url) = &plan.metrics {
            let page = Target { url: url.clone(), owned: vec![Endpoint::parse(url)?.host], ..target.clone() };
            let page = Endpoint::of(&page)?;
            if page.scheme != Scheme::Http || page.tls {
                return Err(Error::plan("server.metrics", "must be a http:// URL"));
            }
            Source::Page(page)
        } else {
            return Ok(None);
        };
        let mut probe = Self { source, before: None, ticks: HostTicks::now() };
        if probe.raw(0.0).is_none() {
            return Err(Error::plan(
                "server",
                "the first sample failed: is the process alive, the page right?",
            ));
        }
        probe.sample(0.0);
        Ok(Some(probe))
    }

    /// A sample; `None` when it failed.
    pub(crate) fn sample(&mut self, at_s: f64) -> Option<ServerSample> {
        let raw = self.raw(at_s)?;
        let before = self.before.replace(raw).unwrap_or(raw);
        let ticks = HostTicks::now();
        let (host_cpu, _) = ticks.shares(std::mem::replace(&mut self.ticks, ticks));
        let seconds = (raw.at_s - before.at_s).max(1e-3);
        let rate = |now: u64, before: u64| now.saturating_sub(before) as f64 / seconds;
        let sample = ServerSample {
            at_s,
            cpu_cores: (raw.cpu_s - before.cpu_s).max(0.0) / seconds,
            memory_bytes: raw.memory_bytes,
            open_files: raw.open_files,
            disk_read_bytes: rate(raw.read_bytes, before.read_bytes),
            disk_write_bytes: rate(raw.written_bytes, before.written_bytes),
            network_bytes: rate(raw.network_bytes, before.network_bytes),
            host_cpu: if matches!(self.source, Source::Process(_)) { host_cpu } else { 0.0 },
            host_memory: if matches!(self.source, Source::Process(_)) { memory_share() } else { 0.0 },
        };
        Some(sample.rounded())
    }

    fn raw(&self, at_s: f64) -> Option<Raw> {
        match &self.source {
            Source::Process(pid) => of_processes(*pid, at_s),
            Source::Page(page) => of_page(&get(page)?, at_s),
        }
    }
}

/// Sums a process and its descendants.
fn of_processes(root: u32, at_s: f64) -> Option<Raw> {
    let mut raw = Raw { at_s, network_bytes: network(), ..Raw::default() };
    let mut alive = false;
    for pid in family(root) {
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        alive |= pid == root;
        raw.cpu_s += cpu_seconds(&stat).unwrap_or(0.0);
        let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
        raw.memory_bytes += kilobytes(&read("status"), "VmRSS:");
        raw.open_files += fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, |list| list.count() as u64);
        let io = read("io");
        let field = |name: &str| {
            let value = io.lines().find_map(|line| line.strip_prefix(name));
            value.and_then(|value| value.trim().parse::<u64>().ok()).unwrap_or(0)
        };
        raw.read_bytes += field("read_bytes:");
        raw.written_bytes += field("write_bytes:");
    }
    alive.then_some(raw)
}

/// A process and its descendants.
fn family(root: u32) -> Vec<u32> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let parent = after_name(&stat).and_then(|mut fields| fields.nth(1)?.parse::<u32>().ok());
        if let Some(parent) = parent {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut family = vec![root];
    let mut at = 0;
    while at < family.len() && family.len() < PROCESSES {
        family.extend(children.remove(&family[at]).unwrap_or_default());
        at += 1;
    }
    family
}

/// The fields of `/proc/PID/stat` from the state on; the name before may hold spaces and brackets.
fn after_name(stat: &str) -> Option<impl Iterator<Item = &str>> {
    Some(stat.rsplit_once(") ")?.1.split_ascii_whitespace())
}

/// User and system time; Linux counts them for everybody in hundredths of a second.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let mut fields = after_name(stat)?.skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / 100.0)
}

/// Bytes over all interfaces, both ways.
fn network() -> u64 {
    let text = fs::read_to_string("/proc/net/dev").unwrap_or_default();
    let bytes = text.lines().skip(2).filter_map(|line| {
        let mut fields = line.split_once(':')?.1.split_ascii_whitespace();
        let (received, sent) = (fields.next()?.parse::<u64>().ok()?, fields.nth(7)?.parse::<u64>().ok()?);
        Some(received + sent)
    });
    bytes.sum()
}

fn memory_share() -> f64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let (all, free) = (kilobytes(&text, "MemTotal:"), kilobytes(&text, "MemAvailable:"));
    if all == 0 { 0.0 } else { 1.0 - free as f64 / all as f64 }
}

/// The process that listens on a TCP port; the eldest, when several share it.
fn listener(port: u16) -> Option<u32> {
    let mut sockets = BTreeSet::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        for line in fs::read_to_string(table).unwrap_or_default().lines().skip(1) {
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            let [_, local, _, state, .., inode] = fields.get(..10)? else { continue };
            let suffix = format!(":{port:04X}");
            if *state == "0A" && local.ends_with(&suffix) {
                sockets.insert(format!("socket:[{inode}]"));
            }
        }
    }
    let holds = |pid: u32| {
        let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        let links = open.filter_map(|entry| fs::read_link(entry.path()).ok());
        links.into_iter().any(|link| link.to_str().is_some_and(|link| sockets.contains(link)))
    };
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut pids: Vec<u32> = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    pids.sort_unstable();
    pids.into_iter().find(|pid| holds(*pid))
}

/// Fetches a page with one plain request.
fn get(page: &Endpoint) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(page.addresses.first()?, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.set_write_timeout(Some(PATIENCE)).ok()?;
    let request =
        format!("GET {} HTTP/1.0\r\nhost: {}\r\naccept: text/plain\r\n\r\n", page.path, page.authority);
    stream.write_all(request.as_bytes()).ok()?;
    let mut text = Vec::new();
    stream.take(LARGEST_PAGE).read_to_end(&mut text).ok()?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let (head, body) = text.split_once("\r\n\r\n")?;
    head.split(' ').nth(1).filter(|status| *status == "200")?;
    Some(body.to_owned())
}

/// The process metrics that Prometheus clients agree on.
fn of_page(text: &str, at_s: f64) -> Option<Raw> {
    let value = |name: &str| {
        text.lines().find_map(|line| {
            let rest = line.strip_prefix(name)?;
            let rest = if rest.starts_with('{') { rest.split_once('}')?.1 } else { rest };
            rest.starts_with(' ').then(|| rest.split_ascii_whitespace().next()?.parse::<f64>().ok()).flatten()
        })
    };
    Some(Raw {
        at_s,
        cpu_s: value("process_cpu_seconds_total")?,
        memory_bytes: value("process_resident_memory_bytes")? as u64,
        open_files: value("process_open_fds").unwrap_or(0.0) as u64,
        network_bytes: (value("process_network_receive_bytes_total").unwrap_or(0.0)
            + value("process_network_transmit_bytes_total").unwrap_or(0.0)) as u64,
        ..Raw::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read_by_its_names() {
        let page = "# HELP process_cpu_seconds_total x\nprocess_cpu_seconds_total{job=\"a b\"} 12.5\n\
                    process_resident_memory_bytes 1.5e6\nprocess_open_fds 7 1700000000\nprocess_open_fds_x 1\n";
        let raw = of_page(page, 1.0).unwrap();
        assert_eq!((raw.cpu_s, raw.memory_bytes, raw.open_files), (12.5, 1_500_000, 7));
        assert_eq!(of_page("process_cpu_seconds_total x\n", 0.0), None);
    }

    #[test]
    fn a_name_with_brackets_does_not_shift_the_fields() {
        let stat = "12 (a b) c) S 1 12 12 0 -1 0 0 0 0 0 150 50 0 0 20";
        assert_eq!(cpu_seconds(stat), Some(2.0));
        assert_eq!(cpu_seconds("12 (a"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_is_found_by_its_port_and_measured() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        assert_eq!(listener(port), Some(std::process::id()));
        let raw = of_processes(std::process::id(), 0.0).unwrap();
        assert!(raw.memory_bytes > 100_000 && raw.open_files > 0);
        assert_eq!(of_processes(u32::MAX - 1, 0.0), None);
    }
}
