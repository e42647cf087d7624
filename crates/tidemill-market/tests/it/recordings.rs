//! Answers that others recorded, where they stand beside the repository.

use tidemill_market::{Adapter, Ask, Calendar, Class, Date, Format, Interval, Rule, Volume};

use crate::shared::{always, flagged, read, read_status, rules, shared_text, xnys};

fn recording(name: &str) -> Option<String> {
    shared_text(&format!("recordings/{name}"))
}

fn body_of(fixture: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(fixture).unwrap();
    serde_json::to_string(&value["response"]["bodyJson"]).unwrap()
}

#[test]
fn alpha_vantage() {
    if let Some(body) = recording("alpha_vantage/TIME_SERIES_DAILY_42a08190.csv") {
        let reading = read(&Adapter::alpha_vantage(Format::Csv), &Ask::daily("IBM"), &body, &xnys());
        assert_eq!((reading.class, reading.received, rules(&reading).len()), (Class::Ok, 100, 0));
        assert_eq!(reading.bars.close.last(), Some(&219.3));
    }
    if let Some(body) = recording("alpha_vantage/TIME_SERIES_DAILY_ADJUSTED_572d0539.csv") {
        let reading = read(&Adapter::alpha_vantage(Format::Csv), &Ask::daily("IBM"), &body, &xnys());
        assert_eq!((reading.class, rules(&reading).len()), (Class::Ok, 0));
        assert!(reading.received >= 100);
        assert!(!flagged(&reading).contains(&Rule::V15), "{:?}", reading.flags);
    }
    if let Some(body) = recording("alpha_vantage/TIME_SERIES_INTRADAY_3dbdcdc7.csv") {
        let ask = Ask { interval: Interval::Minute(5), ..Ask::daily("IBM") };
        let reading = read(&Adapter::alpha_vantage(Format::Csv), &ask, &body, &xnys());
        assert_eq!((reading.class, reading.received, rules(&reading).len()), (Class::Ok, 100, 0));
        // 19:55 in New York on a summer Friday is 23:55 UTC.
        let day = Date::new(2026, 5, 15).unwrap().midnight_ns();
        assert_eq!(reading.bars.ts_ns.last(), Some(&(day + (23 * 60 + 55) * 60_000_000_000)));
    }
    if let Some(body) = recording("alpha_vantage/mock_time_series") {
        let ask = Ask { interval: Interval::Minute(1), ..Ask::daily("MSFT") };
        let reading = read(&Adapter::alpha_vantage(Format::Json), &ask, &body, &xnys());
        assert_eq!((reading.class, reading.received, rules(&reading).len()), (Class::Ok, 100, 0));
        let wrong = Ask { symbol: "AAPL", ..ask };
        let reading = read(&Adapter::alpha_vantage(Format::Json), &wrong, &body, &xnys());
        assert_eq!((reading.class, rules(&reading)), (Class::Malformed, vec![Rule::V14; 100]));
    }
}

#[test]
fn other_answers_are_never_taken_for_bars() {
    let foreign = [
        "alpha_vantage/MARKET_STATUS_b3880d61.json",
        "alpha_vantage/SPLITS_358e2618.csv",
        "alpha_vantage/global_quote",
        "alpha_vantage/symbol_search",
        "binance/exchange_info_response.json",
        "polygon/splits.json",
        "polygon/quotes_page1.json",
        "twelvedata/batch_time_series.json",
        "twelvedata/batch_error.json",
        "feeds/rss_2.0_bbc.xml",
        "feeds/jsonfeed_elastic_1.1.json",
        "feeds/atom_example_reddit.xml",
    ];
    for body in foreign.iter().filter_map(|name| recording(name)) {
        for name in Adapter::names() {
            let reading = read(&Adapter::by_name(name).unwrap(), &Ask::daily("IBM"), &body, &always());
            assert_ne!(reading.class, Class::Ok, "{name}");
        }
    }
    if let Some(body) = recording("alpha_vantage/REALTIME_BULK_QUOTES_505ed5cc.json") {
        let reading = read(&Adapter::alpha_vantage(Format::Json), &Ask::daily("IBM"), &body, &always());
        assert!(!reading.class.is_ok());
    }
}

#[test]
fn polygon() {
    if let Some(body) = recording("polygon/aggs_AAPL_1_day.json") {
        let reading = read(&Adapter::by_name("polygon").unwrap(), &Ask::daily("AAPL"), &body, &xnys());
        assert_eq!((reading.class, reading.bars.len()), (Class::Ok, 2));
        let dates: Vec<String> =
            reading.bars.ts_ns.iter().map(|ts| Date::from_ts_ns(*ts).to_string()).collect();
        assert_eq!(dates, ["2005-04-01", "2005-04-04"]);
        assert_eq!(reading.bars.volume, Volume::Whole(vec![642_646_396, 578_172_308]));
    }
}

#[test]
fn binance_and_coinbase() {
    if let Some(body) = recording("binance/klines_response.json") {
        let reading = read(&Adapter::by_name("binance").unwrap(), &Ask::daily("ETHBTC"), &body, &always());
        assert_eq!((reading.class, reading.bars.len()), (Class::Ok, 1));
        assert_eq!(reading.bars.volume, Volume::Fractional(vec![148_976.114_278_15]));
    }
    if let Some(body) = recording("coinbase/http_candles.json") {
        let ask = Ask { interval: Interval::Hour(1), ..Ask::daily("BTC-USD") };
        let reading = read(&Adapter::by_name("coinbase").unwrap(), &ask, &body, &always());
        assert_eq!((reading.class, reading.bars.len()), (Class::Ok, 2));
        assert_eq!(reading.bars.open, [65984.18, 66312.4]);
    }
}

#[test]
fn yahoo() {
    let yahoo = Adapter::by_name("yahoo").unwrap();
    if let Some(fixture) = recording("yahoo/chart-AAPL-2020-08-31-to-2020-11-07.json") {
        let reading = read(&yahoo, &Ask::daily("AAPL"), &body_of(&fixture), &xnys());
        assert_eq!((reading.class, rules(&reading)), (Class::Ok, vec![]));
        let (first, last) =
            (Date::from_ts_ns(reading.bars.ts_ns[0]), Date::from_ts_ns(*reading.bars.ts_ns.last().unwrap()));
        assert_eq!(reading.bars.len(), Calendar::xnys().sessions_between(first, last));
        assert_eq!(reading.header.currency.as_deref(), Some("USD"));
    }
    if let Some(fixture) = recording("yahoo/chart-WSKT.JK-2020-01-01-to-2020-01-03.json") {
        let reading = read(&yahoo, &Ask::daily("WSKT.JK"), &body_of(&fixture), &always());
        assert_eq!((reading.class, reading.bars.len()), (Class::Ok, 1));
        assert_eq!(Date::from_ts_ns(reading.bars.ts_ns[0]).to_string(), "2020-01-02");
    }
    if let Some(fixture) = recording("yahoo/chart-notimestamp-quotes-length.fake.json") {
        let reading = read(&yahoo, &Ask::daily("AAPL"), &body_of(&fixture), &xnys());
        assert_eq!((reading.class, rules(&reading)), (Class::Malformed, vec![Rule::V15]));
    }
}

#[test]
fn tiingo_and_twelve_data() {
    if let Some(fixture) = recording("tiingo/ticker_price.yaml") {
        let body = &fixture[fixture.find("'[{").unwrap() + 1..fixture.find("}]'").unwrap() + 2];
        let reading = read(&Adapter::by_name("tiingo").unwrap(), &Ask::daily("GOOGL"), body, &xnys());
        assert_eq!((reading.class, reading.bars.len()), (Class::Ok, 1));
        assert_eq!(flagged(&reading), []);
    }
    if let Some(body) = recording("twelvedata/time_series_cross.json") {
        // Without volumes this is outside the contract: every row is kept aside, none is taken.
        let ask = Ask { interval: Interval::Minute(1), ..Ask::daily("JPY/BTC") };
        let reading = read(&Adapter::twelve_data(), &ask, &body, &always());
        assert_eq!(reading.class, Class::Malformed);
        assert!(reading.received > 20 && rules(&reading).iter().all(|rule| *rule == Rule::V15));
    }
    if let Some(fixture) = recording("tiingo/invalid_url.yaml") {
        let reading =
            read_status(&Adapter::by_name("tiingo").unwrap(), &Ask::daily("X"), 404, &fixture, &xnys());
        assert!(!reading.class.is_ok());
    }
}

/// The pairs of spoiled and repaired series: V8 and V9 speak on the spoiled prices and are silent on the repaired.
#[test]
fn spoiled_prices_are_flagged_and_repaired_ones_are_not() {
    let flags = |name: &str| -> Option<Vec<String>> {
        let text = recording(&format!("ohlcv_repair/{name}.csv"))?;
        let body: String = text
            .lines()
            .enumerate()
            .map(|(n, line)| {
                let v: Vec<&str> = line.split(',').collect();
                let time = if n == 0 { "timestamp" } else { &v[0][..10] };
                let low = |name: &str| name.to_ascii_lowercase();
                format!("{time},{},{},{},{},{}\n", low(v[1]), low(v[2]), low(v[3]), low(v[4]), low(v[6]))
            })
            .collect();
        let reading = read(&Adapter::alpha_vantage(Format::Csv), &Ask::daily("X"), &body, &always());
        assert_eq!((reading.class, rules(&reading)), (Class::Ok, vec![]), "{name}");
        let jumps = reading.flags.iter().filter(|f| matches!(f.rule, Rule::V8 | Rule::V9));
        Some(jumps.map(|f| format!("{} {}", f.rule, f.reason)).collect())
    };
    for spoiled in ["4063-T-1d-bad-stock-split", "AET-L-1d-100x-error"] {
        if let Some(found) = flags(spoiled) {
            assert!(found.iter().any(|f| f.starts_with("V9")), "{spoiled}: {found:?}");
        }
        if let Some(found) = flags(&format!("{spoiled}-fixed")) {
            assert_eq!(found, [""; 0], "{spoiled}-fixed");
        }
    }
    // Nothing is wrong with these prices: the dividend is missing from another column.
    for clean in
        ["8TRA-DE-1d-missing-div-adjust", "8TRA-DE-1d-missing-div-adjust-fixed", "CALM-1d-no-bad-divs"]
    {
        if let Some(found) = flags(clean) {
            assert_eq!(found, [""; 0], "{clean}");
        }
    }
}
