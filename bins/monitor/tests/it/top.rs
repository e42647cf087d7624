//! The terminal view: drawn on a backend of its own and held against pictures of text, and run as a person would.

use std::path::Path;
use std::process::Command;

use crate::running::Server;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::Color;
use serde_json::json;
use tidemill_monitor::top::{Alert, Dashboard, Palette, Snapshot, Target, draw, line};

/// 17:24:10 on some day.
const NOW_MS: i64 = 1_795_281_850_000;

fn host(step: f64) -> Target {
    let seen = |name: &str, value: f64| json!({"name": name, "labels": {}, "kind": "gauge", "value": value});
    serde_json::from_value(json!({"name": "host", "up": true, "took_ms": 2.1, "at_ms": NOW_MS, "series": [
        seen("system_cpu_percent", 42.0 + 30.0 * (step / 5.0).sin()),
        seen("system_memory_percent", 61.0 + step / 10.0),
        seen("system_memory_used_bytes", 15.2e9),
        seen("system_memory_total_bytes", 25.7e9),
        seen("system_disk_busy_percent", if step % 17.0 == 0.0 { 88.0 } else { 3.0 }),
        seen("system_disk_read_bytes_per_second", 2.5e5),
        seen("system_disk_written_bytes_per_second", 1.9e6),
        seen("system_network_received_bytes_per_second", 2.9e6 + 1e6 * (step / 3.0).cos()),
        seen("system_network_sent_bytes_per_second", 7.1e5),
        seen("system_load1", 1.42),
    ]}))
    .unwrap()
}

fn collector(step: f64) -> Target {
    let counter = |name: &str, labels: serde_json::Value, value: f64, rate: f64| json!({"name": name, "labels": labels, "kind": "counter", "value": value, "rate": rate});
    let quantile = |q: &str, value: f64| json!({"name": "tidemill_request_duration_seconds", "labels": {"quantile": q}, "kind": "histogram", "value": value});
    serde_json::from_value(json!({"name": "collector", "up": true, "took_ms": 4.0, "at_ms": NOW_MS, "series": [
        counter("tidemill_symbols_answered_total", json!({}), 4120.0, 15.7),
        counter("tidemill_symbols_failed_total", json!({}), 9.0, 0.0),
        counter("tidemill_rows_stored_total", json!({}), 4.2e6, 9200.0),
        counter("tidemill_requests_total", json!({"provider": "a"}), 4200.0, 16.0),
        counter("tidemill_request_duration_seconds_sum", json!({}), 500.0, 1.968),
        counter("tidemill_request_duration_seconds_count", json!({}), 4200.0, 16.0),
        quantile("0.5", 0.092),
        quantile("0.99", 0.61),
        json!({"name": "tidemill_requests_in_flight", "labels": {}, "kind": "gauge", "value": 6.0}),
        json!({"name": "tidemill_symbols_planned", "labels": {}, "kind": "gauge", "value": 500.0}),
        json!({"name": "tidemill_symbols_done", "labels": {}, "kind": "gauge", "value": 100.0 + 4.0 * step}),
    ]}))
    .unwrap()
}

fn board() -> Dashboard {
    let mut board = Dashboard::new("http://127.0.0.1:8080", 10);
    for step in 0..60 {
        let down =
            Target { name: "db1".into(), error: Some("connection refused".into()), ..Target::default() };
        let alert = |severity: &str, state: &str, summary: &str, ago_s: i64| Alert {
            rule: summary.split(' ').next().unwrap().to_lowercase(),
            severity: severity.into(),
            state: state.into(),
            target: "host".into(),
            summary: summary.into(),
            since_ms: NOW_MS - ago_s * 1000,
        };
        board.take(Snapshot {
            at_ms: NOW_MS - (59 - step) * 10_000,
            status: "fair".into(),
            targets: vec![host(step as f64), collector(step as f64), down],
            alerts: vec![
                alert("critical", "firing", "Memory is 96.2 % used", 130),
                alert("warning", "acknowledged", "Disk /srv is 88.6 % full", 2820),
            ],
        });
    }
    board
}

fn drawn(board: &Dashboard, width: u16, height: u16) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, board, Palette::new(Some("1")))).unwrap();
    terminal
}

/// Held against `tests/it/top/NAME.txt`; with `TIDEMILL_TEST_BLESS` it is written.
fn held_against(name: &str, picture: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/it/top/{name}.txt"));
    let picture: String =
        picture.lines().map(|line| format!("{}\n", line.trim_matches('"').trim_end())).collect();
    if std::env::var_os("TIDEMILL_TEST_BLESS").is_some() {
        std::fs::write(&path, &picture).unwrap();
    }
    let wanted = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(picture == wanted, "{name} is not as in {}:\n{picture}", path.display());
}

#[test]
fn the_view_is_as_it_was() {
    let mut board = board();
    held_against("wide", &drawn(&board, 120, 30).backend().to_string());
    held_against("narrow", &drawn(&board, 72, 40).backend().to_string());
    board.help = true;
    board.held = true;
    held_against("help", &drawn(&board, 100, 28).backend().to_string());
    held_against("empty", &drawn(&Dashboard::new("this machine", 1), 80, 24).backend().to_string());
    held_against("line", &line(&board));
}

#[test]
fn no_size_of_a_terminal_breaks_it() {
    let board = board();
    for width in [1, 2, 7, 20, 99, 100, 300] {
        for height in [1, 2, 5, 13, 60] {
            drawn(&board, width, height);
        }
    }
}

#[test]
fn no_color_means_none() {
    let board = board();
    let colored = |palette: Palette| {
        let mut terminal = Terminal::new(TestBackend::new(120, 30)).unwrap();
        terminal.draw(|frame| draw(frame, &board, palette)).unwrap();
        let cells = terminal.backend().buffer().content().to_vec();
        cells.iter().any(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset)
    };
    assert!(colored(Palette::new(None)) && colored(Palette::new(Some(""))));
    assert!(!colored(Palette::new(Some("1"))));
}

#[test]
fn without_a_monitor_a_line_tells_of_this_machine() {
    let top = |args: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_tidemill-monitor"))
            .arg("top")
            .args(args)
            .env_clear()
            .output()
            .unwrap()
    };
    // Nobody listens on port 1: an address that is given is meant.
    let refused = top(&["http://127.0.0.1:1", "--once"]);
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("does not answer"), "{refused:?}");
    let wrong = top(&["mill:8080", "--once"]);
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("http://"), "{wrong:?}");
    let direct = top(&["http://127.0.0.1:1/metrics", "--once"]);
    let told = String::from_utf8(direct.stdout).unwrap();
    assert!(told.contains("cpu ") && told.contains("memory ") && told.contains("down: 127.0.0.1"), "{told}");
    assert!(!told.contains('\u{1b}'), "{told}");
}

#[test]
fn a_collector_is_asked_directly() {
    let server = Server::text(|scrape| {
        let n = (scrape + 1) * 10;
        format!(
            "# TYPE tidemill_symbols_answered_total counter\ntidemill_symbols_answered_total {n}\n\
             # TYPE tidemill_symbols_failed_total counter\ntidemill_symbols_failed_total 1\n\
             # TYPE tidemill_request_duration_seconds histogram\n\
             tidemill_request_duration_seconds_bucket{{le=\"0.1\"}} {n}\n\
             tidemill_request_duration_seconds_bucket{{le=\"+Inf\"}} {n}\n\
             tidemill_request_duration_seconds_sum {sum}\ntidemill_request_duration_seconds_count {n}\n",
            sum = n as f64 * 0.05,
        )
    });
    let url = format!("{}/metrics", server.url);
    let told = Command::new(env!("CARGO_BIN_EXE_tidemill-monitor"))
        .args(["top", &url, "--once"])
        .env_clear()
        .output()
        .unwrap();
    let told = String::from_utf8(told.stdout).unwrap();
    for part in ["items/min", "% good", "1 failed", "mean 50 ms"] {
        assert!(told.contains(part), "{part}: {told}");
    }
}
