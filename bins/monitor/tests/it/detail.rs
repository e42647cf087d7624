//! `host_detail = "full"`: the monitor in the place of a node_exporter, read by a Prometheus, and what both cost.
//!
//! Needs Debian's `prometheus` and `prometheus-node-exporter` in the path; says aloud that it is skipped without.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::real::{advice, node_exporter, prometheus, query};
use crate::running::{Monitor, PATIENCE, ask, end, target_of};

/// Names and labels that begin with `node_`, and the declared kinds of their names.
fn told(text: &str) -> (BTreeSet<String>, BTreeMap<String, String>) {
    let series = text.lines().filter(|line| line.starts_with("node_"));
    let kinds = text.lines().filter_map(|line| line.strip_prefix("# TYPE node_")?.split_once(' '));
    (
        series.filter_map(|line| Some(line.rsplit_once(' ')?.0.to_owned())).collect(),
        kinds.map(|(name, kind)| (format!("node_{name}"), kind.to_owned())).collect(),
    )
}

/// What an exporter tells of itself, or tidemill-host leaves out with a reason; its own tests have the whole list.
fn is_not_ours(series: &str) -> bool {
    const NOT_OURS: [&str; 25] = [
        "node_scrape_",
        "node_exporter_",
        "node_textfile_",
        "node_time_zone_",
        "node_network_speed_bytes",
        "node_os_support_end",
        "node_bcache_",
        "node_bonding_",
        "node_btrfs_",
        "node_cpu_info",
        "node_edac_channel_",
        "node_disk_ata_",
        "node_fibrechannel_",
        "node_infiniband_",
        "node_ipvs_",
        "node_md_",
        "node_nfs_",
        "node_nfsd_",
        "node_power_supply_",
        "node_rapl_",
        "node_systemd_",
        "node_tapestats_",
        "node_xfs_",
        "node_zfs_",
        "node_selinux_config_mode",
    ];
    const FAR: [&str; 6] = ["nfs", "cifs", "9p", "ceph", "fuse", "virtiofs"];
    let is_far = FAR.iter().any(|kind| series.contains(&format!("fstype=\"{kind}")));
    is_far || NOT_OURS.iter().any(|name| series.starts_with(name))
}

#[test]
fn a_prometheus_needs_no_node_exporter_beside_it() {
    let test = "a_prometheus_needs_no_node_exporter_beside_it";
    let dir = tempfile::tempdir().unwrap();
    let Some((_node, node)) = node_exporter(test) else { return };
    let args = ["--interval", "1", "--host-detail", "full"];
    let monitor = Monitor::start(&dir.path().join("data"), &args, &[]);
    let text = monitor.until_text("/metrics", |text| text.contains("\nnode_uname_info{"));
    // What is plugged in and out meanwhile is no difference: a few tries.
    let begun = Instant::now();
    let exporter = format!("http://127.0.0.1:{node}/metrics");
    loop {
        let up = std::net::TcpStream::connect(("127.0.0.1", node)).is_ok();
        let theirs = if up { ask("GET", &exporter, &[]).2 } else { String::new() };
        let (theirs, their_kinds) = told(&theirs);
        let (ours, our_kinds) = told(&monitor.get("/metrics").1);
        let theirs: BTreeSet<_> = theirs.into_iter().filter(|series| !is_not_ours(series)).collect();
        let ours: BTreeSet<_> = ours.into_iter().filter(|series| !is_not_ours(series)).collect();
        let kinds: Vec<_> = their_kinds
            .iter()
            .filter(|(name, kind)| *kind != "untyped" && our_kinds.get(*name).is_some_and(|our| our != *kind))
            .collect();
        if theirs.len() > 200 && theirs == ours && kinds.is_empty() {
            break;
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "{kinds:?}\ntheirs alone {:#?}\nours alone {:#?}",
            theirs.difference(&ours).collect::<Vec<_>>(),
            ours.difference(&theirs).collect::<Vec<_>>()
        );
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(text.contains("# HELP node_cpu_seconds_total Seconds that a processor spent in each mode.\n"));
    for what in ["unreadable", "odd", "beyond"] {
        assert!(text.contains(&format!("\nsystem_facts_{what}_total ")), "{what}");
    }
    // The same road as all series: rates, history, the list of metrics.
    let path = "/api/metrics/history?metric=node_cpu_seconds_total&label.cpu=0&hours=1";
    let answer = monitor.until(path, |answer| crate::running::means(answer).len() >= 4);
    let means = |mode: &Value| -> f64 {
        let all: Vec<f64> = mode["mean"].as_array().unwrap().iter().filter_map(Value::as_f64).collect();
        all.iter().sum::<f64>() / all.len() as f64
    };
    let sum: f64 = answer["series"].as_array().unwrap().iter().map(means).sum();
    assert!((0.5..1.5).contains(&sum), "{sum}: {answer}");
    let answer = monitor.json("/api/metrics/history?metric=node_load1&hours=1&target=!host");
    assert_eq!(answer["series"].as_array().unwrap().len(), 0, "of all others: {answer}");
    // A Prometheus agrees, and promtool can read all of it.
    let address = monitor.url.trim_start_matches("http://").to_owned();
    let Some((_prometheus, port)) = prometheus(test, dir.path(), &[address]) else { return };
    let total = query(port, "node_memory_MemTotal_bytes");
    assert!(total > 1e6);
    let rate = "sum(rate(node_cpu_seconds_total[5s])) / count(node_cpu_seconds_total{mode=\"idle\"})";
    // The first scrapes fall before and behind a round: it settles.
    let begun = Instant::now();
    while !(0.5..1.5).contains(&query(port, rate)) {
        assert!(begun.elapsed() < PATIENCE, "{}", query(port, rate));
        std::thread::sleep(Duration::from_millis(500));
    }
    let said = advice(&text);
    assert!(!said.contains("no help text"), "{said}");
}

#[test]
fn a_summary_is_what_is_told_unless_full_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let monitor = Monitor::start(dir.path(), &["--interval", "1"], &[]);
    let current = monitor.until("/api/metrics/current", |current| {
        target_of(current, "host").is_some_and(|host| host["up"] == true)
    });
    let host = target_of(&current, "host").unwrap();
    let series = host["series"].as_array().unwrap();
    assert!(!series.iter().any(|one| one["name"].as_str().unwrap().starts_with("node_")), "{host}");
    let (code, _, error) = end(&["run", "--host-detail", "most"], &[]);
    assert!(code == 2 && error.contains("--host-detail") && error.contains("full"), "{error}");
}

/// Seconds of processor time of a process, of its ended threads too.
fn cpu(pid: u32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let after = text.rsplit_once(')').unwrap().1;
    let words: Vec<f64> =
        after.split_ascii_whitespace().skip(11).take(2).map(|n| n.parse().unwrap()).collect();
    words.iter().sum::<f64>() / rustix::param::clock_ticks_per_second() as f64
}

/// Resident bytes of a process.
fn resident(pid: u32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_ascii_whitespace().next().unwrap().parse::<f64>().unwrap() * 1024.0
}

/// The monitor beside node_exporter and Prometheus, all of this host once a second, side by side.
#[test]
fn what_the_same_facts_cost_beside_prometheus() {
    if std::env::var_os("TIDEMILL_TEST_FULL").is_none() {
        return;
    }
    let test = "what_the_same_facts_cost_beside_prometheus";
    let seconds =
        std::env::var("TIDEMILL_TEST_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(120);
    let mut ratios = Vec::new();
    for turn in 1..=3 {
        let dir = tempfile::tempdir().unwrap();
        let Some((node, node_port)) = node_exporter(test) else { return };
        let target = format!("127.0.0.1:{node_port}");
        let Some((server, port)) = prometheus(test, dir.path(), &[target]) else { return };
        let args = ["--interval", "1", "--host-detail", "full"];
        let monitor = Monitor::start(&dir.path().join("data"), &args, &[]);
        let scraped = query(port, "scrape_samples_scraped");
        let current = monitor.until("/api/metrics/current", |current| {
            target_of(current, "host").is_some_and(|host| host["up"] == true)
        });
        let host = target_of(&current, "host").unwrap();
        let ours = host["series"].as_array().unwrap().len();
        std::thread::sleep(Duration::from_secs(5));
        let all = || [cpu(monitor.pid()), cpu(node.pid()), cpu(server.pid())];
        let before = all();
        std::thread::sleep(Duration::from_secs(seconds));
        let after = all();
        let [monitor_s, node_s, server_s] = [0, 1, 2].map(|at| after[at] - before[at]);
        let ratio = monitor_s / (node_s + server_s);
        let mib = [monitor.pid(), node.pid(), server.pid()].map(|pid| resident(pid) / f64::from(1 << 20));
        println!(
            "turn {turn}, {seconds} s: ours {monitor_s:.3} s, {ours} series, {:.0} MiB; node_exporter {node_s:.3} s, {:.0} MiB \
             and Prometheus {server_s:.3} s, {:.0} MiB, {scraped} series; ratio {ratio:.3}",
            mib[0], mib[1], mib[2]
        );
        ratios.push(ratio);
    }
    ratios.sort_by(f64::total_cmp);
    println!("median {:.3}, goal 0.5", ratios[1]);
    // A build without optimisation is not what is measured.
    assert!(cfg!(debug_assertions) || ratios[1] <= 0.5, "{ratios:?}");
}
