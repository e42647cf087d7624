//! Measures what one answer costs the client in CPU: 14 KB of gzip on a kept-alive connection.
//!
//! `cargo run --release -p tidemill-collector --example http_cost`

use std::io::Write as _;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use rustix::time::{ClockId, clock_gettime};
use tidemill_collector::http::{Attempt, Call, Config, Encoding, InflaterPool};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tower::ServiceExt;

const REQUESTS: u32 = 20_000;
const IN_FLIGHT: u32 = 8;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let body = body();
    let packed = pack(&body)?;
    let small = pack(&body[..14 << 10])?;
    let mut out = std::io::stdout();
    writeln!(
        out,
        "body {} bytes, on the wire {}; small body {}, on the wire {}",
        body.len(),
        packed.len(),
        14 << 10,
        small.len()
    )?;
    let (pool, cpu) = (InflaterPool::default(), thread_cpu());
    for _ in 0..REQUESTS {
        let mut inflater = pool.take(Encoding::Gzip, 1 << 20);
        inflater.push(&packed)?;
        assert_eq!(inflater.finish()?.len(), body.len());
    }
    let alone = (thread_cpu() - cpu).as_secs_f64() * 1e6 / f64::from(REQUESTS);
    writeln!(out, "inflating the body alone: {alone:.1} us")?;
    for (name, bytes, headers) in [
        ("gzip", &packed, "content-encoding: gzip\r\n"),
        ("gzip, small", &small, "content-encoding: gzip\r\n"),
        ("identity", &packed, ""),
    ] {
        let mut answer =
            format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n{headers}\r\n", bytes.len()).into_bytes();
        answer.extend_from_slice(bytes);
        let addr = serve(answer);
        for round in 1..=3 {
            let (cpu, wall) = run(addr)?;
            writeln!(out, "{name} round {round}: {cpu:.1} us of client CPU a request, {wall:.1} us wall")?;
        }
    }
    Ok(())
}

fn pack(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes)?;
    encoder.finish()
}

/// Daily bars as JSON that compress to about 14 KB.
fn body() -> Vec<u8> {
    let mut seed = 7_u64;
    let mut next = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let mut text = String::from("{\"values\":[");
    for day in 0..620 {
        let (price, volume) = (100 + next(40), next(90_000_000));
        text.push_str(&format!(
            "{{\"datetime\":\"2024-{:02}-{:02}\",\"open\":\"{price}.{:02}\",\"high\":\"{price}.{:02}\",\"low\":\"{price}.{:02}\",\"close\":\"{price}.{:02}\",\"volume\":\"{volume}\"}},",
            day / 28 % 12 + 1, day % 28 + 1, next(100), next(100), next(100), next(100)
        ));
    }
    text.push_str("]}");
    text.into_bytes()
}

/// A server on a thread of its own, so that its cost is not the client's.
fn serve(answer: Vec<u8>) -> SocketAddr {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            tell.send(listener.local_addr().expect("an address")).expect("main waits");
            let answer: &'static [u8] = answer.leak();
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut request = [0; 4096];
                    while let Ok(1..) = stream.read(&mut request).await {
                        if stream.write_all(answer).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
    });
    told.recv().expect("the server starts")
}

fn run(addr: SocketAddr) -> Result<(f64, f64), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let attempt = Attempt::builder(Config::default()).build()?;
        let uri: http::Uri =
            format!("http://{addr}/query?function=TIME_SERIES_DAILY&symbol=AAPL&apikey=demo").parse()?;
        let (cpu, begun) = (thread_cpu(), Instant::now());
        let workers: Vec<_> = (0..IN_FLIGHT)
            .map(|_| {
                let (attempt, uri) = (attempt.clone(), uri.clone());
                tokio::spawn(async move {
                    for _ in 0..REQUESTS / IN_FLIGHT {
                        let answer =
                            attempt.clone().oneshot(Call::get(uri.clone())).await.expect("an answer");
                        assert!(answer.body.len() >= 10_000, "the whole body");
                    }
                })
            })
            .collect();
        for worker in workers {
            worker.await?;
        }
        let per = |time: Duration| time.as_secs_f64() * 1e6 / f64::from(REQUESTS);
        Ok((per(thread_cpu() - cpu), per(begun.elapsed())))
    })
}

/// CPU of this thread, on which the whole client runs.
fn thread_cpu() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}
