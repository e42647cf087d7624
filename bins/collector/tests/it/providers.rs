//! Real nginx and HAProxy as providers, with a limit whose model is unknown. With `TIDEMILL_TEST_FULL` set, 1000 symbols
//! over 4 keys, so that every window fills more than three times (some four minutes), and each port for minutes at the rate
//! it allows; else 320 on fewer ports.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::program::{Setup, assert_balanced, once, output, rows, said, summary};

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
    (more, of_provider): (&str, &str),
) -> Asked {
    let dir = tempfile::tempdir().unwrap();
    let stamp = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let keys: Vec<String> = (0..4).map(|n| format!("{tag}-{stamp}-{n}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let list = std::env::var("TIDEMILL_TEST_PROVIDER_SYMBOLS").expect("set beside the ports");
    let symbols: Vec<String> =
        std::fs::read_to_string(list).unwrap().lines().take(count).map(str::to_owned).collect();
    let setup =
        Setup { base_url, adapter, keys: &keys, limit: Some(limit), symbols: &symbols, more, of_provider };
    let config = setup.write(dir.path());
    let (data, out) = (dir.path().join("data"), dir.path().join("summary.json"));
    let run = output(once(dir.path(), &config));
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
    whole(&ask(&url, "alpha-vantage", "sliding", count, (75, "60s", "unknown"), ("", "")), count);
}

#[test]
fn haproxys_fast_counter_fills_its_window_more_than_three_times() {
    let Some(url) = variable("HAPROXY_FAST") else { return };
    whole(&ask(&url, "alpha-vantage", "fast", 1000, (75, "10s", "unknown"), ("", "")), 1000);
}

#[test]
fn nginx_refuses_with_a_note_in_a_200() {
    let Some(url) = variable("NGINX_NOTE") else { return };
    let count = if full() { 1000 } else { 310 };
    whole(&ask(&url, "alpha-vantage", "note", count, (75, "60s", "unknown"), ("", "")), count);
}

#[test]
fn nginx_refuses_with_a_code_in_a_200() {
    let Some(url) = variable("NGINX_CREDITS") else { return };
    let count = if full() { 1000 } else { 310 };
    whole(&ask(&url, "twelve-data", "credits", count, (75, "60s", "unknown"), ("", "")), count);
}

#[test]
fn nginx_without_a_burst_is_paced() {
    let Some(url) = variable("NGINX_STRICT") else { return };
    whole(&ask(&url, "alpha-vantage", "strict", 100, (75, "60s", "unknown"), ("", "")), 100);
}

#[test]
fn http_2_with_and_without_tls_survives_a_goaway_every_fifty_requests() {
    let Some(url) = variable("NGINX_H2C") else { return };
    whole(
        &ask(&url, "alpha-vantage", "h2c", 200, (75, "60s", "bucket"), ("[http]\nhttp2_only = true\n", "")),
        200,
    );
    let (Some(url), Some(cert)) = (variable("NGINX_TLS"), variable("NGINX_CERT")) else { return };
    let trusted = format!("[http]\nca_file = {cert:?}\n");
    whole(&ask(&url, "alpha-vantage", "tls", 200, (75, "60s", "bucket"), (&trusted, "")), 200);
}

#[test]
fn without_a_limit_the_same_servers_refuse() {
    let Some(url) = variable("HAPROXY_FAST") else { return };
    let refused = unlimited(&url, "control");
    assert!(refused >= 100, "{refused}");
}

/// Refusals of 600 requests that nothing holds back.
fn unlimited(url: &str, tag: &str) -> u64 {
    let dir = tempfile::tempdir().unwrap();
    let symbols: Vec<String> = (0..600).map(|n| format!("SYM{n:04}")).collect();
    let key = format!("{tag}-{}", SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos());
    let setup = Setup {
        base_url: url,
        adapter: "alpha-vantage",
        keys: &[&key],
        limit: Some((75, "10s", "unknown")),
        symbols: &symbols,
        more: "",
        of_provider: "",
    };
    let config = setup.write(dir.path());
    let out = dir.path().join("summary.json");
    let run = output(once(dir.path(), &config).into_iter().chain(["--limiter", "off"].map(String::from)));
    let refused = summary(&out)["refused"].as_u64().unwrap();
    println!("{tag}: {refused} refused without a limit; {:?}", run.status.code());
    refused
}

/// What four keys of `(requests, window in seconds)` get out of a port in so many seconds, told nothing of its model: a
/// second table asks for the symbols again, where there are not enough of them.
fn used(port: &str, tag: &str, (requests, per_s): (u32, u32), seconds: u32, more: &str) {
    let Some(url) = variable(port).filter(|_| full()) else { return };
    let all = (4 * requests * seconds / per_s) as usize;
    let count = if all > 900 { all / 2 } else { all };
    let again = "[[dataset]]\nname = \"us_again\"\nprovider = \"vendor\"\nsymbols_file = \"symbols.txt\"\ncalendar = \"none\"\n";
    let more = if count < all { format!("{more}\n{again}") } else { more.to_owned() };
    let per = format!("{per_s}s");
    let asked = ask(&url, "alpha-vantage", tag, count, (requests, &per, "unknown"), (&more, ""));
    whole(&asked, count);
    let number = |name: &str| asked.summary[name].as_f64().unwrap();
    let (sent, refused, elapsed_s) = (number("requests"), number("refused"), number("elapsed_s"));
    let share = 100.0 * (sent - refused) * f64::from(per_s) / (4.0 * f64::from(requests) * elapsed_s);
    println!(
        "{tag}: {:.0} let in over {elapsed_s:.1} s, {share:.1} % of {requests} per {per}, {refused} refused",
        sent - refused
    );
    assert!(share >= 96.0, "{tag}: only {share:.1} %");
}

#[test]
fn haproxys_sliding_counter_for_six_minutes_inside_its_day() {
    used("HAPROXY_SLIDING", "sliding-6min", (75, 60), 360, "");
}

#[test]
fn haproxys_fast_counter_is_used() {
    used("HAPROXY_FAST", "fast-used", (75, 10), 60, "");
}

#[test]
fn nginx_with_a_burst_is_used() {
    used("NGINX_BURST", "burst-used", (75, 60), 150, "");
}

#[test]
fn nginx_without_a_burst_is_used() {
    used("NGINX_STRICT", "strict-used", (75, 60), 150, "");
}

#[test]
fn nginx_over_tls_is_used() {
    let Some(cert) = variable("NGINX_CERT") else { return };
    used("NGINX_TLS", "tls-used", (75, 60), 150, &format!("[http]\nca_file = {cert:?}\n"));
}

/// 150 of weight a minute, two a request, told in `X-MBX-USED-WEIGHT-1M`.
#[test]
fn haproxys_weights_are_used() {
    let Some(url) = variable("HAPROXY_WEIGHTS").filter(|_| full()) else { return };
    let asked = ask(&url, "alpha-vantage", "weights", 750, (150, "60s", "unknown"), ("", "cost = 2"));
    whole(&asked, 750);
    let number = |name: &str| asked.summary[name].as_f64().unwrap();
    let share = 100.0 * (number("requests") - number("refused")) / (5.0 * number("elapsed_s"));
    println!("weights: {share:.1} % of 150 per 60s at 2 a request, {} refused", number("refused"));
    assert!(share >= 96.0, "only {share:.1} %");
}

/// The controls: each of these servers refuses whoever is not held back.
#[test]
fn without_a_limit_every_port_refuses() {
    if !full() {
        return;
    }
    for port in ["HAPROXY_SLIDING", "HAPROXY_WEIGHTS", "NGINX_BURST", "NGINX_STRICT"] {
        let Some(url) = variable(port) else { continue };
        let refused = unlimited(&url, port);
        println!("{port}, limiter off: {refused} refused");
        assert!(refused >= 100, "{port}: {refused}");
    }
}
