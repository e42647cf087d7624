//! Targets that lie, stall, flood and vanish: none hurts another, or the monitor.

use std::io::Write as _;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::running::{Monitor, Server, configured, means, reply, target_of};

/// A good target among bad ones: it is asked every second, whatever they do.
#[test]
fn bad_targets_hurt_nobody() {
    let good = Server::text(|n| format!("good {n}\n"));
    // Nothing, ever.
    let silent = Server::start(|_, _| std::thread::sleep(Duration::from_secs(120)));
    // A byte now and then.
    let slow = Server::start(|_, stream| {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n";
        stream.write_all(head.as_bytes()).ok();
        while stream.write_all(b"a").is_ok() {
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    // 100 MB.
    let large = Server::start(|_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\n").ok();
        let piece = "large_series_name 1\n".repeat(5000);
        while stream.write_all(piece.as_bytes()).is_ok() {}
    });
    // A million series in few bytes.
    let many = Server::text(|_| {
        let mut text = String::with_capacity(12 << 20);
        (0..1_000_000).for_each(|n| text.push_str(&format!("m{n} 1\n")));
        text
    });
    // A gzip that becomes a gigabyte.
    let bomb = Server::start(|_, stream| {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        let zeros = vec![b'a'; 1 << 20];
        (0..256).for_each(|_| packed.write_all(&zeros).unwrap());
        let packed = packed.finish().unwrap();
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n", packed.len());
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&packed)).ok();
    });
    // Other labels at every turn, times of tomorrow, numbers that are none, one series twice.
    let liar = Server::text(|n| {
        let churn: String = (0..500).map(|k| format!("churn{{id=\"{n}-{k}\"}} 1\n")).collect();
        format!("lie 5 99999999999999\nlie 7\nnan NaN\ninf +Inf\n{churn}")
    });
    let page = Server::text(|_| "<html>not found</html>".into());
    let gone = Server::start(|_, stream| reply(stream, "404 Not Found", "no"));
    let moved = Server::start(|_, stream| reply(stream, "302 Found", ""));
    let cut = Server::start(|_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf 1\n").ok();
    });
    let expected: [(&str, &Server, &str); 10] = [
        ("silent", &silent, "no answer within"),
        ("slow", &slow, "no answer within"),
        ("large", &large, "longer than 16777216 bytes"),
        ("many", &many, "one series more than 10000"),
        ("bomb", &bomb, "longer than 16777216 bytes once inflated"),
        ("page", &page, "line 1 of the answer"),
        ("gone", &gone, "the target answered 404"),
        ("moved", &moved, "the target answered 302"),
        ("cut", &cut, "the answer broke off"),
        ("liar", &liar, ""),
    ];
    let dir = tempfile::tempdir().unwrap();
    let mut config = format!("[[target]]\nname = \"good\"\nurl = \"{}\"\n", good.url);
    for (name, server, _) in &expected {
        config += &format!("[[target]]\nname = \"{name}\"\nurl = \"{}/metrics\"\n", server.url);
        let patient = matches!(*name, "large" | "many" | "bomb");
        if patient {
            config += "interval = \"10s\"\n";
        }
    }
    config += "[[target]]\nname = \"nobody\"\nurl = \"http://127.0.0.1:1/metrics\"\n";
    config += "[history]\nmax_series = 1000\n";
    let file = configured(dir.path(), &config);
    let monitor = Monitor::start(dir.path(), &["--interval", "1", "--config", &file], &[]);
    for (name, _, error) in expected {
        let target = monitor.target(name);
        match error {
            "" => assert_eq!(target["up"], true, "{target}"),
            error => assert!(target["error"].as_str().unwrap_or_default().contains(error), "{target}"),
        }
    }
    assert!(monitor.target("nobody")["error"].as_str().unwrap().contains("cannot connect to 127.0.0.1:1"));
    // The good one went on all the while.
    let before = means(&monitor.json("/api/metrics/history?metric=good&points=3600")).len();
    let begun = Instant::now();
    let path = "/api/metrics/history?metric=good&points=3600";
    monitor.until(path, |answer| means(answer).len() >= before + 3);
    assert!(begun.elapsed() < Duration::from_secs(30), "three rounds of a second each");
    // What the liar says of time and of the same series is not believed.
    let lie = monitor.json("/api/metrics/history?metric=lie");
    assert!(means(&lie).iter().all(|value| *value == 5.0), "{lie}");
    assert_eq!(monitor.json("/api/metrics/history?metric=nan")["series"], Value::Array(Vec::new()));
    // Series that come and go are bounded, and counted.
    let stats =
        monitor.until("/api/health", |health| health["monitor"]["history"]["refused"].as_u64() > Some(0));
    assert!(stats["monitor"]["history"]["series"].as_u64() <= Some(1000), "{stats}");
    // Each that does not answer is a finding with its reason.
    let down =
        stats["verdicts"].as_array().unwrap().iter().find(|v| v["subject"] == "gone.up").unwrap().clone();
    assert!(down["recommendation"].as_str().unwrap().contains("did not answer"), "{down}");
    let resident = resident_mib(monitor.pid());
    println!("resident with ten bad targets: {resident} MiB");
    assert!(resident < 400, "{resident} MiB");
    assert_eq!(monitor.stop().0, 0);
}

fn resident_mib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|rest| rest.trim().trim_end_matches(" kB").trim().parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}

#[test]
fn a_target_that_comes_back_is_told_and_its_connection_is_used_again() {
    let up = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let switch = std::sync::Arc::clone(&up);
    let target = Server::start(move |_, stream| {
        let up = switch.load(std::sync::atomic::Ordering::Relaxed);
        reply(stream, if up { "200 OK" } else { "500 Broken" }, "a 1\n");
    });
    let dir = tempfile::tempdir().unwrap();
    let file = configured(
        dir.path(),
        &format!("[monitor]\nhost = false\n[[target]]\nname = \"t\"\nurl = \"{}\"\n", target.url),
    );
    let monitor = Monitor::start(dir.path(), &["--interval", "1", "--config", &file], &[]);
    let is = |up: bool| move |health: &Value| target_of(health, "t").is_some_and(|target| target["up"] == up);
    monitor.until("/api/health", is(true));
    up.store(false, std::sync::atomic::Ordering::Relaxed);
    monitor.until("/api/health", is(false));
    up.store(true, std::sync::atomic::Ordering::Relaxed);
    monitor.until("/api/health", is(true));
    let series = monitor.json("/api/metrics/history?metric=up&target=t");
    assert!(means(&series).contains(&0.0) && means(&series).contains(&1.0), "{series}");
    let (_, log) = monitor.stop();
    assert!(log.contains("t does not answer") && log.contains("t answers again"), "{log}");
}
