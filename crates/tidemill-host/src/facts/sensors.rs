//! Sensors and their like: temperatures, fans, voltages, cooling, memory errors, NVMe cards.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::about::FactKind::{self, Counter, Gauge};
use super::book::Book;
use super::files::{Kept, Text, names};
use super::words::number;

/// Sensors come and go seldom: they are listed again after so many calls.
const LISTED_EVERY: u32 = 60;

/// What is read below /sys/class/hwmon, /sys/class/thermal, /sys/class/nvme and /sys/devices/system/edac.
#[derive(Debug)]
pub(super) struct Sensors {
    root: PathBuf,
    max_devices: usize,
    all: Vec<Sensor>,
    listed: u32,
}

/// A file with a number, or with none a fact that is always 1.
#[derive(Debug)]
struct Sensor {
    file: Option<Kept>,
    divisor: f64,
    name: String,
    labels: Vec<(&'static str, String)>,
    kind: FactKind,
    help: &'static str,
}

/// What is looked at while listing.
struct Listing<'a> {
    text: &'a mut Text,
    book: &'a mut Book,
    max_devices: usize,
    all: Vec<Sensor>,
}

impl Sensors {
    pub(super) fn new(root: &Path, max_devices: usize) -> Self {
        Self { root: root.to_owned(), max_devices, all: Vec::new(), listed: 0 }
    }

    pub(super) fn tell(&mut self, text: &mut Text, book: &mut Book) {
        if self.listed == 0 {
            let mut listing = Listing { text, book, max_devices: self.max_devices, all: Vec::new() };
            listing.thermal(&self.root.join("sys/class/thermal"));
            listing.chips(&self.root.join("sys/class/hwmon"));
            listing.memory(&self.root.join("sys/devices/system/edac/mc"));
            listing.cards(&self.root.join("sys/class/nvme"));
            self.all = listing.all;
        }
        self.listed = (self.listed + 1) % LISTED_EVERY;
        let mut labels: Vec<(&'static str, &str)> = Vec::with_capacity(8);
        for sensor in &mut self.all {
            let value = match &mut sensor.file {
                None => Some(1.0),
                Some(file) => text.line(file, book).and_then(number),
            };
            // A driver that has no value now says so by an error or by a word.
            let Some(value) = value else { continue };
            labels.clear();
            labels.extend(sensor.labels.iter().map(|(name, value)| (*name, value.as_str())));
            book.tell_of(&[&sensor.name], sensor.kind, sensor.help, &labels, value / sensor.divisor);
        }
    }
}

impl Listing<'_> {
    /// Devices of a class: those whose name is this and a number, with the number.
    fn devices(&mut self, folder: &Path, prefix: &str) -> Vec<(PathBuf, String)> {
        let is_one = |name: &str| {
            name.strip_prefix(prefix).is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
        };
        let all = names(folder, self.max_devices, self.book, is_one);
        all.into_iter().map(|name| (folder.join(&name), name[prefix.len()..].to_owned())).collect()
    }

    fn word(&mut self, path: &Path) -> Option<String> {
        self.text.at(path, self.book).map(str::to_owned)
    }

    fn add(
        &mut self,
        file: Option<PathBuf>,
        divisor: f64,
        name: &str,
        labels: Labels<'_>,
        (kind, help): Meaning,
    ) {
        let labels = labels.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        let file = file.map(|path| Kept::new(path, false));
        self.all.push(Sensor { file, divisor, name: name.to_owned(), labels, kind, help });
    }

    fn thermal(&mut self, folder: &Path) {
        for (path, zone) in self.devices(folder, "thermal_zone") {
            let Some(of) = self.word(&path.join("type")) else { continue };
            let help = (Gauge, "Temperature of a zone, in degrees Celsius.");
            let labels = [("type", &*of), ("zone", &*zone)];
            self.add(Some(path.join("temp")), 1e3, "node_thermal_zone_temp", &labels, help);
        }
        for (path, name) in self.devices(folder, "cooling_device") {
            let Some(of) = self.word(&path.join("type")) else { continue };
            let labels = [("name", &*name), ("type", &*of)];
            let now = (Gauge, "How much a cooling device does now.");
            self.add(Some(path.join("cur_state")), 1.0, "node_cooling_device_cur_state", &labels, now);
            let most = (Gauge, "The most that it can do.");
            self.add(Some(path.join("max_state")), 1.0, "node_cooling_device_max_state", &labels, most);
        }
    }

    fn chips(&mut self, folder: &Path) {
        let mut seen = HashSet::new();
        for (path, _) in self.devices(folder, "hwmon") {
            let device = std::fs::canonicalize(path.join("device")).ok();
            let called =
                self.word(&path.join("name")).map(|name| cleaned(&name)).filter(|name| !name.is_empty());
            let own = || cleaned(&path.file_name().unwrap_or_default().to_string_lossy());
            let mut chip =
                device.as_deref().and_then(bus_name).or_else(|| called.clone()).unwrap_or_else(own);
            // Several may belong to one device.
            if !seen.insert(chip.clone()) {
                chip = format!("{chip}_{}", own());
            }
            if let Some(called) = called {
                let labels = [("chip", &*chip), ("chip_name", &*called)];
                self.add(
                    None,
                    1.0,
                    "node_hwmon_chip_names",
                    &labels,
                    (Gauge, "Always 1; what a chip is called."),
                );
            }
            for folder in [path.clone(), path.join("device")] {
                self.chip(&folder, &chip);
            }
        }
    }

    fn chip(&mut self, folder: &Path, chip: &str) {
        for file in names(folder, self.max_devices, self.book, |name| Element::of(name).is_some()) {
            let Some(element) = Element::of(&file) else { continue };
            let labels = [("chip", chip), ("sensor", element.sensor)];
            let path = folder.join(&file);
            if element.property == "label" {
                let Some(label) = self.word(&path) else { continue };
                let labels = [labels[0], ("label", &*label), labels[1]];
                let help = (Gauge, "Always 1; what a sensor is called.");
                self.add(None, 1.0, "node_hwmon_sensor_label", &labels, help);
                continue;
            }
            let (unit, divisor) = element.unit();
            let name = match element.property {
                "input" => format!("node_hwmon_{}{unit}", element.kind),
                property => format!("node_hwmon_{}_{}{unit}", element.kind, cleaned(property)),
            };
            let kind = if element.kind == "energy" { Counter } else { Gauge };
            self.add(
                Some(path),
                divisor,
                &name,
                &labels,
                (kind, "A value of a sensor; the kernel's hwmon documents it."),
            );
        }
    }

    fn memory(&mut self, folder: &Path) {
        const RIGHT: Meaning = (Counter, "Errors of memory that were put right.");
        const WRONG: Meaning = (Counter, "Errors of memory that could not be put right.");
        for (path, controller) in self.devices(folder, "mc") {
            let labels = [("controller", &*controller)];
            self.add(Some(path.join("ce_count")), 1.0, "node_edac_correctable_errors_total", &labels, RIGHT);
            self.add(
                Some(path.join("ue_count")),
                1.0,
                "node_edac_uncorrectable_errors_total",
                &labels,
                WRONG,
            );
            let mut row = |file: PathBuf, csrow: &str, name: &str, help| {
                self.add(Some(file), 1.0, name, &[("controller", &controller), ("csrow", csrow)], help);
            };
            row(path.join("ce_noinfo_count"), "unknown", "node_edac_csrow_correctable_errors_total", RIGHT);
            row(path.join("ue_noinfo_count"), "unknown", "node_edac_csrow_uncorrectable_errors_total", WRONG);
            for (path, csrow) in self.devices(&path, "csrow") {
                let labels = [("controller", &*controller), ("csrow", &*csrow)];
                self.add(
                    Some(path.join("ce_count")),
                    1.0,
                    "node_edac_csrow_correctable_errors_total",
                    &labels,
                    RIGHT,
                );
                self.add(
                    Some(path.join("ue_count")),
                    1.0,
                    "node_edac_csrow_uncorrectable_errors_total",
                    &labels,
                    WRONG,
                );
            }
        }
    }

    fn cards(&mut self, folder: &Path) {
        for (path, number) in self.devices(folder, "nvme") {
            let mut word = |file: &str| self.word(&path.join(file)).unwrap_or_default();
            let device = format!("nvme{number}");
            let (firmware, model, serial, state) =
                (word("firmware_rev"), word("model"), word("serial"), word("state"));
            let labels = [
                ("device", &*device),
                ("firmware_revision", &*firmware),
                ("model", &*model),
                ("serial", &*serial),
                ("state", &*state),
            ];
            self.add(
                None,
                1.0,
                "node_nvme_info",
                &labels,
                (Gauge, "Always 1; what a card is stands in the labels."),
            );
        }
    }
}

type Labels<'a> = &'a [(&'static str, &'a str)];
type Meaning = (FactKind, &'static str);

/// A file of a chip: `temp1_max` is the property `max` of the sensor `temp1`, which is a `temp`.
#[derive(Debug, PartialEq, Eq)]
struct Element<'a> {
    kind: &'a str,
    sensor: &'a str,
    property: &'a str,
}

impl<'a> Element<'a> {
    fn of(file: &'a str) -> Option<Self> {
        const KINDS: [&str; 9] = ["temp", "fan", "in", "curr", "power", "energy", "humidity", "pwm", "cpu"];
        let (sensor, property) = file.split_once('_').unwrap_or((file, ""));
        let kind = sensor.trim_end_matches(|c: char| c.is_ascii_digit());
        let is_one =
            KINDS.contains(&kind) && kind.len() < sensor.len() && (!property.is_empty() || kind == "pwm");
        is_one.then_some(Self { kind, sensor, property })
    }

    /// What ends the name, and what the number is divided by.
    fn unit(&self) -> (&'static str, f64) {
        match (self.kind, self.property) {
            (_, "fault" | "alarm") => ("", 1.0),
            (_, "beep") => ("_enabled", 1.0),
            ("in" | "cpu", _) => ("_volts", 1e3),
            ("temp", property) if property != "type" => ("_celsius", 1e3),
            ("curr", _) => ("_amps", 1e3),
            ("energy", _) => ("_joule_total", 1e6),
            ("power", "accuracy") => ("", 1e6),
            ("power", "average_interval" | "average_interval_min" | "average_interval_max") => {
                ("_seconds", 1e3)
            }
            ("power", _) => ("_watt", 1e6),
            ("humidity", _) => ("", 1e6),
            ("fan", "input" | "min" | "max" | "target") => ("_rpm", 1.0),
            _ => ("", 1.0),
        }
    }
}

/// A device by its bus and its own name: `platform_coretemp_0`.
fn bus_name(device: &Path) -> Option<String> {
    let name = cleaned(&device.file_name()?.to_string_lossy());
    let bus = device.parent()?.file_name().map(|bus| cleaned(&bus.to_string_lossy())).unwrap_or_default();
    match (bus.as_str(), name.as_str()) {
        (_, "") => None,
        ("", name) => Some(name.to_owned()),
        (bus, name) => Some(format!("{bus}_{name}")),
    }
}

/// Letters, digits and underscores.
fn cleaned(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_lowercase() || c.is_ascii_digit() || c == ':' { c } else { '_' };
    name.to_lowercase().chars().map(plain).collect::<String>().trim_matches('_').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_chips_are_taken_apart() {
        let of = |file| Element::of(file).map(|e| (e.kind, e.sensor, e.property));
        assert_eq!(of("temp1_max"), Some(("temp", "temp1", "max")));
        assert_eq!(of("in0_crit_alarm"), Some(("in", "in0", "crit_alarm")));
        assert_eq!(of("pwm2"), Some(("pwm", "pwm2", "")));
        for none in ["name", "temp_max", "uevent", "power", "subsystem", "fan1"] {
            assert_eq!(of(none), None, "{none}");
        }
        assert_eq!(cleaned("Core-Temp.0_"), "core_temp_0");
        assert_eq!(bus_name(Path::new("/sys/devices/platform/coretemp.0")).unwrap(), "platform_coretemp_0");
    }
}
