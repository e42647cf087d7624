//! Refusals, and that `/stats` tells what the server counted.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tidemill_sandbox::{Config, Latency, Model, QuotaConfig, RefusalStyle, Sandbox, Scope, Stats};

use crate::client::{daily, get, limited, open, start};

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn the_default_is_what_the_collector_is_promised() {
    let config = Config::default();
    assert_eq!((config.symbols, config.keys.len()), (1000, 4));
    let quota = &config.quota[0];
    assert_eq!((quota.model, quota.requests, quota.per), (Model::PenalisingLog, 75, Duration::from_secs(10)));
    let (min, max) = (Duration::from_millis(20), Duration::from_millis(80));
    assert_eq!(config.latency, Latency::Uniform { min, max });
    assert_eq!(Sandbox::builder(config).build().unwrap().symbols().count(), 1000);
}

#[tokio::test]
async fn every_model_admits_its_number_over_the_wire_and_refuses_the_next() {
    let models = [
        (Model::SlidingLog, 5),
        (Model::PenalisingLog, 5),
        (Model::FixedWindow, 5),
        (Model::TokenBucket, 5),
        (Model::Leaky, 1),
        (Model::SlidingCounter, 5),
        (Model::Daily, 5),
    ];
    for (model, admitted) in models {
        let running = start(limited(model, 5, 24 * 60 * MINUTE)).await;
        for request in 0..8 {
            let answer = get(running.addr(), &daily("IBM", "k1")).await;
            assert_eq!(answer.has_data(), request < admitted, "{model:?} {request}");
            assert_eq!(answer.is_refusal(), request >= admitted, "{model:?} {request}");
        }
        assert!(get(running.addr(), &daily("IBM", "k2")).await.has_data(), "another key is not touched");
        let stats = running.stats();
        assert_eq!((stats.admitted, stats.refused), (admitted + 1, 8 - admitted), "{model:?}");
    }
}

#[tokio::test]
async fn a_refusal_is_a_note_or_a_429_that_says_when() {
    let running = start(limited(Model::SlidingLog, 1, MINUTE)).await;
    get(running.addr(), &daily("IBM", "k1")).await;
    let note = get(running.addr(), &format!("{}&datatype=csv", daily("IBM", "k1"))).await;
    assert_eq!((note.status, note.header("retry-after")), (200, None));
    assert!(note.json()["Information"].as_str().unwrap().contains("1 requests per 1m"), "JSON even for CSV");
    let credits = get(running.addr(), "/time_series?symbol=IBM&interval=1day&apikey=k1").await;
    assert_eq!((credits.status, credits.json()["code"].as_u64()), (200, Some(429)));

    let plain = Config { refusal: RefusalStyle::TooManyRequests, ..limited(Model::SlidingLog, 1, MINUTE) };
    let running = start(plain).await;
    get(running.addr(), &daily("IBM", "k1")).await;
    let refused = get(running.addr(), &daily("IBM", "k1")).await;
    assert_eq!(refused.status, 429);
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((58..=60).contains(&wait), "{wait}");
}

#[tokio::test]
async fn a_penalising_log_punishes_knocking_and_a_plain_one_forgives() {
    let per = Duration::from_millis(400);
    for (model, forgives) in [(Model::SlidingLog, true), (Model::PenalisingLog, false)] {
        let running = start(limited(model, 2, per)).await;
        let begun = Instant::now();
        let mut admitted = 0;
        // Knocks without a pause over several windows.
        while begun.elapsed() < per * 4 {
            admitted += u64::from(get(running.addr(), &daily("IBM", "k1")).await.has_data());
        }
        let stats = running.stats();
        assert_eq!(stats.admitted, admitted);
        assert!(stats.refused > 10);
        assert!(stats.keys[0].peak_admitted_in_window <= 2);
        assert!(stats.keys[0].peak_in_window > 10);
        assert_eq!(admitted > 4, forgives, "{model:?}: {admitted}");
        if !forgives {
            // Silence for a window is what it wants.
            tokio::time::sleep(per).await;
            assert!(get(running.addr(), &daily("IBM", "k1")).await.has_data());
        }
    }
}

#[tokio::test]
async fn an_account_limit_holds_over_all_keys() {
    let account = QuotaConfig { scope: Scope::Account, ..QuotaConfig::new(Model::SlidingLog, 3, MINUTE) };
    let running = start(Config { quota: vec![account], ..open() }).await;
    for (key, admitted) in [("k1", true), ("k2", true), ("k3", true), ("k4", false)] {
        assert_eq!(get(running.addr(), &daily("IBM", key)).await.has_data(), admitted);
    }
}

#[tokio::test]
async fn stats_tell_the_truth_about_every_request_and_symbol() {
    let running = start(limited(Model::SlidingLog, 30, MINUTE)).await;
    let names: Vec<_> = (5..25).map(|index| format!("SYM{index:04}")).collect();
    // As clients see it: (admitted, refused) for each key.
    let mut seen = BTreeMap::<String, (u64, u64)>::new();
    let mut tasks = tokio::task::JoinSet::new();
    for (place, name) in names.iter().cycle().take(120).cloned().enumerate() {
        let (addr, key) = (running.addr(), format!("k{}", 1 + place % 3));
        tasks.spawn(async move { (get(addr, &daily(&name, &key)).await, key) });
    }
    while let Some(done) = tasks.join_next().await {
        let (answer, key) = done.unwrap();
        assert!(answer.has_data() != answer.is_refusal());
        let seen = seen.entry(key).or_default();
        if answer.has_data() { seen.0 += 1 } else { seen.1 += 1 }
    }
    let page = get(running.addr(), "/stats?symbols=1").await.json();
    let mut told: Stats = serde_json::from_value({
        let mut page = page.clone();
        page.as_object_mut().unwrap().remove("symbols").unwrap();
        page
    })
    .unwrap();
    let own = running.stats();
    (told.connections, told.open_connections) = (own.connections, own.open_connections);
    assert_eq!(told, own);
    assert_eq!((told.requests, told.admitted, told.refused, told.served), (120, 90, 30, 90));
    for stats in &told.keys[..3] {
        assert_eq!(seen[&stats.key], (stats.admitted, stats.refused));
        assert_eq!((stats.peak_in_window, stats.peak_admitted_in_window), (40, 30));
    }
    let symbols = page["symbols"].as_object().unwrap();
    assert!(symbols.keys().eq(names.iter()), "those asked for and no other");
    assert!(symbols.values().all(|stats| stats["asked"] == 6));
    assert_eq!(symbols.values().map(|stats| stats["served"].as_u64().unwrap()).sum::<u64>(), 90);
    assert!(get(running.addr(), "/stats").await.json().get("symbols").is_none(), "only when asked");

    get(running.addr(), &daily("AAPL", "k4")).await;
    let since = running.stats().since(&own);
    assert_eq!((since.requests, since.admitted, since.refused), (1, 1, 0));
    assert_eq!(since.keys[3].admitted, 1);
}

#[tokio::test]
async fn the_server_counts_before_it_answers() {
    let delay = Duration::from_secs(2);
    let running = start(Config { latency: Latency::Fixed { delay }, ..open() }).await;
    let begun = Instant::now();
    let (addr, target) = (running.addr(), daily("IBM", "k1"));
    let answer = tokio::spawn(async move { get(addr, &target).await });
    while running.stats().admitted == 0 {
        assert!(begun.elapsed() < delay, "counted too late");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let counted = begun.elapsed();
    assert!(counted >= delay / 4 - Duration::from_millis(2), "counted at once: {counted:?}");
    assert!(!answer.is_finished());
    assert!(answer.await.unwrap().has_data());
    assert!(begun.elapsed() >= delay);
}
