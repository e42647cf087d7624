//! What the terminal shows: the newest values of host and collectors, and the shape of the last minutes.

use std::collections::{BTreeMap, VecDeque};

use super::eta::Eta;
use super::snapshot::{Alert, Snapshot, Target};

/// Values of each sparkline.
const KEPT: usize = 240;

/// Everything shown. Bounded: 240 values of each curve, one entry a target.
#[derive(Clone, Debug, Default)]
pub struct Dashboard {
    /// Where the values come from.
    pub from: String,
    /// Seconds between two snapshots.
    pub every_s: u64,
    /// New snapshots are not taken.
    pub held: bool,
    /// The keys are shown.
    pub help: bool,
    /// What went wrong at the last attempt.
    pub error: Option<String>,
    pub(super) at_ms: i64,
    pub(super) status: String,
    pub(super) host: Host,
    pub(super) collectors: BTreeMap<String, Collector>,
    pub(super) targets: Vec<Target>,
    pub(super) alerts: Vec<Alert>,
}

/// The machine.
#[derive(Clone, Debug, Default)]
pub(super) struct Host {
    pub(super) cpu: Curve,
    pub(super) memory: Curve,
    pub(super) disk: Curve,
    pub(super) network: Curve,
    pub(super) load: Option<f64>,
    pub(super) used: Option<f64>,
    pub(super) total: Option<f64>,
    pub(super) read: Option<f64>,
    pub(super) written: Option<f64>,
    pub(super) received: Option<f64>,
    pub(super) sent: Option<f64>,
}

/// The last values of one thing.
#[derive(Clone, Debug, Default)]
pub(super) struct Curve {
    pub(super) values: VecDeque<Option<f64>>,
}

/// One collector's work.
#[derive(Clone, Debug, Default)]
pub(super) struct Collector {
    pub(super) items_per_min: Curve,
    pub(super) rows_per_min: Option<f64>,
    pub(super) success_percent: Option<f64>,
    pub(super) failures: Option<f64>,
    pub(super) in_flight: Option<f64>,
    pub(super) response: Response,
    pub(super) progress: BTreeMap<String, Eta>,
}

/// Response times while we watch: the least and the largest that any reading told, and the mean of now.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Response {
    pub(super) min_s: Option<f64>,
    pub(super) mean_s: Option<f64>,
    pub(super) max_s: Option<f64>,
}

impl Curve {
    fn push(&mut self, value: Option<f64>) {
        self.values.push_back(value.filter(|value| value.is_finite()));
        if self.values.len() > KEPT {
            self.values.pop_front();
        }
    }

    pub(super) fn last(&self) -> Option<f64> {
        self.values.back().copied().flatten()
    }

    pub(super) fn peak(&self) -> f64 {
        self.values.iter().flatten().copied().fold(0.0, f64::max)
    }
}

impl Dashboard {
    /// An empty one.
    #[must_use]
    pub fn new(from: &str, every_s: u64) -> Self {
        Self { from: from.to_owned(), every_s, ..Self::default() }
    }

    /// Takes what is known now.
    pub fn take(&mut self, snapshot: Snapshot) {
        self.error = None;
        self.at_ms = snapshot.at_ms;
        self.status = snapshot.status;
        if let Some(target) = snapshot.targets.iter().find(|target| is_host(target)) {
            self.host.take(target);
        }
        for target in snapshot.targets.iter().filter(|target| is_collector(target)) {
            self.collectors.entry(target.name.clone()).or_default().take(snapshot.at_ms, target);
        }
        self.collectors.retain(|name, _| snapshot.targets.iter().any(|target| target.name == *name));
        self.targets = snapshot.targets;
        self.alerts = snapshot.alerts;
    }
}

fn is_host(target: &Target) -> bool {
    target.level("system_cpu_percent").is_some() || target.level("node_load1").is_some()
}

fn is_collector(target: &Target) -> bool {
    target.level("tidemill_requests_total").is_some()
        || target.level("tidemill_symbols_answered_total").is_some()
}

impl Host {
    fn take(&mut self, target: &Target) {
        let level = |name: &str| target.level(name);
        let share = |left: &str, whole: &str| {
            Some(100.0 * (1.0 - level(left)? / level(whole)?)).filter(|percent| percent.is_finite())
        };
        let idle = || {
            let all = target.rate("node_cpu_seconds_total").filter(|all| *all > 0.0)?;
            let idle: f64 = target
                .all("node_cpu_seconds_total")
                .filter(|seen| matches!(seen.labels.get("mode").map(String::as_str), Some("idle" | "iowait")))
                .filter_map(|seen| seen.rate)
                .sum();
            Some(100.0 * (1.0 - idle / all))
        };
        self.cpu.push(level("system_cpu_percent").or_else(idle));
        let memory = || share("node_memory_MemAvailable_bytes", "node_memory_MemTotal_bytes");
        self.memory.push(level("system_memory_percent").or_else(memory));
        self.disk.push(level("system_disk_busy_percent").or_else(|| level("system_disk_wait_percent")));
        self.load = level("system_load1").or_else(|| level("node_load1"));
        self.used = level("system_memory_used_bytes");
        self.total = level("system_memory_total_bytes").or_else(|| level("node_memory_MemTotal_bytes"));
        self.read =
            level("system_disk_read_bytes_per_second").or_else(|| target.rate("node_disk_read_bytes_total"));
        self.written = level("system_disk_written_bytes_per_second")
            .or_else(|| target.rate("node_disk_written_bytes_total"));
        self.received = level("system_network_received_bytes_per_second")
            .or_else(|| target.rate("node_network_receive_bytes_total"));
        self.sent = level("system_network_sent_bytes_per_second")
            .or_else(|| target.rate("node_network_transmit_bytes_total"));
        let both = self.received.zip(self.sent).map(|(received, sent)| received + sent);
        self.network.push(both);
    }
}

impl Collector {
    fn take(&mut self, at_ms: i64, target: &Target) {
        self.items_per_min.push(target.rate("tidemill_symbols_answered_total").map(|rate| rate * 60.0));
        self.rows_per_min = target.rate("tidemill_rows_stored_total").map(|rate| rate * 60.0);
        let answered = target.level("tidemill_symbols_answered_total");
        self.failures = target.level("tidemill_symbols_failed_total");
        let tried = answered.zip(self.failures).map(|(answered, failed)| answered + failed);
        self.success_percent = answered
            .zip(tried)
            .filter(|(_, tried)| *tried > 0.0)
            .map(|(answered, tried)| 100.0 * answered / tried);
        self.in_flight = target.level("tidemill_requests_in_flight");
        self.response.take(target);
        for seen in target.series.iter().filter(|seen| seen.name.ends_with("_planned")) {
            let done = seen.name.replace("_planned", "_done");
            let of = |other: &&super::snapshot::Seen| other.labels == seen.labels;
            let Some(done) = target.all(&done).find(of) else { continue };
            let mut name =
                seen.name.trim_start_matches("tidemill_").trim_end_matches("_planned").replace('_', " ");
            for value in seen.labels.values() {
                name.push(' ');
                name.push_str(value);
            }
            if self.progress.len() < 16 || self.progress.contains_key(&name) {
                self.progress.entry(name).or_default().take(at_ms, done.value, seen.value);
            }
        }
    }
}

impl Response {
    fn take(&mut self, target: &Target) {
        const NAME: &str = "tidemill_request_duration_seconds";
        let rate = |part: &str| target.rate(&format!("{NAME}_{part}"));
        let mean =
            rate("sum").zip(rate("count")).map(|(sum, count)| sum / count).filter(|mean| mean.is_finite());
        self.mean_s = mean.or(self.mean_s);
        let quantiles =
            target.all(NAME).map(|seen| seen.value).filter(|value| value.is_finite() && *value > 0.0);
        for value in quantiles.chain(mean) {
            self.min_s = Some(self.min_s.map_or(value, |least| least.min(value)));
            self.max_s = Some(self.max_s.map_or(value, |most| most.max(value)));
        }
    }
}
