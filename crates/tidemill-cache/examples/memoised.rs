//! A function that remembers its answers for a minute. `cargo run -p tidemill-cache --example memoised --features macros`

use std::io::{self, Write as _};
use std::time::Duration;

use tidemill_cache::{Named, cached};

/// Asked once for each symbol and number of days, whoever asks at the same time.
#[cached(ttl = "60s", name = "means")]
async fn mean(symbol: String, days: u32) -> Result<f64, io::Error> {
    tokio::time::sleep(Duration::from_millis(100)).await;
    Ok(symbol.len() as f64 * f64::from(days))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // As a configuration file has it, in place of what stands above the function.
    serde_json::from_str::<Named>(r#"{"means": {"ttl": "10m", "capacity": 1000}}"#)?.install()?;
    let began = std::time::Instant::now();
    for _ in 0..10 {
        assert_eq!(mean("AAPL".to_owned(), 20).await?, 80.0);
    }
    writeln!(io::stdout(), "ten calls of 100 ms in {:?}", began.elapsed())?;
    Ok(())
}
