//! A cache over a disk tier finds after a restart what it loaded before. `cargo run -p tidemill-cache --example tiers_on_disk --features disk`

use std::io::{self, Write as _};
use std::time::Duration;

use tidemill_cache::{Cache, Config, Disk, DiskConfig, Json};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    for start in 1..=2 {
        let config =
            DiskConfig { dir: dir.path().to_owned(), capacity: 100_000_000, ..DiskConfig::default() };
        let disk = Disk::open(&config)?;
        let prices: Cache<String, f64> =
            Cache::builder(Config::default()).codec(Json).tier(disk.clone()).build()?;
        for symbol in ["AAPL", "MSFT", "AAPL"] {
            prices.get_or_load(&symbol.to_owned(), backend).await?;
        }
        let (loads, tier) = (prices.stats().loads.succeeded, disk.stats());
        writeln!(
            io::stdout(),
            "start {start}: {loads} loads, {} values in {} bytes",
            tier.entries,
            tier.bytes
        )?;
        disk.close(Duration::from_secs(5)).await?;
    }
    Ok(())
}

async fn backend(symbol: String) -> Result<f64, io::Error> {
    Ok(f64::from(u32::try_from(symbol.len()).map_err(io::Error::other)?))
}
