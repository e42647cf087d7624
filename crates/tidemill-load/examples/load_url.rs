//! Loads a URL of this machine, 1000 requests a second for 5 seconds, and prints what came of it.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]
//!
//! `cargo run --release -p tidemill-load --example load_url -- http://127.0.0.1:8080/`

use std::time::Duration;

use tidemill_load::{Cancel, Plan, Shape, run};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "http://127.0.0.1:8080/".to_owned());
    let plan = match std::env::args().nth(2) {
        Some(path) => Plan::from_toml(&std::fs::read_to_string(path)?)?,
        None => Plan::new(&url, Shape::constant(1000.0, Duration::from_secs(5))),
    };
    let mut progress = |now: &tidemill_load::Progress<'_>| {
        let slice = now.slice;
        println!("{:>5.1}s  {:>8}/s  p99 {:.0} us", now.elapsed_s, slice.ended, slice.response.p99_us);
    };
    let summary = run(&plan, &mut progress, &Cancel::new())?;
    println!("{}", summary.verdict);
    println!("{} ended, {:?}", summary.totals.ended, summary.errors);
    println!("response {:?}\nlag      {:?}\nlate     {:?}", summary.response, summary.lag, summary.late);
    println!("{:?} {:?}", summary.totals, summary.client);
    Ok(())
}
