//! A real Prometheus scrapes for minutes while short threads count: what it computes must be what was counted.
//!
//! `--seconds N` (120), `--native` for protobuf with native histograms. Needs Debian's `prometheus`.

use std::error::Error;
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use tidemill_benches::{Better, Row, Samples, UnitKind};
use tidemill_metrics::{Format, History, HistoryConfig, Registry};

type Fallible<T> = Result<T, Box<dyn Error>>;

/// Ended by its id.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn main() -> Fallible<()> {
    let mut args = std::env::args().skip_while(|arg| arg != "--seconds").skip(1);
    let seconds: u64 = args.next().map_or(Ok(120), |text| text.parse())?;
    let native = std::env::args().any(|arg| arg == "--native");
    let registry = Registry::new();
    let counter = registry.counter("soaked_total", "Counted.").get()?;
    let took = registry.histogram("soaked_seconds", "Observed.").get()?;
    let folder = tempfile::tempdir()?;
    let (_server, prometheus) = start(folder.path(), serve(registry.clone())?, native)?;

    let end = Instant::now() + Duration::from_secs(seconds);
    let mut round = 0_u64;
    let mut history = History::new(HistoryConfig::default())?;
    let mut sampled = Instant::now();
    while Instant::now() < end {
        thread::scope(|scope| {
            for _ in 0..12 {
                scope.spawn(|| {
                    for i in 1..=100_u64 {
                        counter.inc();
                        took.observe(0.001 * (i + round % 7) as f64);
                    }
                });
            }
        });
        round += 1;
        if sampled.elapsed() >= Duration::from_millis(250) {
            sampled = Instant::now();
            history.sample(&registry, SystemTime::now());
        }
        // Paces the writers; nothing is waited for.
        thread::sleep(Duration::from_millis(10));
    }
    let counted = round * 1200;
    assert_eq!((counter.get(), took.snapshot().count), (counted, counted), "a count was lost");
    let seen = until(|| query(prometheus, "soaked_total").filter(|seen| *seen == counted as f64))?;
    let window = format!("[{}s]", seconds + 60);
    let rate = query(prometheus, &format!("rate(soaked_total[{}s])", seconds / 2)).ok_or("no rate")?;
    let half = Duration::from_secs(seconds / 2);
    let ours = history.rate("soaked_total", "", half).ok_or("no history")?;
    let scrapes = query(prometheus, &format!("count_over_time(up{window})")).ok_or("no scrapes")?;
    let failed = query(prometheus, &format!("count_over_time((up == 0){window}:1s)")).unwrap_or(0.0);
    let p99 = if native { "soaked_seconds" } else { "soaked_seconds_bucket" };
    let p99 = query(prometheus, &format!("histogram_quantile(0.99, {p99})")).ok_or("no p99")?;
    let own = took.snapshot().quantile(0.99).ok_or("nothing observed")?;
    let text = format!(
        "{counted} counted, {seen} seen, {scrapes} scrapes, {failed} failed, p99 {p99} there and {own} here
"
    );
    std::io::stdout().write_all(text.as_bytes())?;
    let form = if native { "native, protobuf" } else { "classic, OpenMetrics" };
    let emit = |case: &str, value: f64, goal: f64| {
        let samples: Samples = [value].into_iter().collect();
        Row::new("metrics", &format!("soak {seconds} s, {form}: {case}"), "", UnitKind::Count, Better::Lower)
            .ours(&samples)
            .goal(goal)
            .emit()
    };
    emit("failed scrapes", failed, 0.0)?;
    emit("rate() off by", (rate / ours - 1.0).abs(), 0.05)?;
    emit("p99 off by", (p99 / own - 1.0).abs(), if native { 0.09 } else { 1.0 })?;
    Ok(())
}

/// Answers scrapes for as long as the process lives.
fn serve(registry: Registry) -> Fallible<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A scraper that goes away in the middle is its own affair.
            let _ = answer(stream, &registry);
        }
    });
    Ok(address)
}

fn answer(mut stream: TcpStream, registry: &Registry) -> std::io::Result<()> {
    let mut request = Vec::new();
    let mut piece = [0; 4096];
    while !request.ends_with(b"\r\n\r\n") {
        let read = stream.read(&mut piece)?;
        if read == 0 {
            return Ok(());
        }
        request.extend_from_slice(&piece[..read]);
    }
    let text = String::from_utf8_lossy(&request);
    let accept = text.lines().find_map(|line| line.strip_prefix("Accept: ")).unwrap_or("");
    let format = Format::negotiate(accept);
    let body = registry.encode(format);
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        format.content_type(),
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(&body)
}

fn start(folder: &Path, target: SocketAddr, native: bool) -> Fallible<(Server, SocketAddr)> {
    let config = format!(
        "global:\n  scrape_interval: 250ms\n  scrape_timeout: 250ms\nscrape_configs:\n  - job_name: ours\n    static_configs:\n      - targets: [\"{target}\"]\n"
    );
    std::fs::write(folder.join("prometheus.yml"), config)?;
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let mut command = Command::new("prometheus");
    command
        .arg(format!("--config.file={}", folder.join("prometheus.yml").display()))
        .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
        .arg(format!("--web.listen-address={address}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if native {
        command.arg("--enable-feature=native-histograms");
    }
    let server = Server(command.spawn()?);
    until(|| query(address, "up").filter(|up| *up == 1.0))?;
    Ok((server, address))
}

fn query(address: SocketAddr, expression: &str) -> Option<f64> {
    let mut path = "/api/v1/query?query=".to_owned();
    for byte in expression.bytes() {
        write!(path, "%{byte:02x}").ok()?;
    }
    let mut stream = TcpStream::connect(address).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let json: serde_json::Value = serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()?;
    json["data"]["result"][0]["value"][1].as_str()?.parse().ok()
}

/// Asks for up to a minute.
fn until(mut ask: impl FnMut() -> Option<f64>) -> Fallible<f64> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(answer) = ask() {
            return Ok(answer);
        }
        if Instant::now() > deadline {
            return Err("Prometheus did not answer as expected within a minute".into());
        }
        thread::sleep(Duration::from_millis(100));
    }
}
