//! Requests: templates, encoding, and keys that never show.

use tidemill_market::{Adapter, Ask, Format, Interval};

use crate::shared::day;

const KEY: &str = "s3cr3t/key";

fn path(adapter: &str, ask: &Ask<'_>) -> String {
    Adapter::by_name(adapter).unwrap().request(ask, Some(KEY)).path_and_query
}

#[test]
fn requests_by_provider() {
    let recent = Ask::daily("BRK B");
    let range = Ask { start: Some(day("2024-01-02")), end: Some(day("2024-01-05")), ..Ask::daily("AAPL") };
    assert_eq!(
        path("alpha-vantage", &recent),
        "/query?function=TIME_SERIES_DAILY&symbol=BRK%20B&datatype=json&apikey=s3cr3t%2Fkey&outputsize=compact"
    );
    assert_eq!(
        path("alpha-vantage-csv", &Ask { interval: Interval::Minute(5), ..range }),
        "/query?function=TIME_SERIES_INTRADAY&symbol=AAPL&interval=5min&datatype=csv&apikey=s3cr3t%2Fkey&outputsize=full"
    );
    assert_eq!(
        path("twelve-data", &range),
        "/time_series?symbol=AAPL&interval=1day&start_date=2024-01-02&end_date=2024-01-05&outputsize=5000&format=JSON\
         &apikey=s3cr3t%2Fkey"
    );
    assert_eq!(
        path("polygon", &range),
        "/v2/aggs/ticker/AAPL/range/1/day/2024-01-02/2024-01-05?adjusted=false&sort=asc&limit=50000"
    );
    assert_eq!(
        path("binance", &Ask { symbol: "BTCUSDT", ..range }),
        "/api/v3/klines?symbol=BTCUSDT&interval=1d&startTime=1704153600000&endTime=1704499199999&limit=1000"
    );
    assert_eq!(path("tiingo", &Ask::daily("GOOGL")), "/tiingo/daily/GOOGL/prices?format=json");
    assert_eq!(
        path("tiingo", &Ask::daily("../x?y#z&")),
        "/tiingo/daily/..%2Fx%3Fy%23z%26/prices?format=json"
    );
}

#[test]
fn no_key_shows() {
    for name in Adapter::names() {
        let adapter = Adapter::by_name(name).unwrap();
        let request = adapter.request(&Ask::daily("AAPL"), Some(KEY));
        for shown in [format!("{request:?}"), request.redacted().to_owned()] {
            assert!(!shown.contains("s3cr3t"), "{shown}");
        }
        let carries =
            request.path_and_query.contains("s3cr3t") || request.headers.iter().any(|(_, v)| v.contains(KEY));
        let keyless = ["yahoo", "binance", "coinbase"].contains(&name);
        assert_eq!(carries, !keyless, "{name}");
        assert_eq!(format!("{request:?}").contains("***"), !keyless, "{name}");
        let without = adapter.request(&Ask::daily("AAPL"), None);
        assert!(without.headers.is_empty() && !without.path_and_query.contains("apikey"), "{without:?}");
    }
}

#[test]
fn the_next_page_is_asked_of_the_same_host_with_the_key() {
    let ask = Ask::daily("AAPL");
    let polygon = Adapter::by_name("polygon").unwrap();
    let next =
        polygon.request_next(&ask, "https://elsewhere.example/v2/aggs?cursor=abc%3D", Some(KEY)).unwrap();
    assert_eq!(next.path_and_query, "/v2/aggs?cursor=abc%3D");
    assert_eq!(next.headers, [("Authorization".to_owned(), format!("Bearer {KEY}"))]);
    assert!(!format!("{next:?}").contains("s3cr3t"));
    let alpha = Adapter::alpha_vantage(Format::Json);
    let next = |address: &str| alpha.request_next(&ask, address, Some(KEY)).map(|r| r.path_and_query);
    assert_eq!(next("/query?page=2").unwrap(), "/query?page=2&apikey=s3cr3t%2Fkey");
    assert_eq!(next("https://x/query").unwrap(), "/query?apikey=s3cr3t%2Fkey");
    for bad in ["", "x", "https://x", "//evil/x", "/a b", "/a\r\nHost: x", "/\u{e9}", "/a#b"] {
        assert_eq!(next(bad), None, "{bad:?}");
    }
}

#[test]
fn intervals() {
    let alpha = Adapter::alpha_vantage(Format::Json);
    assert!(
        alpha.supports(Interval::Day)
            && alpha.supports(Interval::Minute(5))
            && !alpha.supports(Interval::Minute(7))
    );
    assert!(!Adapter::by_name("tiingo").unwrap().supports(Interval::Minute(1)));
}
