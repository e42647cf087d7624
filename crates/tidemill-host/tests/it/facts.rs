//! Every fact against a real node_exporter: same names, labels and kinds, and values between two of its own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::SystemTime;

use tidemill_host::{FactKind, Facts, FactsConfig};

use crate::node_exporter::{answer, start};

/// What they tell and we do not, by how it begins, and why.
const NOT_OURS: [(&str, &str); 24] = [
    ("node_scrape_collector_", "of the exporter, not of the host"),
    ("node_exporter_build_info", "of the exporter, not of the host"),
    ("node_textfile_", "what others wrote into its folder"),
    ("node_time_zone_offset_seconds", "the zone of the exporter's process; dates are the reader's business"),
    ("node_os_support_end", "a date that os-release promises, not a fact"),
    // What few hosts have, and they read the same files by.
    ("node_bcache_", "hardware that this crate does not read"),
    ("node_bonding_", "hardware that this crate does not read"),
    ("node_btrfs_", "hardware that this crate does not read"),
    ("node_cpu_info", "hardware that this crate does not read"),
    ("node_edac_channel_", "hardware that this crate does not read"),
    ("node_disk_ata_", "hardware that this crate does not read"),
    ("node_fibrechannel_", "hardware that this crate does not read"),
    ("node_infiniband_", "hardware that this crate does not read"),
    ("node_ipvs_", "hardware that this crate does not read"),
    ("node_md_", "hardware that this crate does not read"),
    ("node_nfs_", "hardware that this crate does not read"),
    ("node_nfsd_", "hardware that this crate does not read"),
    ("node_power_supply_", "hardware that this crate does not read"),
    ("node_rapl_", "hardware that this crate does not read"),
    ("node_systemd_", "asked over D-Bus"),
    ("node_tapestats_", "hardware that this crate does not read"),
    ("node_xfs_", "hardware that this crate does not read"),
    ("node_zfs_", "hardware that this crate does not read"),
    ("node_selinux_config_mode", "a file of settings, not what is in force"),
];

#[derive(Clone, Debug, PartialEq)]
struct Told {
    counts: Option<bool>,
    value: f64,
}

/// Series by name and labels.
type All = BTreeMap<String, Told>;

fn theirs(address: SocketAddr) -> All {
    let text = answer(address).unwrap();
    let mut kinds = BTreeMap::new();
    let mut all = All::new();
    for line in text.lines() {
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            kinds.insert(name, kind);
        } else if line.starts_with("node_") {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let name = series.split('{').next().unwrap();
            let counts = match kinds[name] {
                "counter" => Some(true),
                "gauge" => Some(false),
                _ => None,
            };
            all.insert(series.to_owned(), Told { counts, value: value.parse().unwrap() });
        }
    }
    all
}

fn ours(facts: &mut Facts) -> All {
    let told = facts.read(SystemTime::now()).iter().map(|fact| {
        let counts = Some(fact.about.kind() == FactKind::Counter);
        (fact.about.to_string(), Told { counts, value: fact.value })
    });
    told.collect()
}

/// What a level may differ by beside a tenth: what moves by itself while it is read.
fn play(series: &str) -> f64 {
    match series.split('{').next().unwrap_or_default() {
        name if name.starts_with("node_memory_") && name.ends_with("_bytes") => 256e6,
        name if name.starts_with("node_filesystem_") && name.ends_with("_bytes") => 1e9,
        name if name.starts_with("node_sockstat_") => 100.0,
        "node_filesystem_files_free" => 1e5,
        "node_filefd_allocated" | "node_entropy_available_bits" => 3000.0,
        "node_procs_running" | "node_procs_blocked" | "node_disk_io_now" => 100.0,
        "node_netstat_Tcp_CurrEstab" => 100.0,
        "node_load1" | "node_load5" | "node_load15" => 2.0,
        "node_nf_conntrack_entries" => 1000.0,
        "node_time_seconds" => 1.0,
        "node_udp_queues" => 1e6,
        name if name.starts_with("node_timex_") => 1.0,
        _ => 0.0,
    }
}

/// Where what we tell is not what they tell before and after.
fn differences(before: &All, ours: &All, after: &All) -> Vec<String> {
    let mut all = Vec::new();
    // Behind a network or a program: a dead one would hold up whoever asks.
    let is_far = |series: &str| {
        let far = ["nfs", "cifs", "smb", "9p", "ceph", "fuse", "virtiofs", "afs", "glusterfs", "lustre"];
        series.starts_with("node_filesystem_")
            && far.iter().any(|kind| series.contains(&format!("fstype=\"{kind}")))
    };
    let is_theirs =
        |series: &str| is_far(series) || NOT_OURS.iter().any(|(name, _)| series.starts_with(name));
    // An interface that does not know its speed: theirs is -125000 bytes a second, ours is none.
    let no_speed = |series: &str, told: &Told| series.starts_with("node_network_speed") && told.value < 0.0;
    for (series, first) in
        before.iter().filter(|(series, told)| !is_theirs(series) && !no_speed(series, told))
    {
        let Some(last) = after.get(series) else { continue };
        let Some(found) = ours.get(series) else {
            all.push(format!("{series} is missing"));
            continue;
        };
        if first.counts.is_some_and(|counts| found.counts != Some(counts)) {
            all.push(format!("{series} is of another kind"));
        }
        let (low, high) = (first.value.min(last.value), first.value.max(last.value));
        let tolerance = if found.counts == Some(true) {
            // Theirs is rounded where it is multiplied.
            1e-9 * high.abs()
        } else {
            play(series) + if play(series) > 0.0 { 0.1 * high.abs() } else { 0.0 }
        };
        if found.value < low - tolerance || found.value > high + tolerance {
            all.push(format!("{series} is {}, theirs {} and {}", found.value, first.value, last.value));
        }
    }
    for series in ours.keys().filter(|series| !before.contains_key(*series) && !after.contains_key(*series)) {
        all.push(format!("{series} is ours alone"));
    }
    all
}

/// Theirs, ours, theirs, without a difference. Devices come and go, levels jump: a few tries.
fn agreed(facts: &mut Facts, address: SocketAddr) -> (All, All, All) {
    let mut found = Vec::new();
    for _ in 0..10 {
        let (before, ours, after) = (theirs(address), ours(facts), theirs(address));
        found = differences(&before, &ours, &after);
        if found.is_empty() {
            return (before, ours, after);
        }
    }
    panic!("{} differences: {found:#?}", found.len());
}

/// The controls: an error of any fact, planted, is found.
fn planted_errors_are_found(before: &All, ours: &All, after: &All) {
    let found = |planted: &All| differences(before, planted, after).len();
    for (series, told) in ours {
        let with = |value: f64| {
            let mut planted = ours.clone();
            planted.insert(series.clone(), Told { value, ..told.clone() });
            planted
        };
        // Bytes for KiB, seconds for milliseconds, one that is never counted.
        let wrong = if told.value == 0.0 { 1e12 } else { told.value * 1e6 };
        assert_eq!(found(&with(wrong)), 1, "{series}");
        let mut planted = ours.clone();
        planted.remove(series);
        assert_eq!(found(&planted), 1, "{series} left out");
        planted.insert(format!("{series}x"), told.clone());
        assert_eq!(found(&planted), 2, "{series} called otherwise");
        let mut planted = ours.clone();
        planted.insert(series.clone(), Told { counts: told.counts.map(|counts| !counts), ..told.clone() });
        assert!(found(&planted) >= usize::from(before[series].counts.is_some()), "{series} of another kind");
    }
}

#[test]
fn every_fact_of_this_host_agrees() {
    let Some((_server, address)) = start(&[]) else { return };
    let mut facts = Facts::builder(FactsConfig::default()).build().unwrap();
    let (before, ours, after) = agreed(&mut facts, address);
    assert!(ours.len() >= 200, "only {} facts", ours.len());
    let stats = facts.stats();
    assert_eq!((stats.odd, stats.beyond), (0, 0), "{stats:?}");
    planted_errors_are_found(&before, &ours, &after);
}

/// A machine with what this one may not have.
fn made(root: &Path) {
    let files = [
        (
            "proc/stat",
            "cpu 9 9 9 9 9 9 9 9 9 9\ncpu0 100 2 3 4 5 6 7 8 9 10\ncpu1 1 2 3 4 5 6 7 8 0 0\nintr 5 1\nctxt 7\nbtime 1700000000\nprocesses 11\nprocs_running 2\nprocs_blocked 1\n",
        ),
        ("proc/cpuinfo", "processor\t: 0\n\nprocessor\t: 1\n\n"),
        (
            "proc/schedstat",
            "version 15\ntimestamp 4\ncpu0 0 0 0 0 0 0 2045936778163039 343796328169361 4767485306\ncpu1 0 0 0 0 0 0 1904686152592476 364107263788241 5145567945\n",
        ),
        (
            "proc/diskstats",
            "8 0 sda 25354637 34367663 1003346126 18492372 28444756 11134226 505697032 63877960 0 9653880 82621804\n8 1 sda1 250 0 2000 36 0 0 0 0 0 36 36\n259 0 nvme0n1 47114 4 4643973 21650 1078320 43950 39451633 1011053 0 222766 1032546 1 2 3 4 5 6\n259 1 nvme0n1p1 1140 0 9370 16 1 0 1 0 0 16 16\n253 0 dm-0 59910002 0 1003337218 46229572 39231014 0 505697032 1158557800 0 11325968 1206301256\n",
        ),
        (
            "run/udev/data/b8:0",
            "S:disk\nE:ID_MODEL=Some_Disk\nE:ID_PATH=pci-0000:00:17.0-ata-1\nE:ID_REVISION=R1\nE:ID_SERIAL_SHORT=S3\nE:ID_WWN=0x5\nE:ID_FS_TYPE=ext4\nE:ID_FS_UUID=u-1\nE:ID_FS_USAGE=filesystem\nE:ID_FS_VERSION=1.0\n",
        ),
        (
            "run/udev/data/b253:0",
            "E:DM_NAME=vg-root\nE:DM_UUID=LVM-x\nE:DM_VG_NAME=vg\nE:DM_LV_NAME=root\nE:DM_LV_LAYER=\n",
        ),
        ("sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_cur_freq", "1699981\n"),
        ("sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_min_freq", "800000\n"),
        ("sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq", "3700000\n"),
        ("sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "1699981\n"),
        ("sys/devices/system/cpu/cpu0/cpufreq/scaling_min_freq", "800000\n"),
        ("sys/devices/system/cpu/cpu0/cpufreq/scaling_max_freq", "3700000\n"),
        ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave\n"),
        ("sys/devices/system/cpu/cpu0/cpufreq/scaling_available_governors", "performance powersave\n"),
        ("sys/devices/system/cpu/cpu0/cpufreq/scaling_setspeed", "<unsupported>\n"),
        ("sys/devices/system/cpu/cpu0/cpufreq/related_cpus", "0\n"),
        ("sys/devices/system/cpu/cpu0/cpufreq/scaling_driver", "intel_pstate\n"),
        ("sys/devices/system/cpu/cpu0/topology/core_id", "0\n"),
        ("sys/devices/system/cpu/cpu0/topology/physical_package_id", "0\n"),
        ("sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count", "5\n"),
        ("sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_count", "30\n"),
        ("sys/devices/system/cpu/cpu1/topology/core_id", "1\n"),
        ("sys/devices/system/cpu/cpu1/topology/physical_package_id", "0\n"),
        ("sys/devices/system/cpu/cpu1/thermal_throttle/core_throttle_count", "7\n"),
        ("sys/devices/system/cpu/cpu1/thermal_throttle/package_throttle_count", "30\n"),
        ("sys/class/thermal/thermal_zone0/type", "x86_pkg_temp\n"),
        ("sys/class/thermal/thermal_zone0/temp", "49925\n"),
        ("sys/class/thermal/thermal_zone0/policy", "step_wise\n"),
        ("sys/class/thermal/cooling_device0/type", "Processor\n"),
        ("sys/class/thermal/cooling_device0/cur_state", "3\n"),
        ("sys/class/thermal/cooling_device0/max_state", "50\n"),
        ("sys/class/hwmon/hwmon0/name", "coretemp\n"),
        ("sys/class/hwmon/hwmon0/temp1_input", "55000\n"),
        ("sys/class/hwmon/hwmon0/temp1_max", "84000\n"),
        ("sys/class/hwmon/hwmon0/temp1_crit_alarm", "0\n"),
        ("sys/class/hwmon/hwmon0/temp1_label", "Package id 0\n"),
        ("sys/class/hwmon/hwmon0/fan2_input", "1098\n"),
        ("sys/class/hwmon/hwmon0/fan2_fault", "0\n"),
        ("sys/class/hwmon/hwmon0/in0_input", "792\n"),
        ("sys/class/hwmon/hwmon0/curr1_input", "1500\n"),
        ("sys/class/hwmon/hwmon0/power1_average", "25000000\n"),
        ("sys/class/hwmon/hwmon0/energy1_input", "7000000\n"),
        ("sys/devices/system/edac/mc/mc0/ce_count", "1\n"),
        ("sys/devices/system/edac/mc/mc0/ue_count", "5\n"),
        ("sys/devices/system/edac/mc/mc0/ce_noinfo_count", "2\n"),
        ("sys/devices/system/edac/mc/mc0/ue_noinfo_count", "6\n"),
        ("sys/devices/system/edac/mc/mc0/csrow0/ce_count", "3\n"),
        ("sys/devices/system/edac/mc/mc0/csrow0/ue_count", "4\n"),
        ("sys/class/nvme/nvme0/firmware_rev", "1B2QEXP7\n"),
        ("sys/class/nvme/nvme0/model", "Samsung SSD 970 PRO 512GB\n"),
        ("sys/class/nvme/nvme0/serial", "S680HF8N190894I\n"),
        ("sys/class/nvme/nvme0/state", "live\n"),
        ("sys/class/dmi/id/bios_vendor", "Some \"Firm\"\n"),
        ("sys/class/dmi/id/product_name", "Box 1\n"),
        ("sys/class/dmi/id/product_version", "v2\n"),
        ("sys/class/dmi/id/sys_vendor", "Vendor\n"),
        (
            "etc/os-release",
            "NAME=\"Ubuntu\"\nID=ubuntu\nID_LIKE=debian\nVERSION_ID=\"22.04\"\nPRETTY_NAME=\"Ubuntu 22.04.1 LTS\"\n",
        ),
    ];
    for (path, content) in files {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
}

#[test]
fn every_fact_of_a_made_machine_agrees() {
    let root = tempfile::tempdir().unwrap();
    made(root.path());
    let at = |flag: &str, path: &str| format!("--path.{flag}={}", root.path().join(path).display());
    let collectors = [
        "cpu",
        "cpufreq",
        "diskstats",
        "dmi",
        "edac",
        "hwmon",
        "nvme",
        "os",
        "schedstat",
        "stat",
        "thermal_zone",
    ];
    let mut flags = vec![
        at("procfs", "proc"),
        at("sysfs", "sys"),
        at("rootfs", ""),
        at("udev.data", "run/udev/data"),
        "--collector.disable-defaults".to_owned(),
    ];
    flags.extend(collectors.map(|name| format!("--collector.{name}")));
    let Some((_server, address)) = start(&flags) else { return };
    let config = FactsConfig { root: root.path().to_owned(), ..FactsConfig::default() };
    let mut facts = Facts::builder(config).build().unwrap();
    let (before, after) = (theirs(address), theirs(address));
    // What the system calls say is of the real machine, and their collectors are off.
    let calls = ["node_uname", "node_time", "node_selinux"];
    let mut ours = ours(&mut facts);
    ours.retain(|series, _| !calls.iter().any(|call| series.starts_with(call)));
    let found = differences(&before, &ours, &after);
    assert!(found.is_empty(), "{found:#?}");
    assert!(ours.len() >= 100, "only {}: {ours:#?}", ours.len());
    planted_errors_are_found(&before, &ours, &after);
}
