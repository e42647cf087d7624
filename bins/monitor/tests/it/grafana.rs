//! The Grafana dashboards: sound by themselves, of metrics that exist, and every query answered by a real Prometheus.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::real::{prometheus, query};
use crate::running::{Monitor, Server};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn dashboard(name: &str) -> Value {
    let path = root().join("docs/grafana").join(format!("{name}.json"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Every query as Prometheus gets it, with Grafana's variables put in.
fn queries(board: &Value) -> Vec<String> {
    let put = |expr: &str| {
        let expr = expr.replace("$__rate_interval", "1m").replace("$instance", ".*");
        assert!(!expr.contains('$'), "{expr} has a variable that nobody puts in");
        expr
    };
    let panels = board["panels"].as_array().unwrap();
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    targets.map(|target| put(target["expr"].as_str().unwrap())).collect()
}

/// What looks like a metric of ours.
fn metrics(expr: &str) -> Vec<&str> {
    expr.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.starts_with("tidemill_") || word.starts_with("system_"))
        .collect()
}

/// The collector's exposition, as its own sources name it, growing with each scrape.
fn collector(scrape: u64) -> String {
    let n = scrape * 10;
    format!(
        "# TYPE tidemill_requests_total counter\ntidemill_requests_total{{provider=\"a\",key=\"0\"}} {n}\n\
         # TYPE tidemill_requests_refused_total counter\ntidemill_requests_refused_total{{provider=\"a\"}} 0\n\
         # TYPE tidemill_requests_unanswered_total counter\ntidemill_requests_unanswered_total{{provider=\"a\"}} 0\n\
         # TYPE tidemill_request_duration_seconds histogram\n\
         tidemill_request_duration_seconds_bucket{{provider=\"a\",le=\"0.1\"}} {half}\n\
         tidemill_request_duration_seconds_bucket{{provider=\"a\",le=\"1\"}} {n}\n\
         tidemill_request_duration_seconds_bucket{{provider=\"a\",le=\"+Inf\"}} {n}\n\
         tidemill_request_duration_seconds_sum{{provider=\"a\"}} {half}\n\
         tidemill_request_duration_seconds_count{{provider=\"a\"}} {n}\n\
         tidemill_requests_in_flight{{provider=\"a\"}} 3\ntidemill_permit_waiters{{provider=\"a\"}} 0\n\
         tidemill_limit_requests{{provider=\"a\",limit=\"0\"}} 1200\n\
         tidemill_symbols_answered_total {n}\ntidemill_symbols_failed_total 0\n\
         tidemill_rows_received_total {n}\ntidemill_rows_stored_total {n}\n\
         tidemill_rows_duplicate_total 0\ntidemill_rows_quarantined_total 0\n",
        half = n / 2,
    )
}

#[test]
fn the_dashboards_are_sound() {
    for name in ["collector", "host"] {
        let board = dashboard(name);
        assert!(board["uid"].is_string() && board["templating"]["list"].as_array().unwrap().len() == 2);
        let panels = board["panels"].as_array().unwrap();
        let mut ids = HashSet::new();
        for (at, panel) in panels.iter().enumerate() {
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{name}: an id twice: {panel}");
            let corners = |panel: &Value| {
                let of = |side: &str| panel["gridPos"][side].as_u64().unwrap();
                (of("x"), of("y"), of("x") + of("w"), of("y") + of("h"))
            };
            let (left, top, right, bottom) = corners(panel);
            assert!(right <= 24, "{name}: too wide: {panel}");
            for other in &panels[..at] {
                let (l, t, r, b) = corners(other);
                let apart = r <= left || l >= right || b <= top || t >= bottom;
                assert!(apart, "{name}: {} lies over {}", panel["title"], other["title"]);
            }
        }
        assert!(queries(&board).len() >= 12);
    }
}

/// The text of every file below a folder.
pub(crate) fn sources(folder: &Path, text: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, text);
        } else {
            text.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
}

/// A metric that was renamed in the collector is missed here.
#[test]
fn the_collector_has_what_its_dashboard_shows() {
    let mut text = String::new();
    sources(&root().join("bins/collector/src"), &mut text);
    for expr in queries(&dashboard("collector")) {
        for metric in metrics(&expr) {
            let name = metric.strip_prefix("tidemill_").unwrap();
            let name = ["_bucket", "_sum", "_count"]
                .iter()
                .fold(name, |name, end| name.strip_suffix(end).unwrap_or(name));
            assert!(text.contains(&format!("\"{name}\"")), "the collector has no {name}, as in {expr}");
        }
    }
}

#[test]
fn a_real_prometheus_answers_every_query() {
    let test = "a_real_prometheus_answers_every_query";
    let dir = tempfile::tempdir().unwrap();
    let server = Server::text(|scrape| collector(scrape as u64));
    let monitor = Monitor::start(&dir.path().join("data"), &["--interval", "1"], &[]);
    monitor.target("host");
    let bare = |url: &str| url.trim_start_matches("http://").trim_end_matches('/').to_owned();
    let Some((_prometheus, port)) = prometheus(test, dir.path(), &[bare(&monitor.url), bare(&server.url)])
    else {
        return;
    };
    for name in ["collector", "host"] {
        for expr in queries(&dashboard(name)) {
            // Waits until it has a result; a query that never has one fails, and says so.
            query(port, &expr);
        }
    }
}
