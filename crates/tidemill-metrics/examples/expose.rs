//! Eight threads count, one scrapes: `cargo run -p tidemill-metrics --example expose`.

#![expect(clippy::print_stdout, reason = "an example talks")]

use std::thread;
use std::time::Duration;

use tidemill_metrics::{Config, Error, Registry};

fn main() -> Result<(), Error> {
    let registry = Registry::builder(Config { prefix: "app".into(), ..Config::default() }).build()?;
    let requests = registry.counter("requests_total", "Requests sent.").with(&[("provider", "vendor")])?;
    let seconds = registry.histogram("request_duration_seconds", "Time to the last byte.").get()?;
    thread::scope(|scope| {
        for n in 1..=8_u32 {
            let (requests, seconds) = (&requests, &seconds);
            scope.spawn(move || {
                for call in 1..=1_000_000 {
                    requests.inc();
                    seconds.record(Duration::from_micros(u64::from(n * (call % 1000))));
                }
            });
        }
    });
    println!("p99 {:?} s of {} requests", seconds.snapshot().quantile(0.99), requests.get());
    print!("{}", registry.to_text());
    Ok(())
}
