//! The whole program: a value crosses, people hear of it; a restart; flags; logs; knobs.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::alert_delivery::Hook;
use crate::running::{Monitor, PATIENCE, Server, ask, configured};
use crate::tune::Plant;

/// A target whose `m` is what it is told to be.
fn target() -> (Server, Arc<AtomicU64>) {
    let value = Arc::new(AtomicU64::new(10));
    let told = Arc::clone(&value);
    let server = Server::text(move |_| format!("# TYPE m gauge\nm {}\n", told.load(Ordering::Relaxed)));
    (server, value)
}

fn configuration(target: &Server, more: &str) -> String {
    format!(
        "[monitor]\ninterval = \"1s\"\nhost = false\n{more}\n[[target]]\nname = \"svc\"\nurl = \"{}/metrics\"\n\
         [[alert.rule]]\nname = \"hot\"\nmetric = \"m\"\nabove = 80.0\ncooldown = \"0s\"\nseverity = \"error\"\n",
        target.url
    )
}

/// Waits for so many notifications about `hot`.
fn wait(hook: &Hook, count: usize) -> Vec<Value> {
    let begin = Instant::now();
    loop {
        let all = hook.all().into_iter().map(|got| got.json());
        let hot: Vec<Value> = all.filter(|one| one["groupLabels"]["alertname"] == "hot").collect();
        if hot.len() >= count {
            return hot;
        }
        assert!(begin.elapsed() < PATIENCE, "{hot:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_crosses_and_people_hear_of_it_once_through_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let (server, value) = target();
    let (hook, url) = Hook::start(&[]).await;
    let text = configuration(&server, "");
    let text = format!(
        "{text}[[alert.receiver]]\nname = \"ops\"\nkind = \"webhook\"\nurl = \"{url}\"\nmin_severity = \"error\"\n"
    );
    let config = configured(folder.path(), &text);
    let ended = tokio::task::spawn_blocking(move || {
        let data = folder.path().join("data");
        let monitor = Monitor::start(&data, &["--config", &config], &[]);
        monitor.target("svc");
        value.store(95, Ordering::Relaxed);
        let begin = Instant::now();
        let hot = wait(&hook, 1);
        println!("from the value to the webhook, asked each second: {:?}", begin.elapsed());
        assert_eq!(hot[0]["alerts"][0]["annotations"]["value"], "95");
        let view = monitor.json("/api/alerts");
        let id = view["active"][0]["id"].as_str().unwrap().to_owned();
        let (status, _, _) = ask("POST", &format!("{}/api/alerts/{id}/acknowledge", monitor.url), &[]);
        assert_eq!(status, 204);
        monitor.kill();

        let monitor = Monitor::start(&data, &["--config", &config], &[]);
        monitor.target("svc");
        let view = monitor.until("/api/alerts", |view| view["active"][0]["id"] == id.as_str());
        assert_eq!(view["active"][0]["acknowledged"]["by"], "api", "who has seen it is known");
        value.store(10, Ordering::Relaxed);
        let hot = wait(&hook, 2);
        assert_eq!((hot.len(), hot[1]["status"].as_str()), (2, Some("resolved")), "no second firing");
        assert_eq!(hot[0]["alerts"][0]["fingerprint"], hot[1]["alerts"][0]["fingerprint"]);
        let events = monitor.json("/api/events?hours=1").to_string();
        assert!(events.contains("over: hot on svc"), "{events}");
        let (code, log) = monitor.stop();
        assert_eq!(code, 0, "{log}");
        assert!(!format!("{log}{events}").contains("SECRET-PATH"));
    });
    ended.await.unwrap();
}

#[test]
fn a_threshold_of_a_flag_is_the_alert_s_too() {
    let folder = tempfile::tempdir().unwrap();
    let monitor = Monitor::start(folder.path(), &["--interval", "1", "--memory-threshold", "0.5"], &[]);
    let of = |view: &Value| {
        let active = view["active"].as_array().unwrap().clone();
        active.into_iter().find(|alert| alert["rule"] == "memory-high")
    };
    let view = monitor.until("/api/alerts", |view| of(view).is_some());
    let alert = of(&view).unwrap();
    assert_eq!((alert["severity"].as_str(), alert["threshold"].as_f64()), (Some("critical"), Some(0.5)));
    assert!(!alert["recommendation"].as_str().unwrap().is_empty());
    // The log is a receiver like the others: told a moment after the state is stored.
    let told = |log: &str| {
        ["post_deployment_monitoring_started", "threshold_violation"].iter().all(|event| log.contains(event))
    };
    let begun = Instant::now();
    loop {
        let log = std::fs::read_to_string(folder.path().join("alerts/alerts.jsonl")).unwrap_or_default();
        if told(&log) {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{log}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn changes_ask_for_the_token() {
    let folder = tempfile::tempdir().unwrap();
    let (server, _) = target();
    let config = configured(folder.path(), &configuration(&server, "token_env = \"MONITOR_TOKEN\"\n"));
    let monitor =
        Monitor::start(&folder.path().join("data"), &["--config", &config], &[("MONITOR_TOKEN", "SECRET")]);
    let url = |path: &str| format!("{}{path}", monitor.url);
    for (method, path) in [
        ("POST", "/api/alerts/x/acknowledge"),
        ("POST", "/api/silences"),
        ("DELETE", "/api/silences/x"),
        ("PUT", "/api/tuning/x/knobs"),
    ] {
        assert_eq!(ask(method, &url(path), &[]).0, 401, "{path}");
        let (status, _, body) = ask(method, &url(path), &[("Authorization", "Bearer SECRET")]);
        assert!((400..500).contains(&status) && status != 401, "{path} {status} {body}");
    }
    for path in ["/api/alerts", "/api/logs", "/api/logs/summary", "/api/tuning"] {
        assert_eq!(monitor.get(path).0, 200, "{path}");
    }
    let (_, log) = monitor.stop();
    assert!(!log.contains("SECRET"));
}

#[test]
fn lines_of_a_log_are_found_and_a_pattern_alerts() {
    let folder = tempfile::tempdir().unwrap();
    let (server, _) = target();
    let log = folder.path().join("app.log");
    std::fs::write(&log, "2026-11-20T10:00:00Z INFO begins\n").unwrap();
    let text = configuration(&server, "");
    let text = format!(
        "{text}[[logs.source]]\nname = \"app\"\npath = \"{}\"\nfrom = \"start\"\n\
         [[logs.pattern]]\nname = \"oom\"\ncontains = \"out of memory\"\n",
        log.display()
    );
    let config = configured(folder.path(), &text);
    let monitor = Monitor::start(&folder.path().join("data"), &["--config", &config], &[]);
    monitor.until("/api/logs", |found| found["lines"][0]["level"] == "info");
    append(&log, &format!("{} ERROR worker 7: Out of memory\n", jiff::Timestamp::now()));
    let found = monitor.until("/api/logs?text=out%20of&level=error", |found| !found["lines"][0].is_null());
    assert_eq!(found["lines"][0]["source"], "app");
    let view = monitor.until("/api/alerts", |view| view["active"][0]["rule"] == "log-pattern");
    assert_eq!(view["active"][0]["labels"]["pattern"], "oom");
    monitor.until("/api/logs/summary", |summary| {
        summary["top_errors"][0]["template"] == "ERROR worker <*> Out of memory"
    });
}

fn append(path: &Path, text: &str) {
    use std::io::Write as _;
    std::fs::OpenOptions::new().append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn knobs_are_moved_unless_tuning_is_off() {
    let folder = tempfile::tempdir().unwrap();
    let (server, _) = target();
    let (plant, url) = Plant::start(
        &[("workers", 5.0, 2.0, 16.0)],
        |_, _| json!({ "queue.waiting": 80.0, "cpu.percent": 40.0, "memory.percent": 60.0 }),
    )
    .await;
    let text = configuration(&server, "");
    let text = format!("{text}[[tuning.target]]\nname = \"svc\"\nurl = \"{url}\"\ninterval = \"50ms\"\n");
    let config = configured(folder.path(), &text);
    let ended = tokio::task::spawn_blocking(move || {
        let data = folder.path().join("data");
        let monitor = Monitor::start(&data, &["--config", &config, "--no-auto-tuning"], &[]);
        let view = monitor.until("/api/tuning", |view| view["targets"][0]["knobs"][0]["value"] == 5.0);
        assert_eq!(view["enabled"], false);
        let reads = plant.reads();
        while plant.reads() < reads + 5 {
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(plant.value("workers"), 5.0);
        monitor.stop();

        let monitor = Monitor::start(&data, &["--config", &config], &[]);
        let view = monitor.until("/api/tuning", |view| !view["targets"][0]["journal"][0].is_null());
        assert_eq!(plant.value("workers"), 7.0);
        let words = view["targets"][0]["journal"][0]["words"].as_str().unwrap().to_owned();
        assert!(words.contains("workers 5 -> 7") && words.contains("queue.waiting"), "{words}");
        monitor.until("/api/alerts", |view| view["history"].to_string().contains("auto_tuning_started"));
        monitor.stop();
    });
    ended.await.unwrap();
}
