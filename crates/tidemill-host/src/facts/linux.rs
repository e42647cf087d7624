//! Where each fact stands on Linux: files below /proc by their parsers, and what needs more than a file.

use std::time::SystemTime;

use super::book::Book;
use super::clock::Clock;
use super::cpu::{self, Frequencies};
use super::disks::Disks;
use super::files::{Kept, Text};
use super::filesystems::Filesystems;
use super::identity::Identity;
use super::interfaces::Interfaces;
use super::sensors::Sensors;
use super::{kernel, memory, network};
use crate::config::FactsConfig;

/// What the parsers have to know.
#[derive(Debug)]
pub(super) struct Units {
    /// Ticks of a processor's clock in a second.
    pub(super) ticks: f64,
    pub(super) page_bytes: f64,
    pub(super) max_cpus: usize,
    pub(super) max_devices: usize,
}

/// Tells what a text says.
pub(super) type Parser = fn(&str, &Units, &mut Book);

/// The files of which nothing but their text matters.
pub(super) const FILES: [(&str, Parser); 24] = [
    ("proc/stat", cpu::stat),
    ("proc/schedstat", cpu::schedstat),
    ("proc/loadavg", kernel::load),
    ("proc/pressure/cpu", |text, _, book| kernel::pressure(text, &kernel::CPU, book)),
    ("proc/pressure/io", |text, _, book| kernel::pressure(text, &kernel::IO, book)),
    ("proc/pressure/memory", |text, _, book| kernel::pressure(text, &kernel::MEMORY, book)),
    ("proc/sys/fs/file-nr", kernel::open_files),
    ("proc/sys/kernel/random/entropy_avail", |text, _, book| kernel::level(text, &kernel::ENTROPY, book)),
    ("proc/sys/kernel/random/poolsize", |text, _, book| kernel::level(text, &kernel::ENTROPY_POOL, book)),
    ("proc/meminfo", memory::info),
    ("proc/vmstat", memory::vmstat),
    ("proc/net/arp", network::arp),
    ("proc/net/dev", network::devices),
    ("proc/net/netstat", network::netstat),
    ("proc/net/snmp", network::netstat),
    ("proc/net/snmp6", network::snmp6),
    ("proc/net/sockstat", network::sockstat),
    ("proc/net/sockstat6", network::sockstat),
    ("proc/net/softnet_stat", network::softnet),
    ("proc/net/udp", |text, _, book| network::udp(text, "v4", book)),
    ("proc/net/udp6", |text, _, book| network::udp(text, "v6", book)),
    ("proc/net/stat/nf_conntrack", network::conntrack),
    ("proc/sys/net/netfilter/nf_conntrack_count", |text, _, book| {
        kernel::level(text, &network::TRACKED, book)
    }),
    ("proc/sys/net/netfilter/nf_conntrack_max", |text, _, book| {
        kernel::level(text, &network::TRACKED_MOST, book)
    }),
];

/// Everything that is read.
#[derive(Debug)]
pub(super) struct Source {
    text: Text,
    units: Units,
    files: Vec<(Kept, Parser)>,
    disks: Disks,
    mounts: Filesystems,
    interfaces: Interfaces,
    frequencies: Frequencies,
    sensors: Sensors,
    clock: Clock,
    identity: Identity,
}

impl Source {
    pub(super) fn new(config: &FactsConfig) -> Self {
        let root = &config.root;
        Self {
            text: Text::default(),
            units: Units {
                ticks: rustix::param::clock_ticks_per_second() as f64,
                page_bytes: rustix::param::page_size() as f64,
                max_cpus: config.max_cpus,
                max_devices: config.max_devices,
            },
            files: FILES.map(|(path, parser)| (Kept::open(root.join(path)), parser)).into(),
            disks: Disks::new(root),
            mounts: Filesystems::new(root, config.max_mounts),
            interfaces: Interfaces::new(root, config),
            frequencies: Frequencies::new(root, config),
            sensors: Sensors::new(root, config.max_devices),
            clock: Clock::new(root),
            identity: Identity::new(root),
        }
    }

    pub(super) fn read(&mut self, now: SystemTime, book: &mut Book) {
        let text = &mut self.text;
        for (file, parser) in &mut self.files {
            if let Some(text) = text.whole(file, book) {
                parser(text, &self.units, book);
            }
        }
        self.disks.tell(text, &self.units, book);
        self.mounts.tell(text, book);
        self.interfaces.tell(text, book);
        self.frequencies.tell(text, book);
        self.sensors.tell(text, book);
        self.clock.tell(now, text, book);
        self.identity.tell(text, book);
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
