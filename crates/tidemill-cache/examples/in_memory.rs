//! The first tier alone, without a runtime: bounded in bytes, smaller and longer-lived while it runs.
//! `cargo run -p tidemill-cache --example in_memory`

use std::io::{self, Write as _};
use std::time::Duration;

use tidemill_cache::{Capacity, Config, Memory};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config =
        Config { capacity: Capacity::Bytes(1 << 20), ttl: Duration::from_secs(60), ..Config::default() };
    let pages: Memory<u32, String> =
        Memory::builder(config).weigher(|_, page: &String| page.len() as u64).build()?;
    for number in 0..2000 {
        pages.insert(number, format!("{number:01000}"));
    }
    pages.scale_ttl(1.5);
    pages.resize(0.7)?;
    let found = (0..2000).filter(|number| pages.get(number).is_some()).count();
    let stats = pages.stats();
    writeln!(io::stdout(), "{found} of 2000 pages in {} bytes; {:?}", stats.weight, stats.evictions)?;
    Ok(())
}
