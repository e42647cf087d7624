//! Real nginx and HAProxy as providers, with a limit whose model is unknown. With `TIDEMILL_TEST_FULL` set, 1000 symbols
//! over 4 keys, so that every window fills more than three times (some four minutes); else 320 on fewer ports.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::program::{Setup, assert_balanced, output, rows, said, summary};

struct Asked {
    summary: Value,
    rows: usize,
    said: String,
    code: Option<i32>,
}

fn variable(name: &str) -> Option<String> {
    let value = std::env::var(format!("TIDEMILL_TEST_PROVIDER_{name}")).ok();
    if value.is_none() {
        println!("skipped: TIDEMILL_TEST_PROVIDER_{name} is not set; `cargo xtask test` starts the server");
    }
    value
}

fn full() -> bool {
    std::env::var_os("TIDEMILL_TEST_FULL").is_some()
}

/// Collects `count` symbols over four keys that no run has used before.
fn ask(
    base_url: &str,
    adapter: &str,
    tag: &str,
    count: usize,
    limit: (u32, &str, &str),
    more: &str,
) -> Asked {
    let dir = tempfile::tempdir().unwrap();
    let stamp = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let keys: Vec<String> = (0..4).map(|n| format!("{tag}-{stamp}-{n}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let list = std::env::var("TIDEMILL_TEST_PROVIDER_SYMBOLS").expect("set beside the ports");
    let symbols: Vec<String> =
        std::fs::read_to_string(list).unwrap().lines().take(count).map(str::to_owned).collect();
    let setup = Setup { base_url, adapter, keys: &keys, limit: Some(limit), symbols: &symbols, more };
    let config = setup.write(dir.path());
    let (data, out) = (dir.path().join("data"), dir.path().join("summary.json"));
    let run = output([
        "run",
        "--once",
        "--config",
        config.to_str().unwrap(),
        "--data",
        data.to_str().unwrap(),
        "--summary",
        out.to_str().unwrap(),
    ]);
    let summary = summary(&out);
    assert_balanced(&summary);
    println!(
        "{tag}: {count} symbols, refused {}, {:.1} s, {:.0} symbols/min",
        summary["refused"],
        summary["elapsed_s"].as_f64().unwrap(),
        summary["symbols_per_minute"].as_f64().unwrap()
    );
    Asked { rows: rows(&data, "us_daily").len(), summary, said: said(&run), code: run.status.code() }
}

fn whole(asked: &Asked, count: usize) {
    assert_eq!(asked.code, Some(0), "{}", asked.said);
    assert_eq!(asked.rows, count * 100, "{}", asked.said);
    assert!(
        asked.summary["refused"].as_u64().unwrap() <= 3,
        "at most 3 refusals while learning: {}",
        asked.said
    );
}

#[test]
fn haproxys_sliding_counter() {
    let Some(url) = variable("HAPROXY_SLIDING") else { return };
    let count = if full() { 1000 } else { 320 };
    whole(&ask(&url, "alpha-vantage", "sliding", count, (75, "60s", "unknown"), ""), count);
}

#[test]
fn haproxys_fast_counter_fills_its_window_more_than_three_times() {
    let Some(url) = variable("HAPROXY_FAST") else { return };
    whole(&ask(&url, "alpha-vantage", "fast", 1000, (75, "10s", "unknown"), ""), 1000);
}

#[test]
fn nginx_refuses_with_a_note_in_a_200() {
    let Some(url) = variable("NGINX_NOTE") else { return };
    let count = if full() { 1000 } else { 310 };
    whole(&ask(&url, "alpha-vantage", "note", count, (75, "60s", "unknown"), ""), count);
}

#[test]
fn nginx_refuses_with_a_code_in_a_200() {
    let Some(url) = variable("NGINX_CREDITS") else { return };
    let count = if full() { 1000 } else { 310 };
    whole(&ask(&url, "twelve-data", "credits", count, (75, "60s", "unknown"), ""), count);
}

#[test]
fn nginx_without_a_burst_is_paced() {
    let Some(url) = variable("NGINX_STRICT") else { return };
    whole(&ask(&url, "alpha-vantage", "strict", 100, (75, "60s", "unknown"), ""), 100);
}

#[test]
fn http_2_with_and_without_tls_survives_a_goaway_every_fifty_requests() {
    let Some(url) = variable("NGINX_H2C") else { return };
    whole(&ask(&url, "alpha-vantage", "h2c", 200, (75, "60s", "bucket"), "[http]\nhttp2_only = true\n"), 200);
    let (Some(url), Some(cert)) = (variable("NGINX_TLS"), variable("NGINX_CERT")) else { return };
    let trusted = format!("[http]\nca_file = {cert:?}\n");
    whole(&ask(&url, "alpha-vantage", "tls", 200, (75, "60s", "bucket"), &trusted), 200);
}

#[test]
fn without_a_limit_the_same_servers_refuse() {
    let Some(url) = variable("HAPROXY_FAST") else { return };
    let dir = tempfile::tempdir().unwrap();
    let symbols: Vec<String> = (0..600).map(|n| format!("SYM{n:04}")).collect();
    let key = format!("control-{}", SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos());
    let setup = Setup {
        base_url: &url,
        adapter: "alpha-vantage",
        keys: &[&key],
        limit: Some((75, "10s", "unknown")),
        symbols: &symbols,
        more: "",
    };
    let config = setup.write(dir.path());
    let out = dir.path().join("summary.json");
    let run = output([
        "run",
        "--once",
        "--limiter",
        "off",
        "--config",
        config.to_str().unwrap(),
        "--data",
        dir.path().join("data").to_str().unwrap(),
        "--summary",
        out.to_str().unwrap(),
    ]);
    assert!(summary(&out)["refused"].as_u64().unwrap() >= 100, "{}", said(&run));
}
