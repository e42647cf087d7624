//! Load, pressure, open files, entropy: small files of a few numbers.

use super::about::Family;
use super::book::Book;
use super::source::Units;
use super::words::number;

const LOADS: [Family; 3] = [
    Family::gauge("node_load1", "Tasks that run or wait for a disk, averaged over a minute."),
    Family::gauge("node_load5", "The same over five minutes."),
    Family::gauge("node_load15", "The same over fifteen minutes."),
];

/// /proc/loadavg.
pub(super) fn load(text: &str, _: &Units, book: &mut Book) {
    let mut words = text.split_ascii_whitespace().map(number);
    for family in &LOADS {
        match words.next() {
            Some(Some(value)) => book.tell(family, &[], value),
            _ => book.odd(),
        }
    }
}

/// Names of what a pressure file tells: waiting of some, waiting of all.
pub(super) type Pressed = [Option<Family>; 2];

pub(super) const CPU: Pressed = [
    Some(Family::counter(
        "node_pressure_cpu_waiting_seconds_total",
        "Seconds in which some task waited for a processor.",
    )),
    None,
];
pub(super) const IO: Pressed = [
    Some(Family::counter(
        "node_pressure_io_waiting_seconds_total",
        "Seconds in which some task waited for a disk.",
    )),
    Some(Family::counter(
        "node_pressure_io_stalled_seconds_total",
        "Seconds in which all tasks waited for a disk.",
    )),
];
pub(super) const MEMORY: Pressed = [
    Some(Family::counter(
        "node_pressure_memory_waiting_seconds_total",
        "Seconds in which some task waited for memory.",
    )),
    Some(Family::counter(
        "node_pressure_memory_stalled_seconds_total",
        "Seconds in which all tasks waited for memory.",
    )),
];

/// A file of /proc/pressure; its totals are microseconds.
pub(super) fn pressure(text: &str, families: &Pressed, book: &mut Book) {
    for (line, family) in ["some ", "full "].into_iter().zip(families) {
        let Some(family) = family else { continue };
        let Some(line) = text.lines().find(|found| found.starts_with(line)) else { continue };
        let total = line.split_ascii_whitespace().find_map(|word| word.strip_prefix("total="));
        match total.and_then(number) {
            Some(us) => book.tell(family, &[], us / 1e6),
            None => book.odd(),
        }
    }
}

const OPEN_FILES: Family = Family::gauge("node_filefd_allocated", "Open files of all processes.");
const OPEN_FILES_MOST: Family = Family::gauge("node_filefd_maximum", "The most files that may be open.");

/// /proc/sys/fs/file-nr: open, unused, most.
pub(super) fn open_files(text: &str, _: &Units, book: &mut Book) {
    let mut words = text.split_ascii_whitespace().map(number);
    match (words.next(), words.nth(1)) {
        (Some(Some(open)), Some(Some(most))) => {
            book.tell(&OPEN_FILES, &[], open);
            book.tell(&OPEN_FILES_MOST, &[], most);
        }
        _ => book.odd(),
    }
}

pub(super) const ENTROPY: Family =
    Family::gauge("node_entropy_available_bits", "Bits of entropy that the kernel holds.");
pub(super) const ENTROPY_POOL: Family =
    Family::gauge("node_entropy_pool_size_bits", "Bits of entropy that it can hold.");

/// A file with one number.
pub(super) fn level(text: &str, family: &Family, book: &mut Book) {
    match number(text.trim()) {
        Some(value) => book.tell(family, &[], value),
        None => book.odd(),
    }
}
