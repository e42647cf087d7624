//! The doctor on made-up machines: every figure it judges by, what it would write, and that looking changes nothing.

use std::collections::BTreeMap;
use std::path::Path;

use tidemill_host::{Doctor, ErrorKind, Finding, Status};

const MOUNTS: &str = "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro\n\
                      40 22 8:17 / /srv/my\\040data rw,noatime - xfs /dev/sdb1 rw\n";

/// A machine as it comes from its maker.
fn plain() -> BTreeMap<&'static str, String> {
    let text = |text: &str| text.to_owned() + "\n";
    BTreeMap::from([
        ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", text("powersave")),
        ("sys/devices/system/cpu/cpu1/cpufreq/scaling_governor", text("performance")),
        ("sys/devices/system/cpu/cpu2/cpufreq/scaling_governor", text("powersave")),
        ("sys/kernel/mm/transparent_hugepage/enabled", text("[always] madvise never")),
        ("sys/fs/cgroup/memory.max", text("max")),
        ("sys/fs/cgroup/cpu.max", text("max 100000")),
        ("proc/self/cgroup", text("0::/")),
        ("proc/self/mountinfo", MOUNTS.to_owned()),
        (
            "proc/self/limits",
            text("Max open files            1024                 524288               files"),
        ),
        ("proc/sys/vm/swappiness", text("60")),
        ("proc/sys/vm/dirty_ratio", text("20")),
        ("proc/sys/vm/dirty_bytes", text("0")),
        ("proc/sys/vm/dirty_background_ratio", text("10")),
        ("proc/sys/vm/dirty_background_bytes", text("0")),
        ("proc/sys/net/core/rmem_max", text("212992")),
        ("proc/sys/net/core/wmem_max", text("212992")),
        ("proc/sys/net/ipv4/tcp_rmem", text("4096\t131072\t6291456")),
        ("proc/sys/net/ipv4/tcp_wmem", text("4096\t16384\t4194304")),
    ])
}

fn machine(files: &BTreeMap<&str, String>) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    root
}

fn of(findings: &[Finding], name: &str) -> Finding {
    findings.iter().find(|finding| finding.name == name).unwrap_or_else(|| panic!("no {name}")).clone()
}

fn read(root: &Path) -> BTreeMap<&'static str, String> {
    plain().into_keys().map(|path| (path, std::fs::read_to_string(root.join(path)).unwrap())).collect()
}

#[test]
fn a_plain_machine_gets_every_advice_with_its_command_and_looking_changes_nothing() {
    let root = machine(&plain());
    let findings = Doctor::below(root.path(), "/var/data").examine();
    for (name, wanted, command) in [
        (
            "cpu.governor",
            "performance",
            "echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor",
        ),
        ("vm.swappiness", "10", "sudo sysctl -w vm.swappiness=10"),
        ("vm.dirty_ratio", "15", "sudo sysctl -w vm.dirty_ratio=15"),
        ("vm.dirty_background_ratio", "5", "sudo sysctl -w vm.dirty_background_ratio=5"),
        ("mount.noatime", "noatime,nodiratime", "sudo mount -o remount,noatime,nodiratime /"),
        ("limit.nofile", "65536", "ulimit -n 65536"),
        ("net.core.rmem_max", "16777216", "sudo sysctl -w net.core.rmem_max=16777216"),
        ("net.core.wmem_max", "16777216", "sudo sysctl -w net.core.wmem_max=16777216"),
        (
            "net.ipv4.tcp_rmem",
            "4096 87380 16777216",
            "sudo sysctl -w net.ipv4.tcp_rmem='4096 87380 16777216'",
        ),
        (
            "net.ipv4.tcp_wmem",
            "4096 65536 16777216",
            "sudo sysctl -w net.ipv4.tcp_wmem='4096 65536 16777216'",
        ),
        (
            "memory.huge_pages",
            "madvise",
            "echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled",
        ),
    ] {
        let finding = of(&findings, name);
        assert_eq!((finding.status, finding.wanted.as_str()), (Status::Advice, wanted), "{name}");
        assert_eq!(finding.commands[0], command);
        assert!(
            !finding.reason.is_empty() && !finding.risk.is_empty() && !finding.undo.is_empty(),
            "{finding:?}"
        );
    }
    assert_eq!(of(&findings, "cpu.governor").found.as_deref(), Some("powersave on 2 of 3"));
    let writeback = of(&findings, "mount.writeback");
    assert_eq!(writeback.status, Status::Consider);
    assert!(writeback.risk.contains("after a crash") && writeback.writes.is_empty());
    assert_eq!(read(root.path()), plain(), "nothing was touched");
}

#[test]
fn applied_it_is_good_and_undone_it_is_as_before() {
    let root = machine(&plain());
    let doctor = Doctor::below(root.path(), "/var/data");
    let mut done = Vec::new();
    for finding in doctor.examine().iter().filter(|finding| finding.status == Status::Advice) {
        done.extend(doctor.apply(finding).unwrap());
    }
    assert_eq!(done.len(), 2 + 7 + 1, "two governors, seven sysctls, huge pages");
    // The kernel marks the chosen word itself.
    std::fs::write(
        root.path().join("sys/kernel/mm/transparent_hugepage/enabled"),
        "always [madvise] never\n",
    )
    .unwrap();
    let left: Vec<String> = doctor
        .examine()
        .into_iter()
        .filter(|finding| finding.status == Status::Advice)
        .map(|finding| finding.name)
        .collect();
    assert_eq!(left, ["mount.noatime", "limit.nofile"], "only what needs a command");
    doctor.undo(&done).unwrap();
    std::fs::write(
        root.path().join("sys/kernel/mm/transparent_hugepage/enabled"),
        "[always] madvise never\n",
    )
    .unwrap();
    let trimmed = |files: BTreeMap<&'static str, String>| -> Vec<String> {
        files.into_values().map(|text| text.trim().to_owned()).collect()
    };
    assert_eq!(trimmed(read(root.path())), trimmed(plain()));
}

#[test]
fn what_somebody_changed_meanwhile_is_left_alone() {
    let root = machine(&plain());
    let doctor = Doctor::below(root.path(), "/var/data");
    let finding = of(&doctor.examine(), "vm.swappiness");
    std::fs::write(root.path().join("proc/sys/vm/swappiness"), "1\n").unwrap();
    let error = doctor.apply(&finding).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Changed);
    assert!(error.to_string().contains("/proc/sys/vm/swappiness is \"1\""), "{error}");
}

#[test]
fn a_file_that_is_refused_takes_back_the_ones_before_it() {
    let root = machine(&plain());
    let doctor = Doctor::below(root.path(), "/var/data");
    let mut finding = of(&doctor.examine(), "cpu.governor");
    let mut stray = finding.writes[0].clone();
    for path in ["/etc/passwd", "/proc/sys/../../etc/passwd", "/sys/gone"] {
        stray.path = path.to_owned();
        finding.writes.push(stray.clone());
        assert_eq!(doctor.apply(&finding).unwrap_err().kind(), ErrorKind::Denied, "{path}");
        finding.writes.pop();
        assert_eq!(
            of(&doctor.examine(), "cpu.governor").found.as_deref(),
            Some("powersave on 2 of 3"),
            "{path}"
        );
    }
}

#[test]
fn other_machines() {
    let mut files = plain();
    files.insert("proc/sys/vm/dirty_bytes", "268435456\n".to_owned());
    files.insert("proc/sys/vm/swappiness", "1\n".to_owned());
    files.insert(
        "proc/self/limits",
        "Max open files            unlimited            unlimited            files\n".to_owned(),
    );
    let root = machine(&files);
    let findings = Doctor::below(root.path(), "/srv/my data/deep/er").examine();
    for name in ["vm.dirty_ratio", "vm.swappiness", "limit.nofile", "mount.noatime"] {
        assert_eq!(of(&findings, name).status, Status::Good, "{name}");
        assert!(of(&findings, name).commands.is_empty());
    }
    assert_eq!(of(&findings, "mount.noatime").found.as_deref(), Some("noatime on /srv/my data (xfs)"));
    assert!(findings.iter().all(|finding| finding.name != "mount.writeback"), "xfs has none");

    let nothing = tempfile::tempdir().unwrap();
    let findings = Doctor::below(nothing.path(), "/data").examine();
    assert!(
        findings.iter().all(|finding| finding.status == Status::Unknown && finding.writes.is_empty()),
        "{findings:?}"
    );
}

#[cfg(target_os = "linux")]
#[test]
fn this_machine_is_read() {
    let findings = Doctor::new(".").examine();
    let swappiness =
        std::fs::read_to_string("/proc/sys/vm/swappiness").ok().map(|text| text.trim().to_owned());
    assert_eq!(of(&findings, "vm.swappiness").found, swappiness);
    assert!(of(&findings, "limit.nofile").found.is_some() && of(&findings, "mount.noatime").found.is_some());
}
