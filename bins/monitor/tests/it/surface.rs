//! The whole surface that is promised, each item once: paths, names of metrics, thresholds of the status.
//!
//! | promised | proved by |
//! |---|---|
//! | M1 system metrics, every 1 to 60 s, the last 1000 | here; `config::a_mistake_is_told_with_its_place_and_what_to_write`; `history::*` |
//! | M2 application metrics by method, endpoint and error type | `watching::*`, the judge's names here |
//! | M3, M7 paths | here |
//! | M4 status | here, every threshold from both sides |
//! | M5 degradation, counts, trends, recommendations | `health::tests::a_fifth_worse_*` |
//! | M6 alerts: five event names, four levels | `alert_run::*`, `alert_delivery::*` |
//! | M8 flags, variables, a port in use | `config::*`, here |
//! | all of this host under node_exporter's names, `--host-detail` | `detail::*`, `config::*` |
//! | M9 custom metrics and rules | `watching::*`, `tune::*` |

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use tidemill_monitor::config::Config;
use tidemill_monitor::current::Current;
use tidemill_monitor::health::Judge;
use tidemill_monitor::series::{Kind, Reading, Round, Series};

use crate::running::{Monitor, ask, end};

#[test]
fn every_path_is_there_and_a_port_in_use_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let monitor = Monitor::start(dir.path(), &["--interval", "1"], &[]);
    monitor.until("/api/metrics/history?metric=system_cpu_percent&hours=1", |answer| {
        answer["series"].as_array().is_some_and(|series| !series.is_empty())
    });
    let document = monitor.json("/api/openapi.json");
    let mut seen = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        let query = match path.as_str() {
            "/api/metrics/history" => "?hours=1&metric=system_cpu_percent",
            "/api/views" => "?first=system",
            "/assets/{name}" => "",
            _ => "",
        };
        let wanted = if path == "/ws" { 426 } else { 200 };
        let path = path.replace("{name}", "js/app.js");
        if methods.get("get").is_some() {
            assert_eq!(monitor.get(&format!("{path}{query}")).0, wanted, "{path}");
            seen += 1;
        }
        for method in ["post", "put", "delete"].iter().filter(|method| methods.get(**method).is_some()) {
            let path = path.replace("{id}", "none").replace("{target}", "none");
            let (status, _, body) = ask(&method.to_uppercase(), &format!("{}{path}", monitor.url), &[]);
            assert!(status != 405 && status != 500, "{method} {path}: {status} {body}");
        }
    }
    assert!(seen >= 14, "{seen}");
    for path in
        ["/", "/ws", "/api/metrics/current", "/api/metrics/history", "/api/health", "/metrics", "/api/alerts"]
    {
        assert!(document["paths"].get(path).is_some(), "{path} is promised and not described");
    }
    assert_eq!(monitor.get("/api/metrics/nothing").0, 404);

    // The first view's past comes with the views, as the page's head asks for it.
    let views = monitor.json("/api/views?first=system");
    let first = &views["first"]["answers"];
    let cpu = first.as_array().unwrap().iter().find(|one| one["metric"] == "system_cpu_percent").unwrap();
    assert!(!cpu["series"][0]["mean"].as_array().unwrap().is_empty(), "{cpu}");
    assert!(
        monitor.json("/api/views")["first"].is_null()
            && monitor.json("/api/views?first=none")["first"].is_null()
    );

    let port = monitor.url.rsplit(':').next().unwrap();
    let other = tempfile::tempdir().unwrap();
    let (code, _, said) = end(&["run", "--port", port, "--data", other.path().to_str().unwrap()], &[]);
    assert!(code == 2 && said.contains(port) && said.contains("in use"), "{code} {said}");
}

#[test]
fn every_system_metric_is_measured() {
    let dir = tempfile::tempdir().unwrap();
    let monitor = Monitor::start(dir.path(), &["--interval", "1"], &[]);
    let told = monitor.until("/api/metrics/current", |value| {
        value["targets"][0]["series"].as_array().is_some_and(|all| !all.is_empty())
    });
    let has = |name: &str| {
        let series = told["targets"][0]["series"].as_array().unwrap();
        series.iter().any(|one| one["name"].as_str().is_some_and(|is| is == name))
    };
    let names = [
        "system_cpu_percent",
        "system_load1",
        "system_context_switches_per_second",
        "system_memory_percent",
        "system_memory_used_bytes",
        "system_memory_available_bytes",
        "system_disk_wait_percent",
        "system_mount_percent",
        "system_network_received_bytes_per_second",
        "system_network_sent_bytes_per_second",
        "system_network_connections",
    ];
    let missing: Vec<_> = names.into_iter().filter(|name| !has(name)).collect();
    let all: Vec<&Value> =
        told["targets"][0]["series"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert!(missing.is_empty(), "{missing:?} not in {all:?}");
}

/// A target that answers in so many milliseconds, with these shares of hits and errors, in percent.
fn service(at: i64, ms: f64, hits: f64, errors: f64) -> Round {
    let target: Arc<str> = Arc::from("service");
    // A hundred requests a second.
    let total = |name: &str, each: f64| Reading {
        series: Arc::new(Series::new(&target, name, &[], Kind::Counter)),
        value: each * at as f64,
    };
    let readings = vec![
        total("service_request_duration_seconds_sum", 100.0 * ms / 1000.0),
        total("service_request_duration_seconds_count", 100.0),
        total("service_requests_total", 100.0),
        total("service_errors_total", errors),
        total("service_cache_hits_total", hits),
        total("service_cache_misses_total", 100.0 - hits),
    ];
    Round { target: Arc::clone(&target), at_ms: at * 1000, took: Duration::ZERO, error: None, readings }
}

#[test]
fn every_threshold_of_the_status_counts_from_both_sides() {
    // Milliseconds, hits, errors; memory and processor have their own test beside the judge.
    for (ms, hits, errors, wanted) in [
        (199.0, 91.0, 0.0, "excellent"),
        (201.0, 91.0, 0.0, "good"),
        (199.0, 89.0, 0.0, "good"),
        (499.0, 71.0, 0.0, "good"),
        (501.0, 91.0, 0.0, "fair"),
        (199.0, 69.0, 0.0, "fair"),
        (999.0, 91.0, 0.0, "fair"),
        (1001.0, 91.0, 0.0, "poor"),
        (4999.0, 91.0, 0.0, "poor"),
        (5001.0, 91.0, 0.0, "critical"),
        (199.0, 91.0, 21.0, "critical"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let judge = Judge::open(dir.path(), Config::default().limits()).unwrap();
        let current = Current::default();
        for at in 1..=2 {
            let round = Arc::new(service(at, ms, hits, errors));
            current.take(&round);
            judge.take(&round, &current, SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000));
        }
        let (status, verdicts) = judge.verdicts();
        let status = serde_json::to_value(status).unwrap();
        assert_eq!(status, wanted, "{ms} ms, {hits} % hits, {errors} % errors: {verdicts:#?}");
    }
}
