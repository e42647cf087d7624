//! A real Prometheus scrapes us: it accepts every format, and computes from it what was counted.
//!
//! Needs Debian's `prometheus` in the path; says aloud that it is skipped without.

use std::fmt::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use axum::Router;
use serde_json::Value;
use tidemill_metrics::{Registry, Scrape};

/// Ended by its id when the test ends, however it ends.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // It has nothing to lose: its data stands in a temporary folder.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A Prometheus that scrapes `target` ten times a second, and where it answers.
fn start(folder: &Path, target: SocketAddr, flags: &[&str]) -> Option<(Server, SocketAddr)> {
    let mut config = "global:\n  scrape_interval: 100ms\n  scrape_timeout: 100ms\n".to_owned();
    let _ = write!(
        config,
        "scrape_configs:\n  - job_name: ours\n    static_configs:\n      - targets: [\"{target}\"]\n"
    );
    std::fs::write(folder.join("prometheus.yml"), config).unwrap();
    // Free when it was asked for; if somebody takes it in between, Prometheus does not become ready and the test fails.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let child = Command::new("prometheus")
        .arg(format!("--config.file={}", folder.join("prometheus.yml").display()))
        .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
        .arg(format!("--web.listen-address={address}"))
        .args(flags)
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(folder.join("log")).unwrap())
        .spawn();
    match child {
        Ok(child) => Some((Server(child), address)),
        Err(error) => {
            eprintln!("SKIPPED prometheus::*: cannot start `prometheus` ({error}); install Debian's package");
            None
        }
    }
}

/// An answer of Prometheus' API, as JSON.
fn ask(address: SocketAddr, path: &str) -> Option<Value> {
    use std::io::{Read as _, Write as _};
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    // HTTP/1.0: no chunks.
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()
}

/// The value of a query with one result.
fn query(address: SocketAddr, expression: &str) -> Option<f64> {
    let mut path = "/api/v1/query?query=".to_owned();
    expression.bytes().for_each(|byte| write!(path, "%{byte:02x}").unwrap());
    let answer = ask(address, &path)?;
    answer["data"]["result"][0]["value"][1].as_str()?.parse().ok()
}

/// Asks until the answer is good; a minute, as the machine may be busy.
fn until<T>(what: &str, folder: &Path, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        let log = || std::fs::read_to_string(folder.join("log")).unwrap_or_default();
        assert!(Instant::now() < deadline, "no {what} within a minute; Prometheus said:\n{}", log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

async fn serve(registry: Registry) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route_service("/metrics", Scrape::new(registry));
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// Counts, lets Prometheus see it, counts more and compares what it computes. `quantile` is its expression for p99.
fn scraped(flags: &[&str], quantile: &str, tolerance: f64) {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let registry = Registry::new();
    let target = runtime.block_on(serve(registry.clone()));
    let Some((_server, prometheus)) = start(folder.path(), target, flags) else { return };

    let labels = [("path", "/\"\\\n"), ("zone", "x")];
    let counter = registry.counter("requests_total", "Requests \"sent\"\\.").with(&labels).unwrap();
    registry.counter("oddly_named", "Without a suffix.").get().unwrap().add(3);
    registry.gauge("level", "A level.").get().unwrap().set(f64::NEG_INFINITY);
    let seconds = registry.histogram("took_seconds", "Time.").get().unwrap();
    registry.histogram("empty_seconds", "Never counted.").get().unwrap();
    let seen = |expression: &str, value: f64| {
        until(&format!("{expression} = {value}"), folder.path(), || {
            query(prometheus, expression).filter(|is| *is == value)
        });
    };
    seen("requests_total", 0.0);
    seen("up", 1.0);
    counter.add(1000);
    let mut exact: Vec<f64> = (1..=2000).map(|i| 0.001 * f64::from(i).powf(1.3)).collect();
    exact.iter().for_each(|value| seconds.observe(*value));
    exact.sort_unstable_by(f64::total_cmp);
    seen("requests_total", 1000.0);
    seen("oddly_named", 3.0);
    seen("level", f64::NEG_INFINITY);
    // What it computes from two and more scrapes agrees with what was counted: `rate` times its own window extrapolates,
    // the difference of the ends does not.
    seen("max_over_time(requests_total[1m]) - min_over_time(requests_total[1m])", 1000.0);
    counter.add(500);
    seen("requests_total", 1500.0);
    until("a rate", folder.path(), || {
        query(prometheus, "rate(requests_total[1m])").filter(|rate| *rate > 0.0)
    });
    let p99 = until("p99", folder.path(), || query(prometheus, quantile).filter(|p99| p99.is_finite()));
    let wanted = exact[1979];
    assert!((p99 / wanted - 1.0).abs() <= tolerance, "{p99} for {wanted}");
    assert!((seconds.snapshot().quantile(0.99).unwrap() / wanted - 1.0).abs() <= 0.044);

    let targets = ask(prometheus, "/api/v1/targets").unwrap();
    let ours = &targets["data"]["activeTargets"][0];
    assert_eq!((ours["health"].as_str(), ours["lastError"].as_str()), (Some("up"), Some("")), "{ours}");
    let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
    assert!(!log.contains("level=error") && !log.contains("append failed"), "{log}");
    assert!(!log.contains("Error on ingesting"), "{log}");
}

/// It asks for OpenMetrics, and sees the classic buckets.
#[test]
fn a_prometheus_agrees_by_openmetrics() {
    // All it can say is that p99 lies somewhere in the bucket from 16 to 32 seconds.
    scraped(&[], "histogram_quantile(0.99, took_seconds_bucket)", 1.0);
}

/// It asks for protobuf, and sees the native histogram.
#[test]
fn a_prometheus_agrees_by_native_histograms() {
    scraped(&["--enable-feature=native-histograms"], "histogram_quantile(0.99, took_seconds)", 0.09);
}
