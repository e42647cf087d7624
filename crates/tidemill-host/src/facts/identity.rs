//! What this machine is: its kernel, its distribution, its board.

use std::path::{Path, PathBuf};

use super::about::Family;
use super::book::Book;
use super::files::Text;
use super::words::number;

const KERNEL: Family = Family::gauge("node_uname_info", "Always 1; the kernel stands in the labels.");
const SYSTEM: Family = Family::gauge("node_os_info", "Always 1; the distribution stands in the labels.");
const VERSION: Family =
    Family::gauge("node_os_version", "Version of the distribution, up to its second number.");
const BOARD: Family =
    Family::gauge("node_dmi_info", "Always 1; what the firmware says of the machine stands in the labels.");
const SELINUX: Family = Family::gauge("node_selinux_enabled", "Whether SELinux is in force.");
const SELINUX_MODE: Family =
    Family::gauge("node_selinux_current_mode", "Whether SELinux forbids (1) or only reports (0).");

/// Files of /sys/class/dmi/id; each is a label of its name.
const OF_BOARD: [&str; 19] = [
    "bios_date",
    "bios_release",
    "bios_vendor",
    "bios_version",
    "board_asset_tag",
    "board_name",
    "board_serial",
    "board_vendor",
    "board_version",
    "chassis_asset_tag",
    "chassis_serial",
    "chassis_vendor",
    "chassis_version",
    "product_family",
    "product_name",
    "product_serial",
    "product_sku",
    "product_uuid",
    "product_version",
];
/// A new one after so many calls: a guest may have been moved.
const BOARD_EVERY: u32 = 3600;

/// Names, and what the board said when it was asked last.
#[derive(Debug)]
pub(super) struct Identity {
    root: PathBuf,
    board: Vec<(&'static str, String)>,
    asked: u32,
}

impl Identity {
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), board: Vec::new(), asked: 0 }
    }

    pub(super) fn tell(&mut self, text: &mut Text, book: &mut Book) {
        kernel(book);
        // It is replaced when the system is upgraded, so that it is opened anew.
        for path in ["etc/os-release", "usr/lib/os-release"] {
            if let Some(text) = text.at(&self.root.join(path), book) {
                release(text, book);
                break;
            }
        }
        let mode = text.at(&self.root.join("sys/fs/selinux/enforce"), book).and_then(number);
        book.tell(&SELINUX, &[], f64::from(u8::from(mode.is_some())));
        if let Some(mode) = mode {
            book.tell(&SELINUX_MODE, &[], mode);
        }
        if self.asked == 0 {
            self.board = self.ask_board(text, book);
        }
        self.asked = (self.asked + 1) % BOARD_EVERY;
        if !self.board.is_empty() {
            let labels: Vec<_> = self.board.iter().map(|(name, value)| (*name, value.as_str())).collect();
            book.tell(&BOARD, &labels, 1.0);
        }
    }

    fn ask_board(&self, text: &mut Text, book: &mut Book) -> Vec<(&'static str, String)> {
        let folder = self.root.join("sys/class/dmi/id");
        let mut read = |file: &str| text.at(&folder.join(file), book).map(str::to_owned);
        let of_board = OF_BOARD.into_iter().filter_map(|file| Some((file, read(file)?)));
        let mut board: Vec<_> = of_board.collect();
        board.extend(read("sys_vendor").map(|vendor| ("system_vendor", vendor)));
        board
    }
}

fn kernel(book: &mut Book) {
    let kernel = rustix::system::uname();
    let word = |word: &std::ffi::CStr| word.to_string_lossy().into_owned();
    let labels = [
        ("domainname", &*word(kernel.domainname())),
        ("machine", &*word(kernel.machine())),
        ("nodename", &*word(kernel.nodename())),
        ("release", &*word(kernel.release())),
        ("sysname", &*word(kernel.sysname())),
        ("version", &*word(kernel.version())),
    ];
    book.tell(&KERNEL, &labels, 1.0);
}

/// /etc/os-release; see os-release(5).
pub(super) fn release(text: &str, book: &mut Book) {
    const NAMES: [&str; 12] = [
        "build_id",
        "id",
        "id_like",
        "image_id",
        "image_version",
        "name",
        "pretty_name",
        "variant",
        "variant_id",
        "version",
        "version_codename",
        "version_id",
    ];
    let mut labels = NAMES.map(|name| (name, String::new()));
    for (name, value) in text.lines().filter_map(|line| line.trim().split_once('=')) {
        if let Some(label) = labels.iter_mut().find(|label| label.0.eq_ignore_ascii_case(name)) {
            label.1 = unquoted(value.trim());
        }
    }
    let told = labels.each_ref().map(|(name, value)| (*name, value.as_str()));
    book.tell(&SYSTEM, &told, 1.0);
    let [_, id, id_like, _, _, name, .., version] = told;
    // The first two numbers: 12, 22.04, 3.18 of 3.18.4.
    let end = version.1.match_indices('.').nth(1).map_or(version.1.len(), |(at, _)| at);
    if let Some(version) = number(&version.1[..end]) {
        book.tell(&VERSION, &[id, id_like, name], version);
    }
}

fn unquoted(value: &str) -> String {
    let quoted = |quote: char| value.strip_prefix(quote).and_then(|value| value.strip_suffix(quote));
    match quoted('"').or_else(|| quoted('\'')) {
        Some(inner) => {
            inner.replace("\\\"", "\"").replace("\\$", "$").replace("\\`", "`").replace("\\\\", "\\")
        }
        None => value.to_owned(),
    }
}
