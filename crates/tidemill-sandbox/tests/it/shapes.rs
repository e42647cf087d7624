//! The shapes of answers: both dialects, their errors, and the pages about the sandbox itself.

use tidemill_sandbox::{Config, InvalidKeyStyle, Sandbox};

use crate::client::{daily, get, get_with, open, start};

#[tokio::test]
async fn alpha_vantage_json_has_its_keys_newest_first_all_text() {
    let running = start(open()).await;
    let answer = get(running.addr(), &daily("IBM", "k1")).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    let json = answer.json();
    assert_eq!(json["Meta Data"]["2. Symbol"], "IBM");
    assert_eq!(json["Meta Data"]["3. Last Refreshed"], "2013-03-01");
    assert_eq!(json["Meta Data"]["4. Output Size"], "Compact");
    let days = json["Time Series (Daily)"].as_object().unwrap();
    assert_eq!(days.len(), 100);
    let newest = &days["2013-03-01"];
    let fields: Vec<_> = newest.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(fields, ["1. open", "2. high", "3. low", "4. close", "5. volume"]);
    assert_eq!(newest["1. open"].as_str().unwrap().split_once('.').unwrap().1.len(), 4);
    assert!(newest["5. volume"].as_str().unwrap().parse::<u64>().is_ok());
    // The order of the text, which a map would hide.
    let at = |date| answer.text().find(&format!("\"{date}\": {{")).unwrap();
    assert!(at("2013-03-01") < at("2013-02-28"));
    let full = get(running.addr(), &format!("{}&outputsize=full", daily("IBM", "k1"))).await.json();
    assert_eq!(full["Time Series (Daily)"].as_object().unwrap().len(), 3270);
    assert_eq!(full["Meta Data"]["4. Output Size"], "Full size");
}

#[tokio::test]
async fn compact_is_the_newest_part_of_full() {
    let running = start(open()).await;
    for symbol in ["AAPL", "FB", "GSPC", "SYM0005", "SYM0777"] {
        let csv = |size| format!("{}&datatype=csv&outputsize={size}", daily(symbol, "k1"));
        let compact = get(running.addr(), &csv("compact")).await;
        let full = get(running.addr(), &csv("full")).await;
        assert_eq!(compact.header("content-type"), Some("text/csv"));
        assert_eq!(compact.text().lines().next(), Some("timestamp,open,high,low,close,volume"));
        assert_eq!(compact.text().lines().count(), 101);
        assert!(full.text().starts_with(compact.text()), "{symbol}");
        assert!(full.body.len() > compact.body.len());
    }
}

#[tokio::test]
async fn twelve_data_answers_singly_and_in_batches() {
    let running = start(open()).await;
    let ask = |rest: &str| format!("/time_series?interval=1day&apikey=k1&{rest}");
    let json = get(running.addr(), &ask("symbol=AAPL&outputsize=5")).await.json();
    assert_eq!((json["status"].as_str(), json["meta"]["symbol"].as_str()), (Some("ok"), Some("AAPL")));
    let values = json["values"].as_array().unwrap();
    assert_eq!(values.len(), 5);
    assert_eq!(values[0]["datetime"], "2013-03-01");
    assert_eq!(values[0]["close"].as_str().unwrap().split_once('.').unwrap().1.len(), 5);
    assert_eq!(get(running.addr(), &ask("symbol=AAPL")).await.json()["values"].as_array().unwrap().len(), 30);

    let batch = get(running.addr(), &ask("symbol=AAPL,NO%22NE,SYM0006&outputsize=1")).await.json();
    assert_eq!(batch["AAPL"]["status"], "ok");
    assert_eq!(batch["SYM0006"]["values"].as_array().unwrap().len(), 1);
    assert_eq!(
        (batch["NO\"NE"]["code"].as_u64(), batch["NO\"NE"]["status"].as_str()),
        (Some(400), Some("error"))
    );

    assert_eq!(get(running.addr(), &ask("symbol=NONE")).await.json()["code"], 404);
    let many = |count: usize, bars: usize| {
        ask(&format!("symbol={}&outputsize={bars}", vec!["IBM"; count].join(",")))
    };
    assert!(get(running.addr(), &many(5, 4000)).await.body.len() < 2_500_000);
    for beyond in [many(5, 4001), many(121, 1)] {
        assert_eq!(get(running.addr(), &beyond).await.json()["code"], 400);
    }
    for wrong in ["/time_series?symbol=AAPL&apikey=k1", &ask("outputsize=3"), &ask("symbol=IBM&outputsize=0")]
    {
        assert_eq!(get(running.addr(), wrong).await.json()["code"], 400, "{wrong}");
    }
    let by_header = "/time_series?symbol=AAPL&interval=1day";
    assert_eq!(get(running.addr(), by_header).await.json()["code"], 401);
    let answer = get_with(running.addr(), by_header, "authorization: apikey k2\r\n").await;
    assert_eq!(answer.json()["status"], "ok");
    assert_eq!(running.stats().keys[1].admitted, 1);
}

#[tokio::test]
async fn what_cannot_be_answered_says_so_and_costs_nothing() {
    let running = start(open()).await;
    for wrong in [
        "/query?function=OVERVIEW&symbol=IBM&apikey=k1",
        "/query?function=TIME_SERIES_DAILY&apikey=k1",
        "/query?function=TIME_SERIES_DAILY&symbol=IBM&apikey=k1&outputsize=huge",
        "/query?function=TIME_SERIES_DAILY&symbol=IBM&apikey=k1&datatype=xml",
        "/query",
    ] {
        let answer = get(running.addr(), wrong).await;
        assert_eq!(answer.status, 200);
        assert!(answer.json()["Error Message"].as_str().unwrap().contains("Invalid API call"), "{wrong}");
    }
    let stats = running.stats();
    assert_eq!((stats.requests, stats.bad_request, stats.admitted), (5, 5, 0));
    // An unknown symbol is a question like any other and is counted.
    let answer = get(running.addr(), &daily("NOSUCH", "k1")).await;
    assert!(answer.status == 200 && answer.json().get("Error Message").is_some());
    let stats = running.stats();
    assert_eq!((stats.admitted, stats.unknown_symbol, stats.served), (1, 1, 0));
    assert_eq!(get(running.addr(), "/nothing").await.status, 404);
}

#[tokio::test]
async fn an_unknown_key_is_told_in_the_configured_way() {
    for (style, status) in [(InvalidKeyStyle::ErrorMessage, 200), (InvalidKeyStyle::Unauthorized, 401)] {
        let running = start(Config { invalid_key: style, ..open() }).await;
        for target in [daily("IBM", "wrong"), daily("IBM", "")] {
            let answer = get(running.addr(), &target).await;
            assert_eq!(answer.status, status);
            assert!(answer.json()["Error Message"].as_str().unwrap().contains("apikey"));
        }
        assert_eq!((running.stats().invalid_key, running.stats().admitted), (2, 0));
    }
    let any = start(Config { keys: Vec::new(), ..open() }).await;
    assert!(get(any.addr(), &daily("IBM", "whoever")).await.has_data());
    assert_eq!(any.stats().keys[0].key, "whoever");
}

#[tokio::test]
async fn the_listing_is_what_it_serves() {
    let config = Config { symbols: 12, ..open() };
    let sandbox = Sandbox::builder(config.clone()).build().unwrap();
    let running = start(config).await;
    let listing = get(running.addr(), "/symbols").await;
    let names: Vec<_> = listing.text().lines().map(String::from).collect();
    assert_eq!(names, sandbox.symbols().collect::<Vec<_>>());
    assert_eq!(names.len(), 12);
    for name in names {
        assert!(get(running.addr(), &daily(&name, "k1")).await.has_data(), "{name}");
    }
    assert!(!get(running.addr(), &daily("SYM0012", "k1")).await.has_data());
    assert!(get(running.addr(), &daily("GSPC", "k1")).await.has_data(), "the index is answered unlisted");
}
