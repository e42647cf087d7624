//! Serves a sandbox until Ctrl-C: `cargo run --example serve -- 127.0.0.1:18091`, with a free port when none is given.

#![expect(clippy::print_stdout, reason = "an example talks to whoever runs it")]

use std::time::Duration;

use tidemill_sandbox::{Config, Sandbox};
use tokio::net::TcpListener;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let address =
        arguments.iter().find(|argument| *argument != "--once").map_or("127.0.0.1:0", String::as_str);
    let sandbox = Sandbox::builder(Config::default()).build()?;
    let running = sandbox.serve(TcpListener::bind(address).await?).await?;
    println!("{}/query?function=TIME_SERIES_DAILY&symbol=IBM&apikey=k1", running.base_url());
    println!("{}/stats", running.base_url());
    // Run by a test of all examples there is nobody to press Ctrl-C: `--once` shows that it starts and ends.
    if !arguments.iter().any(|argument| argument == "--once") {
        tokio::signal::ctrl_c().await?;
    }
    let report = running.close(Duration::from_secs(5)).await;
    println!("admitted {}, refused {}", report.stats.admitted, report.stats.refused);
    Ok(())
}
