//! Everything Linux tells of this machine, as Prometheus reads it, and what reading it costs:
//! `cargo run --release -p tidemill-host --example facts`.

#![expect(clippy::print_stdout, reason = "an example talks")]

use std::time::{Instant, SystemTime};

use tidemill_host::{Error, Facts, FactsConfig};

fn main() -> Result<(), Error> {
    let mut facts = Facts::builder(FactsConfig::default()).build()?;
    for fact in facts.read(SystemTime::now()) {
        println!("{} {}", fact.about, fact.value);
    }
    // The first call opens the files; those that follow allocate no name.
    let (times, begun) = (100_u32, Instant::now());
    for _ in 0..times {
        facts.read(SystemTime::now());
    }
    println!("# {} facts in {:?} a time; {:?}", facts.stats().facts, begun.elapsed() / times, facts.stats());
    Ok(())
}
