//! Memory: every line of /proc/meminfo, and the paging of /proc/vmstat.

use super::about::FactKind::{Counter, Gauge};
use super::book::Book;
use super::source::Units;
use super::words::{named, number};

const INFO: &str = "A line of /proc/meminfo; proc(5) says what it counts.";
const PAGING: &str = "A line of /proc/vmstat: pages, or KiB for pgpgin and pgpgout.";

/// /proc/meminfo. `Active(anon)` becomes `Active_anon`; what has a unit is told in bytes.
pub(super) fn info(text: &str, _: &Units, book: &mut Book) {
    for line in text.lines() {
        let Some((name, mut words)) = named(line) else { continue };
        let Some(value) = words.next().and_then(number) else {
            book.odd();
            continue;
        };
        let (value, unit) = match words.next() {
            Some("kB") => (value * 1024.0, "_bytes"),
            None => (value, ""),
            Some(_) => {
                book.odd();
                continue;
            }
        };
        match name.strip_suffix(')').and_then(|name| name.split_once('(')) {
            Some((of, which)) => {
                book.tell_of(&["node_memory_", of, "_", which, unit], Gauge, INFO, &[], value)
            }
            None => book.tell_of(&["node_memory_", name, unit], Gauge, INFO, &[], value),
        }
    }
}

/// Faults, paging, swapping and kills of /proc/vmstat.
pub(super) fn vmstat(text: &str, _: &Units, book: &mut Book) {
    for line in text.lines() {
        let wanted = |name: &str| {
            name.starts_with("oom_kill")
                || name.starts_with("pgpg")
                || name.starts_with("pswp")
                || (name.starts_with("pg") && name[2..].contains("fault"))
        };
        let Some((name, value)) = line.split_once(' ').filter(|(name, _)| wanted(name)) else { continue };
        match number(value.trim_ascii_end()) {
            Some(value) => book.tell_of(&["node_vmstat_", name, ""], Counter, PAGING, &[], value),
            None => book.odd(),
        }
    }
}
