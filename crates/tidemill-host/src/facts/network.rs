//! Network: interfaces, protocols, sockets, queues, connection tracking.

use std::collections::BTreeMap;

use super::about::FactKind::{Counter, Gauge};
use super::about::Family;
use super::book::Book;
use super::source::Units;
use super::words::{hex, named, number};

const ARP: Family = Family::gauge("node_arp_entries", "Neighbours in the ARP table of an interface.");

/// /proc/net/arp: the interface stands last.
pub(super) fn arp(text: &str, units: &Units, book: &mut Book) {
    let mut entries: BTreeMap<&str, u64> = BTreeMap::new();
    for device in text.lines().skip(1).filter_map(|line| line.split_ascii_whitespace().nth(5)) {
        if entries.len() < units.max_devices || entries.contains_key(device) {
            *entries.entry(device).or_default() += 1;
        } else {
            book.beyond();
        }
    }
    for (device, entries) in entries {
        book.tell(&ARP, &[("device", device)], entries as f64);
    }
}

/// The columns of /proc/net/dev.
const COLUMNS: [Family; 16] = [
    Family::counter("node_network_receive_bytes_total", "Bytes that an interface received."),
    Family::counter("node_network_receive_packets_total", "Packets that an interface received."),
    Family::counter("node_network_receive_errs_total", "Damaged packets received."),
    Family::counter("node_network_receive_drop_total", "Packets received and dropped."),
    Family::counter("node_network_receive_fifo_total", "Packets lost because a buffer was full."),
    Family::counter("node_network_receive_frame_total", "Packets with a wrong length, frame or checksum."),
    Family::counter("node_network_receive_compressed_total", "Compressed packets received."),
    Family::counter("node_network_receive_multicast_total", "Packets received that went to several."),
    Family::counter("node_network_transmit_bytes_total", "Bytes that an interface sent."),
    Family::counter("node_network_transmit_packets_total", "Packets that an interface sent."),
    Family::counter("node_network_transmit_errs_total", "Packets that could not be sent."),
    Family::counter("node_network_transmit_drop_total", "Packets dropped before they were sent."),
    Family::counter("node_network_transmit_fifo_total", "Packets not sent because a buffer was full."),
    Family::counter("node_network_transmit_colls_total", "Collisions."),
    Family::counter("node_network_transmit_carrier_total", "Packets not sent because the carrier was lost."),
    Family::counter("node_network_transmit_compressed_total", "Compressed packets sent."),
];

/// /proc/net/dev without the loopback.
pub(super) fn devices(text: &str, units: &Units, book: &mut Book) {
    let devices =
        text.lines().filter_map(|line| line.split_once(':')).filter(|(name, _)| name.trim() != "lo");
    for (at, (device, numbers)) in devices.enumerate() {
        if at >= units.max_devices {
            book.beyond();
            continue;
        }
        let mut numbers = numbers.split_ascii_whitespace().map(number);
        for family in &COLUMNS {
            match numbers.next() {
                Some(Some(value)) => book.tell(family, &[("device", device.trim())], value),
                _ => book.odd(),
            }
        }
    }
}

const PROTOCOL: &str =
    "A counter of the kernel's SNMP tables; the RFCs of the protocol and netstat -s say what it counts.";
const STATE: &str = "A level of the kernel's SNMP tables.";

/// /proc/net/netstat and /proc/net/snmp: a line of names, then a line of numbers, each with its protocol.
pub(super) fn netstat(text: &str, _: &Units, book: &mut Book) {
    let mut lines = text.lines();
    while let (Some(names), Some(numbers)) = (lines.next(), lines.next()) {
        let (Some((protocol, names)), Some((same, numbers))) = (named(names), named(numbers)) else {
            book.odd();
            continue;
        };
        if protocol != same {
            book.odd();
            continue;
        }
        for (name, word) in names.zip(numbers) {
            protocol_fact(protocol, name, word, book);
        }
    }
}

/// /proc/net/snmp6: a name and a number a line; the protocol ends with its 6.
pub(super) fn snmp6(text: &str, _: &Units, book: &mut Book) {
    for (name, mut words) in text.lines().filter_map(named) {
        let Some(at) = name.find('6') else { continue };
        let (protocol, name) = name.split_at(at + 1);
        if let Some(word) = words.next() {
            protocol_fact(protocol, name, word, book);
        }
    }
}

fn protocol_fact(protocol: &str, name: &str, word: &str, book: &mut Book) {
    if !is_told(protocol, name) {
        return;
    }
    let Some(value) = number(word) else { return book.odd() };
    let (kind, help) = match name {
        "Forwarding" | "CurrEstab" => (Gauge, STATE),
        _ => (Counter, PROTOCOL),
    };
    book.tell_of(&["node_netstat_", protocol, "_", name], kind, help, &[], value);
}

/// Of some four hundred those that node_exporter tells unless it is told otherwise.
fn is_told(protocol: &str, name: &str) -> bool {
    match (protocol, name) {
        (_, "InErrors" | "InErrs") => true,
        ("Ip", "Forwarding") => true,
        ("Ip6" | "IpExt", "InOctets" | "OutOctets") => true,
        ("Icmp" | "Icmp6", "InMsgs" | "OutMsgs") => true,
        ("TcpExt", "TCPSynRetrans" | "TCPTimeouts") => true,
        ("TcpExt", name) => name.starts_with("Listen") || name.starts_with("Syncookies"),
        (
            "Tcp",
            "ActiveOpens" | "InSegs" | "OutSegs" | "OutRsts" | "PassiveOpens" | "RetransSegs" | "CurrEstab",
        ) => true,
        ("Udp" | "Udp6", "InDatagrams" | "OutDatagrams" | "NoPorts" | "RcvbufErrors" | "SndbufErrors") => {
            true
        }
        _ => false,
    }
}

const SOCKETS: &str = "A figure of /proc/net/sockstat: sockets of a protocol in a state, or pages they hold.";
const SOCKET_BYTES: &str = "Bytes that the sockets of a protocol hold.";

/// /proc/net/sockstat and sockstat6: a protocol, then names and numbers in turn.
pub(super) fn sockstat(text: &str, units: &Units, book: &mut Book) {
    for (protocol, mut words) in text.lines().filter_map(named) {
        while let (Some(name), Some(word)) = (words.next(), words.next()) {
            let Some(value) = number(word) else {
                book.odd();
                continue;
            };
            book.tell_of(&["node_sockstat_", protocol, "_", name], Gauge, SOCKETS, &[], value);
            if name == "mem" {
                let bytes = value * units.page_bytes;
                book.tell_of(&["node_sockstat_", protocol, "_mem_bytes"], Gauge, SOCKET_BYTES, &[], bytes);
            }
        }
    }
}

/// Columns of /proc/net/softnet_stat.
const SOFTNET: [Family; 3] = [
    Family::counter("node_softnet_processed_total", "Packets that a processor took from the network."),
    Family::counter("node_softnet_dropped_total", "Packets dropped because a processor's queue was full."),
    Family::counter(
        "node_softnet_times_squeezed_total",
        "Times that a processor had more packets than time.",
    ),
];

/// /proc/net/softnet_stat: a line a processor, in base 16.
pub(super) fn softnet(text: &str, units: &Units, book: &mut Book) {
    for (cpu, line) in text.lines().enumerate().take(units.max_cpus) {
        let cpu = cpu.to_string();
        let mut columns = line.split_ascii_whitespace().map(hex);
        for family in &SOFTNET {
            match columns.next() {
                Some(Some(value)) => book.tell(family, &[("cpu", &cpu)], value),
                _ => book.odd(),
            }
        }
    }
}

const QUEUES: Family = Family::gauge("node_udp_queues", "Bytes in the queues of all UDP sockets.");

/// /proc/net/udp and udp6: what is queued to be sent and to be read stands in the fifth column, `sent:received`.
pub(super) fn udp(text: &str, version: &str, book: &mut Book) {
    let (mut sending, mut received) = (0.0, 0.0);
    for line in text.lines().skip(1) {
        let queues = line.split_ascii_whitespace().nth(4).and_then(|queues| queues.split_once(':'));
        match queues.and_then(|(tx, rx)| Some((hex(tx)?, hex(rx)?))) {
            Some((tx, rx)) => (sending, received) = (sending + tx, received + rx),
            None => book.odd(),
        }
    }
    book.tell(&QUEUES, &[("ip", version), ("queue", "rx")], received);
    book.tell(&QUEUES, &[("ip", version), ("queue", "tx")], sending);
}

pub(super) const TRACKED: Family =
    Family::gauge("node_nf_conntrack_entries", "Connections that are tracked.");
pub(super) const TRACKED_MOST: Family =
    Family::gauge("node_nf_conntrack_entries_limit", "The most connections that can be tracked.");

/// Columns of /proc/net/stat/nf_conntrack by their heads.
const TRACKING: [(&str, Family); 8] = [
    ("found", Family::gauge("node_nf_conntrack_stat_found", "Entries that were looked for and found.")),
    ("invalid", Family::gauge("node_nf_conntrack_stat_invalid", "Packets that cannot be tracked.")),
    ("ignore", Family::gauge("node_nf_conntrack_stat_ignore", "Packets that are tracked already.")),
    ("insert", Family::gauge("node_nf_conntrack_stat_insert", "Entries made.")),
    (
        "insert_failed",
        Family::gauge("node_nf_conntrack_stat_insert_failed", "Entries that could not be made."),
    ),
    ("drop", Family::gauge("node_nf_conntrack_stat_drop", "Packets dropped because tracking failed.")),
    ("early_drop", Family::gauge("node_nf_conntrack_stat_early_drop", "Entries dropped to make room.")),
    (
        "search_restart",
        Family::gauge("node_nf_conntrack_stat_search_restart", "Lookups that had to begin again."),
    ),
];

/// /proc/net/stat/nf_conntrack: a head, then a line a processor, in base 16.
pub(super) fn conntrack(text: &str, _: &Units, book: &mut Book) {
    let mut lines = text.lines();
    let Some(heads) = lines.next() else { return };
    let mut sums = [None::<f64>; TRACKING.len()];
    let places: Vec<Option<usize>> = heads
        .split_ascii_whitespace()
        .take(64)
        .map(|head| TRACKING.iter().position(|(known, _)| *known == head))
        .collect();
    for line in lines {
        for (place, word) in places.iter().zip(line.split_ascii_whitespace()) {
            let Some(place) = place else { continue };
            match hex(word) {
                Some(value) => *sums[*place].get_or_insert(0.0) += value,
                None => book.odd(),
            }
        }
    }
    for ((_, family), sum) in TRACKING.iter().zip(sums) {
        if let Some(sum) = sum {
            book.tell(family, &[], sum);
        }
    }
}
