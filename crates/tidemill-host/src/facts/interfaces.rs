//! Network interfaces as /sys/class/net has them.

use std::path::{Path, PathBuf};

use super::about::Family;
use super::book::Book;
use super::files::{Kept, Text, names};
use super::words::whole;
use crate::config::FactsConfig;

/// Files with a number, and what it is multiplied by.
const NUMBERS: [(&str, f64, Family); 18] = [
    (
        "addr_assign_type",
        1.0,
        Family::gauge("node_network_address_assign_type", "Where an address comes from."),
    ),
    ("carrier", 1.0, Family::gauge("node_network_carrier", "Whether there is a carrier.")),
    (
        "carrier_changes",
        1.0,
        Family::counter("node_network_carrier_changes_total", "Times that the carrier came or went."),
    ),
    (
        "carrier_down_count",
        1.0,
        Family::counter("node_network_carrier_down_changes_total", "Times that the carrier went."),
    ),
    (
        "carrier_up_count",
        1.0,
        Family::counter("node_network_carrier_up_changes_total", "Times that the carrier came."),
    ),
    (
        "dev_id",
        1.0,
        Family::gauge("node_network_device_id", "Number of a device among those of one address."),
    ),
    ("dormant", 1.0, Family::gauge("node_network_dormant", "Whether an interface waits for something else.")),
    ("flags", 1.0, Family::gauge("node_network_flags", "Flags of an interface, as a number.")),
    ("ifindex", 1.0, Family::gauge("node_network_iface_id", "Number of an interface.")),
    ("iflink", 1.0, Family::gauge("node_network_iface_link", "Number of the interface that it is made of.")),
    ("link_mode", 1.0, Family::gauge("node_network_iface_link_mode", "Who sets the state of the link.")),
    ("mtu", 1.0, Family::gauge("node_network_mtu_bytes", "Longest packet.")),
    ("name_assign_type", 1.0, Family::gauge("node_network_name_assign_type", "Where the name comes from.")),
    ("netdev_group", 1.0, Family::gauge("node_network_net_dev_group", "Group of the interface.")),
    ("type", 1.0, Family::gauge("node_network_protocol_type", "ARP's number of the hardware.")),
    ("speed", 125_000.0, Family::gauge("node_network_speed_bytes", "Bytes a second that the link carries.")),
    (
        "tx_queue_len",
        1.0,
        Family::gauge("node_network_transmit_queue_length", "Packets that may wait to be sent."),
    ),
    (
        "statistics/rx_nohandler",
        1.0,
        Family::counter("node_network_receive_nohandler_total", "Packets received that nobody wanted."),
    ),
];
/// Files with a word; each becomes a label.
const WORDS: [&str; 5] = ["address", "broadcast", "duplex", "ifalias", "operstate"];
const UP: Family = Family::gauge("node_network_up", "Whether an interface is up.");
const INFO: Family =
    Family::gauge("node_network_info", "Always 1; what an interface is stands in the labels.");

/// The interfaces of our network name space.
#[derive(Debug)]
pub(super) struct Interfaces {
    folder: PathBuf,
    max_devices: usize,
    max_open: usize,
    all: Vec<Interface>,
}

#[derive(Debug)]
struct Interface {
    name: String,
    numbers: [Kept; NUMBERS.len()],
    words: [(Kept, String); WORDS.len()],
}

impl Interfaces {
    pub(super) fn new(root: &Path, config: &FactsConfig) -> Self {
        Self {
            folder: root.join("sys/class/net"),
            max_devices: config.max_devices,
            max_open: config.max_open_files,
            all: Vec::new(),
        }
    }

    pub(super) fn tell(&mut self, text: &mut Text, book: &mut Book) {
        // A file among the folders, where interfaces are bonded.
        let names = names(&self.folder, self.max_devices, book, |name| name != "bonding_masters");
        if !names.iter().eq(self.all.iter().map(|one| &one.name)) {
            let keep = names.len() * (NUMBERS.len() + WORDS.len()) <= self.max_open;
            self.all = names.into_iter().map(|name| Interface::new(&self.folder, name, keep)).collect();
        }
        for interface in &mut self.all {
            interface.tell(text, book);
        }
    }
}

impl Interface {
    fn new(folder: &Path, name: String, keep: bool) -> Self {
        let folder = folder.join(&name);
        let kept = |file: &str| Kept::new(folder.join(file), keep);
        Self {
            numbers: NUMBERS.map(|(file, ..)| kept(file)),
            words: WORDS.map(|file| (kept(file), String::new())),
            name,
        }
    }

    fn tell(&mut self, text: &mut Text, book: &mut Book) {
        for ((file, scale, family), kept) in NUMBERS.iter().zip(&mut self.numbers) {
            let Some(word) = text.line(kept, book) else { continue };
            match whole(word) {
                // A link that does not know its speed says -1; the loopback has nobody who would handle its packets.
                Some(value) if *file == "speed" && value < 0.0 => {}
                Some(_) if *file == "statistics/rx_nohandler" && self.name == "lo" => {}
                Some(value) => book.tell(family, &[("device", &self.name)], value * scale),
                None => book.odd(),
            }
        }
        for (kept, word) in &mut self.words {
            word.clear();
            word.push_str(text.line(kept, book).unwrap_or_default());
        }
        let [address, broadcast, duplex, alias, state] = self.words.each_ref().map(|(_, word)| word.as_str());
        let labels = [
            ("address", address),
            ("broadcast", broadcast),
            ("device", &self.name),
            ("duplex", duplex),
            ("ifalias", alias),
            ("operstate", state),
        ];
        book.tell(&INFO, &labels, 1.0);
        book.tell(&UP, &[("device", &self.name)], f64::from(u8::from(state == "up")));
    }
}
