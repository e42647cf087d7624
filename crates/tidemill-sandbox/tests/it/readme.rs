//! The README's example as it stands there, with a client that keeps its promise.

// begin of the README's example
use std::time::Duration;
use tidemill_sandbox::{Config, FaultKind, Faults, Model, QuotaConfig, RefusalStyle, Sandbox};

#[tokio::test]
async fn my_client_is_never_refused_and_loses_nothing() -> Result<(), Box<dyn std::error::Error>> {
    let sandbox = Sandbox::builder(Config {
        symbols: 200,
        keys: vec!["k1".into(), "k2".into()],
        quota: vec![QuotaConfig::new(Model::PenalisingLog, 110, Duration::from_secs(10))],
        refusal: RefusalStyle::TooManyRequests,
        faults: Faults::none().with_probability(FaultKind::Truncated, 0.02).at(FaultKind::Reset, [17]),
        ..Config::default()
    })
    .build()?;
    let running = sandbox.serve(tokio::net::TcpListener::bind("127.0.0.1:0").await?).await?;

    my_client(&running.base_url(), ["k1", "k2"]).await;

    let stats = running.stats();
    assert_eq!(stats.refused, 0);
    assert!(stats.keys.iter().all(|key| key.peak_in_window <= 110));
    let symbols = running.symbol_stats();
    for symbol in sandbox.symbols() {
        assert_eq!(symbols[&symbol].served, 1, "{symbol} came whole, and once");
        let _truth = sandbox.bars(&symbol); // what the client should hold now
    }
    running.close(Duration::from_secs(1)).await;
    Ok(())
}
// end of the README's example

/// Asks again for what did not come whole, on the keys in turn.
async fn my_client(base_url: &str, keys: [&str; 2]) {
    let addr = base_url.strip_prefix("http://").unwrap().parse().unwrap();
    let listing = crate::client::get(addr, "/symbols").await;
    let mut waiting: Vec<_> = listing.text().lines().map(String::from).collect();
    let mut keys = keys.into_iter().cycle();
    while !waiting.is_empty() {
        let mut tasks = tokio::task::JoinSet::new();
        for symbol in waiting.drain(..) {
            let target = crate::client::daily(&symbol, keys.next().unwrap());
            tasks.spawn(async move { (crate::client::get(addr, &target).await.has_data(), symbol) });
        }
        while let Some(done) = tasks.join_next().await {
            let (whole, symbol) = done.unwrap();
            if !whole {
                waiting.push(symbol);
            }
        }
    }
}

#[test]
fn the_readme_shows_this_example() {
    let here = include_str!("readme.rs");
    let (_, from) = here.split_once("// begin of the README's example\n").unwrap();
    let (example, _) = from.split_once("// end of the README's example\n").unwrap();
    assert!(include_str!("../../README.md").contains(&format!("```rust\n{example}```\n")));
}

#[test]
fn the_readme_s_settings_are_settings() {
    let (_, from) = include_str!("../../README.md").split_once("```toml\n").unwrap();
    let config: Config = toml::from_str(from.split_once("```").unwrap().0).unwrap();
    assert_eq!((config.symbols, config.quota[0].burst), (500, Some(5)));
    assert!(Sandbox::builder(config).build().is_ok());
}
