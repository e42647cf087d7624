//! A rate-limited market data API to test clients against, with faults on request.
//!
//! It serves real daily bars of five stocks and an index, and any number of symbols resampled from them, in the shapes of
//! Alpha Vantage and Twelve Data; it refuses as those do, fails as networks do, and [`Running::stats`] says what the
//! *server* counted. Same seed, same run.
//!
//! ```
//! use std::time::Duration;
//! use tidemill_sandbox::{Config, Latency, Model, QuotaConfig, Sandbox};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let sandbox = Sandbox::builder(Config {
//!     symbols: 200,
//!     keys: vec!["demo".into()],
//!     quota: vec![QuotaConfig::new(Model::SlidingLog, 1, Duration::from_secs(60))],
//!     latency: Latency::None,
//!     ..Config::default()
//! })
//! .build()?;
//! let running = sandbox.serve(tokio::net::TcpListener::bind("127.0.0.1:0").await?).await?;
//!
//! // Any HTTP client will do; here one by hand asks twice with a quota of one.
//! for said in ["Time Series (Daily)", "Information"] {
//!     let mut socket = tokio::net::TcpStream::connect(running.addr()).await?;
//!     let target = "/query?function=TIME_SERIES_DAILY&symbol=IBM&apikey=demo";
//!     socket.write_all(format!("GET {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes()).await?;
//!     let mut answer = String::new();
//!     socket.read_to_string(&mut answer).await?;
//!     assert!(answer.contains(said));
//! }
//!
//! let stats = running.stats();
//! assert_eq!((stats.admitted, stats.refused), (1, 1));
//! let report = running.close(Duration::from_secs(1)).await;
//! assert_eq!(report.stats.keys[0].peak_in_window, 2);
//! # Ok(()) }
//! ```
//!
//! The quota models in [`quota`] are pure types that take the time as an argument; a simulator can use them without a
//! server.

mod alpha_vantage;
mod answer;
mod body;
mod books;
mod bundle;
mod config;
mod decimal;
mod error;
mod faults;
mod latency;
mod query;
pub mod quota;
mod random;
mod resample;
mod sandbox;
mod series;
mod serve;
mod stats;
mod symbols;
mod twelve_data;
mod wire;

pub use config::{
    Config, InvalidKeyStyle, MAX_QUOTA_REQUESTS, MAX_SYMBOLS, Model, QuotaConfig, RefusalStyle, Scope,
};
pub use error::{Error, ErrorKind};
pub use faults::{FaultKind, FaultRule, Faults, Revocation};
pub use latency::{Delay, Latency, Spell};
pub use sandbox::{Builder, Sandbox};
pub use series::Bar;
pub use serve::{Report, Running};
pub use stats::{KeyStats, Stats, SymbolStats};
