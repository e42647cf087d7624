//! Loads a URL of this machine, 1000 requests a second for 3 seconds, and prints what came of it: promises, percentiles,
//! and whether to believe them. Without an argument it loads a small server of its own.
//!
//! `cargo run --release -p tidemill-load --example load_url -- http://127.0.0.1:8080/`

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::Duration;

use tidemill_load::{Cancel, Percentiles, Plan, Progress, Shape, run};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).map_or_else(serve, Ok)?;
    let mut plan = Plan::new(&url, Shape::constant(1000.0, Duration::from_secs(3)));
    plan.pass.set("response.p99", "<250ms")?;
    plan.pass.set("errors", "<1%")?;
    plan.stop.set("errors", "50% over 2s")?;

    let mut progress = |now: &Progress<'_>| {
        let slice = now.slice;
        println!("{:>4.1} s {:>7} ended, p99 {:>9.1} us", now.elapsed_s, slice.ended, slice.response.p99_us);
    };
    let summary = run(&plan, &mut progress, &Cancel::new())?;

    println!("{}", summary.verdict);
    for judged in &summary.thresholds {
        let kept = if judged.met { "kept" } else { "broken" };
        println!("{} {}: {}, {kept}", judged.metric, judged.bound, judged.measured_text);
    }
    let show = |name: &str, times: &Percentiles| {
        println!(
            "{name:<9} p50 {:>9.1} us   p99 {:>9.1} us   max {:>9.1} us",
            times.p50_us, times.p99_us, times.max_us
        );
    };
    show("response", &summary.response);
    show("service", &summary.service);
    show("lag", &summary.lag);
    show("late", &summary.late);
    Ok(())
}

/// Answers everything with two bytes, a thread a connection.
fn serve() -> std::io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}/", listener.local_addr()?);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                while stream.read(&mut [0; 1024]).is_ok_and(|read| read > 0) {
                    if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").is_err() {
                        return;
                    }
                }
            });
        }
    });
    Ok(url)
}
