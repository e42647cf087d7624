//! Block devices: what they did, and what udev knows of them.

use std::path::{Path, PathBuf};

use super::about::Family;
use super::book::Book;
use super::files::{Kept, Text};
use super::source::Units;
use super::words::number;

/// The columns of /proc/diskstats after the name, and what they are divided by. Sectors have 512 bytes there, whatever the
/// disk's; discards came with Linux 4.18, flushes with 5.5.
const COLUMNS: [(f64, Family); 17] = [
    (1.0, Family::counter("node_disk_reads_completed_total", "Reads that ended well.")),
    (1.0, Family::counter("node_disk_reads_merged_total", "Reads that became part of others.")),
    (1.0 / 512.0, Family::counter("node_disk_read_bytes_total", "Bytes read.")),
    (1000.0, Family::counter("node_disk_read_time_seconds_total", "Seconds that reads took, added up.")),
    (1.0, Family::counter("node_disk_writes_completed_total", "Writes that ended well.")),
    (1.0, Family::counter("node_disk_writes_merged_total", "Writes that became part of others.")),
    (1.0 / 512.0, Family::counter("node_disk_written_bytes_total", "Bytes written.")),
    (1000.0, Family::counter("node_disk_write_time_seconds_total", "Seconds that writes took, added up.")),
    (1.0, Family::gauge("node_disk_io_now", "Requests under way.")),
    (1000.0, Family::counter("node_disk_io_time_seconds_total", "Seconds in which requests were under way.")),
    (1000.0, Family::counter("node_disk_io_time_weighted_seconds_total", "The same, times the requests.")),
    (1.0, Family::counter("node_disk_discards_completed_total", "Discards that ended well.")),
    (1.0, Family::counter("node_disk_discards_merged_total", "Discards that became part of others.")),
    (1.0, Family::counter("node_disk_discarded_sectors_total", "Sectors discarded, of 512 bytes.")),
    (
        1000.0,
        Family::counter("node_disk_discard_time_seconds_total", "Seconds that discards took, added up."),
    ),
    (1.0, Family::counter("node_disk_flush_requests_total", "Flushes that ended well.")),
    (
        1000.0,
        Family::counter(
            "node_disk_flush_requests_time_seconds_total",
            "Seconds that flushes took, added up.",
        ),
    ),
];
const INFO: Family = Family::gauge("node_disk_info", "Always 1; what a disk is stands in the labels.");
const FILESYSTEM: Family =
    Family::gauge("node_disk_filesystem_info", "Always 1; the file system on a disk stands in the labels.");
const MAPPED: Family =
    Family::gauge("node_disk_device_mapper_info", "Always 1; what a mapped disk is stands in the labels.");

/// /proc/diskstats, and udev's notes beside it.
#[derive(Debug)]
pub(super) struct Disks {
    stats: Kept,
    udev: PathBuf,
    has_udev: bool,
    /// What the disks are changes seldom: it is looked up again after so many calls.
    looked: u32,
    known: Vec<Known>,
}

/// What udev says of a disk.
#[derive(Debug, Default)]
struct Known {
    number: (String, String),
    properties: Vec<(String, String)>,
}

impl Disks {
    pub(super) fn new(root: &Path) -> Self {
        Self {
            stats: Kept::open(root.join("proc/diskstats")),
            udev: root.join("run/udev/data"),
            has_udev: false,
            looked: 0,
            known: Vec::new(),
        }
    }

    pub(super) fn tell(&mut self, text: &mut Text, units: &Units, book: &mut Book) {
        let Some(stats) = text.whole(&mut self.stats, book) else { return };
        let disks = counted(stats, units, book);
        if self.looked == 0 {
            self.known.clear();
            self.has_udev = self.udev.exists();
        }
        self.looked = (self.looked + 1) % 60;
        for (major, minor, device) in disks {
            let known = match self
                .known
                .iter()
                .position(|known| known.number.0 == major && known.number.1 == minor)
            {
                Some(at) => at,
                None => {
                    let path = self.udev.join(format!("b{major}:{minor}"));
                    let properties = match self.has_udev {
                        true => text.at(&path, book).map(properties).unwrap_or_default(),
                        false => Vec::new(),
                    };
                    let number = (major.clone(), minor.clone());
                    self.known.push(Known { number, properties });
                    self.known.len() - 1
                }
            };
            self.known[known].tell(&device, book);
        }
    }
}

impl Known {
    fn get(&self, name: &str) -> &str {
        self.properties.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    fn tell(&self, device: &str, book: &mut Book) {
        let either = |first: &str, second: &str| match self.get(first) {
            "" => self.get(second).to_owned(),
            value => value.to_owned(),
        };
        let info = [
            ("device", device),
            ("major", &self.number.0),
            ("minor", &self.number.1),
            ("model", self.get("ID_MODEL")),
            ("path", self.get("ID_PATH")),
            ("revision", self.get("ID_REVISION")),
            ("serial", &either("SCSI_IDENT_SERIAL", "ID_SERIAL_SHORT")),
            ("wwn", self.get("ID_WWN")),
        ];
        book.tell(&INFO, &info, 1.0);
        if !self.get("ID_FS_TYPE").is_empty() {
            let system = [
                ("device", device),
                ("type", self.get("ID_FS_TYPE")),
                ("usage", self.get("ID_FS_USAGE")),
                ("uuid", self.get("ID_FS_UUID")),
                ("version", self.get("ID_FS_VERSION")),
            ];
            book.tell(&FILESYSTEM, &system, 1.0);
        }
        if !self.get("DM_NAME").is_empty() {
            let mapped = [
                ("device", device),
                ("lv_layer", self.get("DM_LV_LAYER")),
                ("lv_name", self.get("DM_LV_NAME")),
                ("name", self.get("DM_NAME")),
                ("uuid", self.get("DM_UUID")),
                ("vg_name", self.get("DM_VG_NAME")),
            ];
            book.tell(&MAPPED, &mapped, 1.0);
        }
    }
}

/// Tells what is counted; the disks that were told, with their numbers.
pub(super) fn counted(text: &str, units: &Units, book: &mut Book) -> Vec<(String, String, String)> {
    let mut disks = Vec::new();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let (Some(major), Some(minor), Some(device)) = (words.next(), words.next(), words.next()) else {
            book.odd();
            continue;
        };
        if is_part(device) {
            continue;
        }
        if disks.len() >= units.max_devices {
            book.beyond();
            continue;
        }
        for ((divisor, family), word) in COLUMNS.iter().zip(words) {
            match number(word) {
                Some(value) => book.tell(family, &[("device", device)], value / divisor),
                None => book.odd(),
            }
        }
        disks.push((major.to_owned(), minor.to_owned(), device.to_owned()));
    }
    disks
}

/// Properties of a file of udev: `E:NAME=value`.
pub(super) fn properties(text: &str) -> Vec<(String, String)> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("E:")?.split_once('='));
    lines.take(256).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Whether a device is a part of a disk, or a disk that is made of memory or a file.
fn is_part(device: &str) -> bool {
    let digits = |rest: &str| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit());
    let numbered = |prefix: &str| device.strip_prefix(prefix).is_some_and(digits);
    if ["ram", "loop", "fd"].into_iter().any(numbered) {
        return true;
    }
    let lettered = |prefix: &str| {
        let mut rest = device.strip_prefix(prefix).unwrap_or_default().chars();
        rest.next().is_some_and(|letter| letter.is_ascii_lowercase()) && digits(rest.as_str())
    };
    if ["hd", "sd", "vd", "xvd"].into_iter().any(lettered) {
        return true;
    }
    let nvme = device.strip_prefix("nvme").and_then(|rest| rest.split_once('n'));
    nvme.and_then(|(card, rest)| Some((card, rest.split_once('p')?)))
        .is_some_and(|(card, (space, part))| digits(card) && digits(space) && digits(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_disks_are_left_out() {
        for part in ["sda1", "vdb12", "xvda1", "hdc3", "loop0", "ram15", "fd0", "nvme0n1p2"] {
            assert!(is_part(part), "{part}");
        }
        for whole in ["sda", "vda", "nvme0n1", "zram0", "dm-0", "md0", "sr0", "mmcblk0", "sdaa", "sdaa1"] {
            assert!(!is_part(whole), "{whole}");
        }
    }

    #[test]
    fn udev_tells_what_a_disk_is() {
        let text = "S:disk/by-id/x\nE:ID_MODEL=Fast One\nE:ID_SERIAL_SHORT=S1\nE:ID_FS_TYPE=ext4\nE:DM_NAME=root\nG:a\n";
        let known = Known { number: ("8".into(), "0".into()), properties: properties(text) };
        let mut book = Book::new(10);
        book.begin();
        known.tell("sda", &mut book);
        let told: Vec<String> = book.end().iter().map(|fact| fact.about.to_string()).collect();
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(told[0].contains("model=\"Fast One\"") && told[0].contains("serial=\"S1\""), "{told:?}");
    }
}
