//! A real node_exporter and a real Prometheus: we read what they tell, they read what we tell, and we agree.
//!
//! Needs Debian's `prometheus` and `prometheus-node-exporter` in the path; says aloud that it is skipped without.

use std::io::Write as _;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use serde_json::Value;

use crate::running::{Monitor, PATIENCE, ask, configured, means, target_of};

/// Ended by its id when the test ends, however it ends.
pub(crate) struct Ended(Child);

impl Ended {
    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        // It has nothing to lose: its data stands in a temporary folder.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A program that serves on a free port, and that port; none where it is not installed.
#[expect(clippy::print_stderr, reason = "a test that was left out says so")]
fn start(test: &str, program: &str, arguments: &dyn Fn(u16) -> Vec<String>) -> Option<(Ended, u16)> {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let child =
        Command::new(program).args(arguments(port)).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    match child {
        Ok(child) => Some((Ended(child), port)),
        Err(error) => {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{program}: {error}");
            eprintln!("SKIPPED real::{test}: cannot start `{program}` ({error}); install Debian's package");
            None
        }
    }
}

pub(crate) fn node_exporter(test: &str) -> Option<(Ended, u16)> {
    start(test, "prometheus-node-exporter", &|port| vec![format!("--web.listen-address=127.0.0.1:{port}")])
}

pub(crate) fn prometheus(test: &str, dir: &Path, targets: &[String]) -> Option<(Ended, u16)> {
    let listed: Vec<String> = targets.iter().map(|target| format!("{target:?}")).collect();
    let config = format!(
        "global:\n  scrape_interval: 1s\n  scrape_timeout: 1s\nscrape_configs:\n  - job_name: all\n    static_configs:\n      - targets: [{}]\n",
        listed.join(", ")
    );
    let file = dir.join("prometheus.yml");
    std::fs::write(&file, config).unwrap();
    start(test, "prometheus", &|port| {
        vec![
            format!("--config.file={}", file.display()),
            format!("--storage.tsdb.path={}", dir.join("tsdb").display()),
            format!("--web.listen-address=127.0.0.1:{port}"),
        ]
    })
}

/// The first result of a query, once there is one.
pub(crate) fn query(port: u16, expression: &str) -> f64 {
    let encoded: String = expression.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let begun = Instant::now();
    loop {
        if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
            let url = format!("http://127.0.0.1:{port}/api/v1/query?query={encoded}");
            let answer: Value = serde_json::from_str(&ask("GET", &url, &[]).2).unwrap_or_default();
            let value = answer["data"]["result"][0]["value"][1].as_str().and_then(|text| text.parse().ok());
            if let Some(value) = value {
                return value;
            }
        }
        assert!(begun.elapsed() < PATIENCE, "Prometheus has no {expression}");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

#[test]
fn a_node_exporter_is_read_as_prometheus_reads_it() {
    let test = "a_node_exporter_is_read_as_prometheus_reads_it";
    let dir = tempfile::tempdir().unwrap();
    let Some((_node, node)) = node_exporter(test) else { return };
    let Some((_prometheus, prometheus)) = prometheus(test, dir.path(), &[format!("127.0.0.1:{node}")]) else {
        return;
    };
    let config = format!(
        "[monitor]\nhost = false\n[[target]]\nname = \"node\"\nurl = \"http://127.0.0.1:{node}/metrics\"\n"
    );
    let file = configured(dir.path(), &config);
    let monitor = Monitor::start(&dir.path().join("data"), &["--interval", "1", "--config", &file], &[]);
    let up = monitor.until("/api/metrics/current", |current| {
        target_of(current, "node").is_some_and(|node| node["up"] == true)
    });
    let series = target_of(&up, "node").unwrap()["series"].as_array().unwrap().clone();
    let total = query(prometheus, "node_memory_MemTotal_bytes");
    let of = |name: &str| series.iter().find(|s| s["name"] == name).and_then(|s| s["value"].as_f64());
    assert_eq!(of("node_memory_MemTotal_bytes"), Some(total));
    assert_eq!(of("node_boot_time_seconds"), Some(query(prometheus, "node_boot_time_seconds")));
    // As many series as Prometheus took, but for those that are no finite number.
    let scraped = query(prometheus, "scrape_samples_scraped");
    assert!((series.len() as f64) > scraped * 0.97 && (series.len() as f64) <= scraped * 1.1, "{scraped}");
    // The processor's time of all modes grows by a second a second and core.
    let path = "/api/metrics/history?metric=node_cpu_seconds_total&label.cpu=0&hours=1";
    let answer = monitor.until(path, |answer| means(answer).len() >= 5);
    let modes = answer["series"].as_array().unwrap();
    let sum: f64 = modes
        .iter()
        .map(|mode| {
            let means: Vec<f64> = mode["mean"].as_array().unwrap().iter().filter_map(Value::as_f64).collect();
            means.iter().sum::<f64>() / means.len() as f64
        })
        .sum();
    assert!((0.5..1.5).contains(&sum), "{sum}: {answer}");
}

#[test]
fn a_prometheus_reads_what_we_expose_and_promtool_has_no_complaint() {
    let test = "a_prometheus_reads_what_we_expose_and_promtool_has_no_complaint";
    let dir = tempfile::tempdir().unwrap();
    let config = "[[metric]]\nname = \"seventeen\"\ncommand = [\"echo\", \"17\"]\n[[probe]]\nname = \"nobody\"\ntcp = \"127.0.0.1:1\"\n";
    let file = configured(dir.path(), config);
    let monitor = Monitor::start(&dir.path().join("data"), &["--interval", "1", "--config", &file], &[]);
    monitor.until("/api/metrics/history?metric=seventeen", |answer| !means(answer).is_empty());
    monitor.until("/api/metrics/history?metric=probe_success", |answer| !means(answer).is_empty());
    let text = monitor.get("/metrics").1;
    let address = monitor.url.trim_start_matches("http://").to_owned();
    let Some((_prometheus, prometheus)) = prometheus(test, dir.path(), &[address]) else { return };
    assert_eq!(query(prometheus, "seventeen"), 17.0);
    assert_eq!(query(prometheus, "probe_success{probe=\"nobody\"}"), 0.0);
    assert_eq!(query(prometheus, "up"), 1.0);
    assert!(query(prometheus, "sum(tidemill_monitor_rounds_total)") >= 1.0);
    assert!(query(prometheus, "system_memory_total_bytes") > 1e6);
    advice(&text);
}

/// What promtool says of these metrics. It advises on names (a `_percent`, a `_milliseconds`); what it may not do is fail to read.
pub(crate) fn advice(metrics: &str) -> String {
    let mut tool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    tool.stdin.take().unwrap().write_all(metrics.as_bytes()).unwrap();
    let said = tool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(!said.contains("error while linting") && !said.contains("text format parsing"), "{said}");
    said
}
