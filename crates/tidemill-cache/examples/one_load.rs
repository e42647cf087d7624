//! A thousand callers ask for one price at once: the backend is asked once. `cargo run -p tidemill-cache --example one_load`

use std::io::{self, Write as _};
use std::time::Duration;

use tidemill_cache::{Cache, Config};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config = Config { ttl: Duration::from_secs(60), stale: Duration::from_secs(30), ..Config::default() };
    let prices: Cache<String, f64> = Cache::builder(config).build()?;
    let callers: Vec<_> = (0..1000)
        .map(|_| {
            let prices = prices.clone();
            tokio::spawn(async move { prices.get_or_load(&"AAPL".to_owned(), backend).await })
        })
        .collect();
    for caller in callers {
        assert_eq!(caller.await??, 189.5);
    }
    let stats = prices.stats();
    writeln!(io::stdout(), "1000 callers, {} load in {:?}", stats.loads.succeeded, stats.loads.time)?;
    Ok(())
}

async fn backend(_symbol: String) -> Result<f64, io::Error> {
    tokio::time::sleep(Duration::from_millis(100)).await;
    Ok(189.5)
}
