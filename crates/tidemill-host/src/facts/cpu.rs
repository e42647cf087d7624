//! Processors: time by mode, time in the scheduler, frequency, throttling.

use std::path::{Path, PathBuf};

use super::about::Family;
use super::book::Book;
use super::files::{Kept, Text, names};
use super::source::Units;
use super::words::number;
use crate::config::FactsConfig;

const SECONDS: Family =
    Family::counter("node_cpu_seconds_total", "Seconds that a processor spent in each mode.");
const GUEST: Family = Family::counter(
    "node_cpu_guest_seconds_total",
    "Seconds that a processor ran guests, by how nice they are.",
);
const MODES: [&str; 8] = ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"];

/// Single numbers of /proc/stat.
const TOTALS: [(&str, Family); 6] = [
    ("intr", Family::counter("node_intr_total", "Interrupts served.")),
    ("ctxt", Family::counter("node_context_switches_total", "Context switches.")),
    ("btime", Family::gauge("node_boot_time_seconds", "When the machine started, in seconds since 1970.")),
    ("processes", Family::counter("node_forks_total", "Processes and threads started.")),
    ("procs_running", Family::gauge("node_procs_running", "Tasks that run or could.")),
    ("procs_blocked", Family::gauge("node_procs_blocked", "Tasks that wait for a disk.")),
];

/// /proc/stat.
pub(super) fn stat(text: &str, units: &Units, book: &mut Book) {
    let mut cpus = 0;
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let Some(name) = words.next() else { continue };
        if let Some(cpu) = name.strip_prefix("cpu").filter(|cpu| !cpu.is_empty()) {
            cpus += 1;
            if cpus > units.max_cpus {
                book.beyond();
                continue;
            }
            let mut ticks = words.map(|word| word.parse::<u64>().ok());
            for mode in MODES {
                match ticks.next() {
                    Some(Some(spent)) => {
                        book.tell(&SECONDS, &[("cpu", cpu), ("mode", mode)], spent as f64 / units.ticks);
                    }
                    _ => book.odd(),
                }
            }
            // They came with Linux 2.6.24 and are contained in user and nice.
            for mode in ["user", "nice"] {
                if let Some(Some(spent)) = ticks.next() {
                    book.tell(&GUEST, &[("cpu", cpu), ("mode", mode)], spent as f64 / units.ticks);
                }
            }
        } else if let Some((_, family)) = TOTALS.iter().find(|(known, _)| *known == name) {
            match words.next().and_then(number) {
                Some(value) => book.tell(family, &[], value),
                None => book.odd(),
            }
        }
    }
}

/// What the scheduler counts of each processor: where among the numbers of its line, and what they are divided by.
const SCHEDULED: [(usize, f64, Family); 3] = [
    (
        6,
        1e9,
        Family::counter("node_schedstat_running_seconds_total", "Seconds that tasks ran on a processor."),
    ),
    (
        7,
        1e9,
        Family::counter("node_schedstat_waiting_seconds_total", "Seconds that tasks waited for a processor."),
    ),
    (8, 1.0, Family::counter("node_schedstat_timeslices_total", "Times that a task ran on a processor.")),
];

/// /proc/schedstat, of any version: their first nine numbers are the same.
pub(super) fn schedstat(text: &str, units: &Units, book: &mut Book) {
    let cpus = text.lines().filter_map(|line| line.strip_prefix("cpu")?.split_once(' '));
    for (cpu, numbers) in cpus.take(units.max_cpus) {
        let mut numbers = numbers.split_ascii_whitespace().skip(6).map(number);
        for (_, divisor, family) in &SCHEDULED {
            match numbers.next() {
                Some(Some(value)) => book.tell(family, &[("cpu", cpu)], value / divisor),
                _ => book.odd(),
            }
        }
    }
}

/// Files of a processor's folder, and what their numbers are multiplied by.
const OF_CPU: [(&str, f64, Family); 6] = [
    ("cpuinfo_cur_freq", 1e3, Family::gauge("node_cpu_frequency_hertz", "Frequency that a processor has.")),
    (
        "cpuinfo_min_freq",
        1e3,
        Family::gauge("node_cpu_frequency_min_hertz", "Least frequency of a processor."),
    ),
    (
        "cpuinfo_max_freq",
        1e3,
        Family::gauge("node_cpu_frequency_max_hertz", "Highest frequency of a processor."),
    ),
    (
        "scaling_cur_freq",
        1e3,
        Family::gauge("node_cpu_scaling_frequency_hertz", "Frequency that the governor chose."),
    ),
    (
        "scaling_min_freq",
        1e3,
        Family::gauge(
            "node_cpu_scaling_frequency_min_hertz",
            "Least frequency that the governor may choose.",
        ),
    ),
    (
        "scaling_max_freq",
        1e3,
        Family::gauge(
            "node_cpu_scaling_frequency_max_hertz",
            "Highest frequency that the governor may choose.",
        ),
    ),
];
const CORE_THROTTLES: Family =
    Family::counter("node_cpu_core_throttles_total", "Times that a core was slowed down because of heat.");
const PACKAGE_THROTTLES: Family = Family::counter(
    "node_cpu_package_throttles_total",
    "Times that a package was slowed down because of heat.",
);

/// Frequencies and throttling below /sys/devices/system/cpu.
#[derive(Debug)]
pub(super) struct Frequencies {
    folder: PathBuf,
    max_cpus: usize,
    max_open: usize,
    cpus: Vec<Cpu>,
    /// Processors come and go seldom: they are listed again after so many calls.
    listed: u32,
}

#[derive(Debug)]
struct Cpu {
    name: String,
    files: [Kept; 6],
    core_throttles: Kept,
    package_throttles: Kept,
    /// Core and package.
    place: Option<(String, String)>,
}

impl Frequencies {
    pub(super) fn new(root: &Path, config: &FactsConfig) -> Self {
        Self {
            folder: root.join("sys/devices/system/cpu"),
            max_cpus: config.max_cpus,
            max_open: config.max_open_files,
            cpus: Vec::new(),
            listed: 0,
        }
    }

    pub(super) fn tell(&mut self, text: &mut Text, book: &mut Book) {
        if self.listed == 0 {
            self.list(text, book);
        }
        self.listed = (self.listed + 1) % 60;
        let (mut cores, mut packages) = (Vec::new(), Vec::new());
        for cpu in &mut self.cpus {
            for ((_, scale, family), file) in OF_CPU.iter().zip(&mut cpu.files) {
                let Some(word) = text.line(file, book) else { continue };
                // `<unsupported>` is what it is where the hardware does not say.
                if let Some(value) = number(word) {
                    book.tell(family, &[("cpu", &cpu.name)], value * scale);
                }
            }
            // Processors of one core count together: one of them is told.
            let Some((core, package)) = &cpu.place else { continue };
            if !cores.contains(&(core, package)) {
                cores.push((core, package));
                if let Some(value) = text.line(&mut cpu.core_throttles, book).and_then(number) {
                    book.tell(&CORE_THROTTLES, &[("core", core), ("package", package)], value);
                }
            }
            if !packages.contains(&package) {
                packages.push(package);
                if let Some(value) = text.line(&mut cpu.package_throttles, book).and_then(number) {
                    book.tell(&PACKAGE_THROTTLES, &[("package", package)], value);
                }
            }
        }
    }

    fn list(&mut self, text: &mut Text, book: &mut Book) {
        let is_cpu = |name: &str| {
            name.strip_prefix("cpu").is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
        };
        let has = |name: &str, what: &str| self.folder.join(name).join(what).exists();
        let mut names = names(&self.folder, self.max_cpus, book, is_cpu);
        // Most virtual machines have neither.
        names.retain(|name| has(name, "cpufreq") || has(name, "thermal_throttle"));
        let keep = names.len() * OF_CPU.len() <= self.max_open;
        let cpus = names.into_iter().map(|name| {
            let folder = self.folder.join(&name);
            let mut of = |what: &str| text.at(&folder.join("topology").join(what), book).map(str::to_owned);
            let place = of("core_id").zip(of("physical_package_id"));
            Cpu {
                name: name["cpu".len()..].to_owned(),
                files: OF_CPU.map(|(file, ..)| Kept::new(folder.join("cpufreq").join(file), keep)),
                core_throttles: Kept::new(folder.join("thermal_throttle/core_throttle_count"), false),
                package_throttles: Kept::new(folder.join("thermal_throttle/package_throttle_count"), false),
                place,
            }
        });
        self.cpus = cpus.collect();
    }
}
