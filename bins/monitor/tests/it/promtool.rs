//! The alert rules for Prometheus: `promtool` has no complaint, each fires when it should, and every metric they name exists.
//!
//! Needs Debian's `prometheus` and `prometheus-node-exporter`; says aloud what is skipped without.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::running::{Monitor, Server, configured};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/prometheus")
}

#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn skipped(what: &str, error: &std::io::Error) {
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{what}: {error}");
    eprintln!("SKIPPED promtool::*: cannot start `{what}` ({error}); install Debian's package");
}

/// Whether `promtool` is content; None when there is none.
fn promtool(args: &[&str], folder: &Path) -> Option<(bool, String)> {
    match Command::new("promtool").args(args).current_dir(folder).output() {
        Ok(ended) => {
            let said = [ended.stdout, ended.stderr].concat();
            Some((ended.status.success(), String::from_utf8_lossy(&said).into_owned()))
        }
        Err(error) => {
            skipped("promtool", &error);
            None
        }
    }
}

#[test]
fn the_rules_are_sound_and_fire_when_they_should() {
    let Some((good, said)) = promtool(&["check", "rules", "tidemill.rules.yml"], &folder()) else { return };
    assert!(good, "{said}");
    let (good, said) = promtool(&["test", "rules", "tidemill.rules.test.yml"], &folder()).unwrap();
    assert!(good, "{said}");
    // The control: a limit that is moved is noticed, whichever it is.
    let rules = std::fs::read_to_string(folder().join("tidemill.rules.yml")).unwrap();
    for (limit, moved) in
        [("> 0.05", "> 0.5"), ("> 0.8", "> 0.95"), ("< 0.1\n", "< 0.01\n"), ("[30m])) > 20", "[30m])) > 200")]
    {
        let changed = tempfile::tempdir().unwrap();
        assert!(rules.contains(limit), "{limit}");
        std::fs::write(changed.path().join("tidemill.rules.yml"), rules.replace(limit, moved)).unwrap();
        std::fs::copy(
            folder().join("tidemill.rules.test.yml"),
            changed.path().join("tidemill.rules.test.yml"),
        )
        .unwrap();
        let (good, _) = promtool(&["test", "rules", "tidemill.rules.test.yml"], changed.path()).unwrap();
        assert!(!good, "{moved} instead of {limit} was not noticed");
    }
}

/// The names of metrics in the rules that begin so.
fn named(prefix: &str) -> BTreeSet<String> {
    let rules = std::fs::read_to_string(folder().join("tidemill.rules.yml")).unwrap();
    let words = rules.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| word.starts_with(prefix)).map(str::to_owned).collect()
}

#[test]
fn every_metric_of_the_collector_exists() {
    let mut sources = String::new();
    crate::grafana::sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../collector/src"), &mut sources);
    let names = named("tidemill_");
    assert!(names.len() >= 10, "{names:?}");
    for name in names {
        let bare = name.strip_prefix("tidemill_").unwrap();
        let bare = bare.strip_suffix("_bucket").unwrap_or(bare);
        assert!(sources.contains(&format!("\"{bare}\"")), "the collector exposes no {name}");
    }
}

#[test]
fn what_the_monitor_tells_of_itself_is_sound() {
    use std::io::Write as _;
    let plant = Server::text(|_| "plant_heat 1\n".to_owned());
    let dir = tempfile::tempdir().unwrap();
    let config = format!(
        "config_version = 1\n[monitor]\ninterval = \"1s\"\n[[target]]\nname = \"plant\"\nurl = \"{url}/metrics\"\n\
         [[tuning.target]]\nname = \"plant\"\nurl = \"{url}\"\ninterval = \"1s\"\n\
         [[alert.rule]]\nname = \"hot\"\nmetric = \"plant_heat\"\nabove = 0.5\nseverity = \"warning\"\n",
        url = plant.url
    );
    let monitor = Monitor::start(dir.path(), &["--config", &configured(dir.path(), &config)], &[]);
    let begin = Instant::now();
    let text = loop {
        let text = monitor.get("/metrics").1;
        let fired = text.lines().find_map(|line| line.strip_prefix("tidemill_monitor_alerts_fired_total "));
        if fired.is_some_and(|fired| fired != "0") {
            break text;
        }
        assert!(begin.elapsed() < Duration::from_secs(60), "{text}");
        std::thread::sleep(Duration::from_millis(50));
    };
    for name in [
        "alerts_active ",
        "alerts_resolved_total ",
        "alerts_dropped_total ",
        "notifications_delivered_total ",
        "notifications_waiting ",
        "errors_total{kind=\"tuning\"} ",
        "live_clients 0",
        "live_clients_total 0",
        "live_refused_total 0",
        "live_frames_total 0",
        "live_left_out_total 0",
        "tuning_steers{target=\"plant\"} ",
        "tuning_decisions_total{target=\"plant\",what=\"undone\"} 0",
    ] {
        assert!(text.contains(&format!("\ntidemill_monitor_{name}")), "no {name} in {text}");
    }
    let started = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut checking = match started {
        Ok(checking) => checking,
        Err(error) => return skipped("promtool", &error),
    };
    // What it measures of this host has names of its own, which others test.
    let own: String = text
        .lines()
        .filter(|line| line.contains("tidemill_monitor_"))
        .flat_map(|line| [line, "\n"])
        .collect();
    checking.stdin.take().unwrap().write_all(own.as_bytes()).unwrap();
    let ended = checking.wait_with_output().unwrap();
    assert!(ended.status.success() && ended.stderr.is_empty(), "{}", String::from_utf8_lossy(&ended.stderr));
}

#[test]
fn every_metric_of_the_node_exporter_exists() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let started = Command::new("prometheus-node-exporter")
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let mut exporter = match started {
        Ok(exporter) => exporter,
        Err(error) => return skipped("prometheus-node-exporter", &error),
    };
    let begin = Instant::now();
    let text = loop {
        if let Some(text) = metrics(port) {
            break text;
        }
        assert!(begin.elapsed() < Duration::from_secs(60), "it does not answer");
        std::thread::sleep(Duration::from_millis(50));
    };
    exporter.kill().unwrap();
    exporter.wait().unwrap();
    for name in named("node_") {
        assert!(text.lines().any(|line| line.starts_with(&name)), "node_exporter exposes no {name}");
    }
}

fn metrics(port: u16) -> Option<String> {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    text.starts_with("HTTP/1.0 200").then_some(text)
}
