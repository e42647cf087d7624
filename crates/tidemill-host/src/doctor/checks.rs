//! What each setting should be, why, at what risk, and by which commands.

use super::facts::{Facts, file};
use super::{Finding, Status, Write};

/// Where the commands keep settings over a restart.
const SYSCTL_FILE: &str = "/etc/sysctl.d/60-tidemill.conf";
const LIMITS_FILE: &str = "/etc/security/limits.d/60-tidemill.conf";
const FILES: u64 = 65_536;
const BUFFER: u64 = 16_777_216;

pub(super) fn all(facts: &Facts) -> Vec<Finding> {
    let mut findings = vec![governor(facts)];
    findings.extend([
        sysctl_at_most(
            facts,
            "vm.swappiness",
            10,
            "a collector's memory is small and hot; swapping it out costs more than dropping file pages",
            "a machine that needs its swap runs out of memory sooner",
        ),
        dirty(facts, "vm.dirty_ratio", "vm.dirty_bytes", 15),
        dirty(facts, "vm.dirty_background_ratio", "vm.dirty_background_bytes", 5),
    ]);
    findings.push(access_times(facts));
    findings.extend(writeback(facts));
    findings.push(open_files(facts));
    let (reads, writes) = ("receive", "send");
    findings.extend([
        sysctl_at_least(facts, "net.core.rmem_max", reads),
        sysctl_at_least(facts, "net.core.wmem_max", writes),
        tcp(facts, "net.ipv4.tcp_rmem", "4096 87380 16777216", reads),
        tcp(facts, "net.ipv4.tcp_wmem", "4096 65536 16777216", writes),
    ]);
    findings.push(huge_pages(facts));
    findings.extend(limits(facts));
    findings
}

fn governor(facts: &Facts) -> Finding {
    let others: Vec<&(String, String)> =
        facts.governors.iter().filter(|(_, governor)| governor != "performance").collect();
    let found = match (facts.governors.first(), others.first()) {
        (None, _) => None,
        (_, Some((_, governor))) => {
            Some(format!("{governor} on {} of {}", others.len(), facts.governors.len()))
        }
        (Some(_), None) => Some("performance".to_owned()),
    };
    let all = "/sys/devices/system/cpu/cpu*/cpufreq/scaling_governor";
    let set = |governor: &str| format!("echo {governor} | sudo tee {all}");
    let mut finding = Finding {
        name: "cpu.governor".to_owned(),
        status: if others.is_empty() { Status::Good } else { Status::Advice },
        found,
        wanted: "performance".to_owned(),
        reason: "answers come in bursts; a processor that slows down between them answers late".to_owned(),
        risk: "more power and heat".to_owned(),
        commands: vec![set("performance")],
        undo: others.first().map(|(_, governor)| set(governor)).into_iter().collect(),
        writes: others
            .iter()
            .map(|(path, governor)| Write {
                path: path.clone(),
                before: governor.clone(),
                after: "performance".to_owned(),
            })
            .collect(),
    };
    if facts.governors.is_empty() {
        finding.status = Status::Unknown;
        "no frequency scaling here; a virtual machine leaves it to its host".clone_into(&mut finding.reason);
        finding.commands.clear();
    }
    finding
}

fn sysctl_at_most(facts: &Facts, name: &str, most: u64, reason: &str, risk: &str) -> Finding {
    let found = facts.sysctl(name);
    let good = found.and_then(|found| found.parse::<u64>().ok()).map(|found| found <= most);
    sysctl(name, found, &most.to_string(), good, reason, risk)
}

fn sysctl_at_least(facts: &Facts, name: &str, what: &str) -> Finding {
    let found = facts.sysctl(name);
    let good = found.and_then(|found| found.parse::<u64>().ok()).map(|found| found >= BUFFER);
    let reason = format!("a fast line over a long way needs {what} buffers of its bandwidth times its delay");
    sysctl(name, found, &BUFFER.to_string(), good, &reason, "up to 16 MiB of kernel memory a connection")
}

fn tcp(facts: &Facts, name: &str, wanted: &str, what: &str) -> Finding {
    let found = facts.sysctl(name).map(|found| found.split_whitespace().collect::<Vec<_>>().join(" "));
    let most = found.as_ref().and_then(|found| found.rsplit(' ').next()?.parse::<u64>().ok());
    let reason = format!("the kernel sizes {what} buffers by itself, up to the last of the three numbers");
    let risk = "up to 16 MiB of kernel memory a connection";
    let mut finding = sysctl(name, found.as_deref(), wanted, most.map(|most| most >= BUFFER), &reason, risk);
    // The file separates by tabs what is shown with blanks.
    if let (Some(write), Some(there)) = (finding.writes.first_mut(), facts.sysctl(name)) {
        there.clone_into(&mut write.before);
    }
    finding
}

fn dirty(facts: &Facts, name: &str, bytes: &str, most: u64) -> Finding {
    let reason = "small and steady writes back; else gigabytes wait and one fsync pays for all of them";
    let risk = "programs that write a lot wait for the disk earlier";
    let by_bytes = facts.sysctl(bytes).filter(|bytes| *bytes != "0");
    let Some(by_bytes) = by_bytes else { return sysctl_at_most(facts, name, most, reason, risk) };
    // A bound in bytes is set instead, which the ratio would switch off.
    let mut finding = sysctl(name, Some(by_bytes), &most.to_string(), Some(true), reason, risk);
    finding.found = Some(format!("{bytes} = {by_bytes} instead"));
    finding
}

fn sysctl(
    name: &str,
    found: Option<&str>,
    wanted: &str,
    good: Option<bool>,
    reason: &str,
    risk: &str,
) -> Finding {
    let status = match good {
        Some(true) => Status::Good,
        Some(false) => Status::Advice,
        None => Status::Unknown,
    };
    let advice = status == Status::Advice;
    let found = found.map(str::to_owned);
    let set = |value: &str| format!("sudo sysctl -w {name}={}", quoted(value));
    let keep = format!("echo {} | sudo tee -a {SYSCTL_FILE}", quoted(&format!("{name} = {wanted}")));
    let forget = format!("sudo sed -i '/^{} /d' {SYSCTL_FILE}", name.replace('.', "\\."));
    let before = found.clone().unwrap_or_default();
    let (commands, undo, writes) = if advice {
        let write = Write { path: file(name), before: before.clone(), after: wanted.to_owned() };
        (vec![set(wanted), keep], vec![set(&before), forget], vec![write])
    } else {
        (Vec::new(), Vec::new(), Vec::new())
    };
    Finding {
        name: name.to_owned(),
        status,
        found,
        wanted: wanted.to_owned(),
        reason: reason.to_owned(),
        risk: risk.to_owned(),
        commands,
        undo,
        writes,
    }
}

fn access_times(facts: &Facts) -> Finding {
    let has = |option: &str| {
        facts.mount.as_ref().is_some_and(|mount| mount.options.iter().any(|one| one == option))
    };
    let disk = facts
        .mount
        .as_ref()
        .is_some_and(|mount| ["ext4", "ext3", "xfs", "btrfs", "f2fs"].contains(&mount.kind.as_str()));
    let status = match &facts.mount {
        None => Status::Unknown,
        Some(_) if has("noatime") || !disk => Status::Good,
        Some(_) => Status::Advice,
    };
    let advice = status == Status::Advice;
    let (point, before) = facts.mount.as_ref().map_or(("/", "relatime"), |mount| {
        (mount.point.as_str(), if has("relatime") { "relatime" } else { "atime" })
    });
    let remount = |options: &str| format!("sudo mount -o remount,{options} {}", quoted(point));
    Finding {
        name: "mount.noatime".to_owned(),
        status,
        found: facts.mount.as_ref().map(|mount| {
            let time = mount.options.iter().find(|option| option.ends_with("atime"));
            format!("{} on {} ({})", time.map_or("atime", |time| time.as_str()), mount.point, mount.kind)
        }),
        wanted: "noatime,nodiratime".to_owned(),
        reason: "reading a file writes its time of access; nobody asks for it".to_owned(),
        risk: "programs that compare access times (some mail readers) see old ones".to_owned(),
        commands: if advice {
            vec![
                remount("noatime,nodiratime"),
                format!("# and add noatime,nodiratime to the line of {point} in /etc/fstab"),
            ]
        } else {
            Vec::new()
        },
        undo: if advice { vec![remount(&format!("{before},diratime"))] } else { Vec::new() },
        writes: Vec::new(),
    }
}

/// ext4 alone has it, and it is never advised.
fn writeback(facts: &Facts) -> Option<Finding> {
    let mount = facts.mount.as_ref().filter(|mount| mount.kind == "ext4")?;
    let is = mount.options.iter().any(|option| option == "data=writeback");
    Some(Finding {
        name: "mount.writeback".to_owned(),
        status: Status::Consider,
        found: Some(if is { "data=writeback" } else { "data=ordered" }.to_owned()),
        wanted: "data=ordered, unless the data can be fetched again".to_owned(),
        reason: "data=writeback lets metadata reach the disk before data: fewer waits".to_owned(),
        risk: "after a crash a file may hold bytes of another, deleted file; what was fsynced is safe, the rest is not".to_owned(),
        commands: if is {
            Vec::new()
        } else {
            vec![format!("# add data=writeback to the line of {} in /etc/fstab, then mount it anew", mount.point)]
        },
        undo: Vec::new(),
        writes: Vec::new(),
    })
}

fn open_files(facts: &Facts) -> Finding {
    let status = match facts.files {
        None => Status::Unknown,
        Some((soft, _)) if soft >= FILES => Status::Good,
        Some(_) => Status::Advice,
    };
    let advice = status == Status::Advice;
    let number = |limit: u64| if limit == u64::MAX { "unlimited".to_owned() } else { limit.to_string() };
    let line = |kind: &str| format!("* {kind} nofile {FILES}");
    Finding {
        name: "limit.nofile".to_owned(),
        status,
        found: facts.files.map(|(soft, hard)| format!("{} (hard {})", number(soft), number(hard))),
        wanted: FILES.to_string(),
        reason: "each connection, snapshot and segment is an open file".to_owned(),
        risk: "a program that leaks files is noticed later".to_owned(),
        commands: if advice {
            vec![
                format!("ulimit -n {FILES}"),
                format!("printf '%s\\n' '{}' '{}' | sudo tee {LIMITS_FILE}", line("soft"), line("hard")),
                format!("# in a systemd unit: LimitNOFILE={FILES}"),
            ]
        } else {
            Vec::new()
        },
        undo: if advice { vec![format!("sudo rm {LIMITS_FILE}")] } else { Vec::new() },
        writes: Vec::new(),
    }
}

fn huge_pages(facts: &Facts) -> Finding {
    let path = "/sys/kernel/mm/transparent_hugepage/enabled";
    let found = facts.huge_pages.clone();
    let status = match found.as_deref() {
        None => Status::Unknown,
        Some("always") => Status::Advice,
        Some(_) => Status::Good,
    };
    let advice = status == Status::Advice;
    let set = |mode: &str| format!("echo {mode} | sudo tee {path}");
    let write = Write { path: path.to_owned(), before: "always".to_owned(), after: "madvise".to_owned() };
    Finding {
        name: "memory.huge_pages".to_owned(),
        status,
        found,
        wanted: "madvise".to_owned(),
        reason: "pages of 2 MiB make a small heap resident as a large one, and their making stalls"
            .to_owned(),
        risk: "programs with large heaps that do not ask for huge pages get slower".to_owned(),
        commands: if advice { vec![set("madvise")] } else { Vec::new() },
        undo: if advice { vec![set("always")] } else { Vec::new() },
        writes: if advice { vec![write] } else { Vec::new() },
    }
}

/// Limits of the control group are somebody's decision: told, not judged.
fn limits(facts: &Facts) -> Vec<Finding> {
    let told = |name: &str, found: &Option<String>, reason: &str| Finding {
        name: name.to_owned(),
        status: if found.is_some() { Status::Good } else { Status::Unknown },
        found: found.clone(),
        wanted: "as decided".to_owned(),
        reason: reason.to_owned(),
        risk: String::new(),
        commands: Vec::new(),
        undo: Vec::new(),
        writes: Vec::new(),
    };
    vec![
        told(
            "cgroup.memory",
            &facts.memory_limit,
            "percentages of memory count against this limit where it is the tighter one",
        ),
        told("cgroup.cpu", &facts.cpu_limit, "microseconds of processor a period; workers are sized by it"),
    ]
}

/// For a shell: in single quotes when it needs them.
fn quoted(text: &str) -> String {
    let plain = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-,:=".contains(c));
    if plain { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}
