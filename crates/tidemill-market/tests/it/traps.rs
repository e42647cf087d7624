//! Golden answers for every provider's traps: what each one says when it does not send data.

use std::time::Duration;

use tidemill_market::{Adapter, Answer, Ask, Class, Date, Format, Interval, Refused, Rule, Volume};

use crate::shared::{always, day, flagged, read, read_status, rules, xnys};

const KEY: Class = Class::Refused(Refused::KeyRevoked);
const PLAN: Class = Class::Refused(Refused::NotEntitled);
const SYMBOL: Class = Class::Refused(Refused::UnknownSymbol);
const OTHER: Class = Class::Refused(Refused::Other);

#[track_caller]
fn expect(adapter: &str, cases: &[(u16, &str, Class)]) {
    let adapter = Adapter::by_name(adapter).unwrap();
    for (status, body, class) in cases {
        let reading = read_status(&adapter, &Ask::daily("AAPL"), *status, body, &always());
        assert_eq!(reading.class, *class, "{status} {body}\n{reading:?}");
        assert_eq!(reading.received, 0);
        let message = reading.message.unwrap();
        assert!(!message.is_empty() && message.chars().count() <= 300);
    }
}

#[test]
fn alpha_vantage_says_no_with_200_and_also_when_csv_was_asked() {
    let cases = [
        (
            200,
            r#"{"Note":"Thank you! Our standard API call frequency is 5 calls per minute."}"#,
            Class::Throttled,
        ),
        (
            200,
            r#"{"Information":"We have detected your key; our standard rate limit is 25 requests per day."}"#,
            Class::Throttled,
        ),
        (
            200,
            r#"{"Information":"Burst pattern detected. Consider no more than 5 requests per second."}"#,
            Class::Throttled,
        ),
        // A wording nobody has seen: no rows, so it is no success.
        (200, r#"{"Information":"Quiet please."}"#, Class::Throttled),
        (200, r#"{"Note":"Quiet please."}"#, Class::Throttled),
        (200, r#"{"Error Message":"Invalid API call. Please retry or visit the documentation."}"#, SYMBOL),
        (200, r#"{"Information":"Invalid API call for this function."}"#, SYMBOL),
        (200, r#"{"Error Message":"the parameter apikey is invalid or missing."}"#, KEY),
        (200, r#"{"Information":"The **demo** API key is for demo purposes only."}"#, KEY),
        (200, r#"{"Information":"This is a premium endpoint. You may subscribe."}"#, PLAN),
        (200, r#"{"Error Message":"Something else."}"#, OTHER),
        (200, "{}", Class::Malformed),
        (200, "", Class::Malformed),
        (200, include_str!("../../README.md"), Class::Malformed),
        (200, "[]", Class::Malformed),
        (200, "null", Class::Malformed),
        (200, r#"{"Time Series (Daily)": null}"#, Class::Malformed),
        (200, r#"{"Time Series (Daily)": []}"#, Class::Malformed),
        (200, r#"{"Time Series (5min)": {"2024-01-02": {}}}"#, Class::Malformed),
        (
            200,
            r#"{"Meta Data": {"2. Symbol": "AAPL"}, "Time Series (Daily)": {"2024-01-02": {"1. open": "1""#,
            Class::Malformed,
        ),
        (200, "<html><body>Please enable JavaScript</body></html>", Class::Blocked),
        (429, r#"{"error":"too many requests"}"#, Class::Throttled),
        (429, "<html>429</html>", Class::Throttled),
        (503, "<html>503</html>", Class::ServerError),
        (500, "", Class::ServerError),
        (502, "{", Class::ServerError),
        (404, r#"{"error":"no such symbol"}"#, SYMBOL),
        (404, "<html>not found</html>", OTHER),
        (403, "<html>Request Rate Threshold Exceeded</html>", Class::Blocked),
        (403, r#"{"error":"You don't have access to this resource."}"#, PLAN),
        (418, "", Class::Blocked),
        (401, "", KEY),
        (302, "", Class::Malformed),
        (204, "", Class::Malformed),
        (206, r#"{"Time Series (Daily)": {}}"#, Class::Malformed),
    ];
    expect("alpha-vantage", &cases);
    let is_json_rows = |body: &str| body.contains("Time Series");
    let csv: Vec<_> = cases.into_iter().filter(|(_, body, _)| !is_json_rows(body)).collect();
    expect("alpha-vantage-csv", &csv);
    expect(
        "alpha-vantage-csv",
        &[
            (200, "timestamp,open,high,low,close,volume\r\n", Class::Empty),
            (200, "Exceeded the daily hits limit", Class::Throttled),
            (200, "No data", Class::Malformed),
            (200, "timestamp,open,high,low,close\r\n2024-01-02,1,1,1,1\r\n", Class::Malformed),
            (
                200,
                "timestamp,open,open,high,low,close,volume\r\n2024-01-02,1,1,1,1,1,1\r\n",
                Class::Malformed,
            ),
        ],
    );
    expect("alpha-vantage", &[(200, r#"{"Time Series (Daily)": {}}"#, Class::Empty)]);
}

#[test]
fn a_page_for_people_is_a_wall() {
    let answer =
        Answer { status: 200, content_type: Some("text/html; charset=utf-8"), body: b"Just a moment" };
    let reading = Adapter::alpha_vantage(Format::Json).read(&Ask::daily("A"), answer, &xnys());
    assert_eq!(reading.class, Class::Blocked);
}

#[test]
fn waits_and_windows_come_from_the_words() {
    let alpha = Adapter::alpha_vantage(Format::Json);
    let body = r#"{"Information":"our standard rate limit is 25 requests per day."}"#;
    let reading = read(&alpha, &Ask::daily("A"), body, &xnys());
    assert_eq!(reading.quota_window, Some(Duration::from_secs(86_400)));
    assert_eq!(reading.message.unwrap(), "our standard rate limit is 25 requests per day.");
    let until = always().now_ns / 1_000_000 + 60_000;
    let body = format!(r#"{{"code":-1003,"msg":"Too many requests; IP banned until {until}."}}"#);
    let reading = read_status(&Adapter::by_name("binance").unwrap(), &Ask::daily("A"), 418, &body, &always());
    assert_eq!((reading.class, reading.retry_after), (Class::Blocked, Some(Duration::from_secs(60))));
}

#[test]
fn samples_without_entitlement_are_no_data() {
    let body = crate::shared::alpha("AAPL", &["2024-01-02 1 2 1 2 10"]);
    let body = body.replacen('{', r#"{"message":"These are sample rows; subscribe for real ones.","#, 1);
    let reading = read(&Adapter::alpha_vantage(Format::Json), &Ask::daily("AAPL"), &body, &xnys());
    assert_eq!((reading.class, rules(&reading)), (PLAN, vec![Rule::V16]));
    assert!(reading.message.unwrap().starts_with("These are sample rows"));
}

#[test]
fn twelve_data_carries_codes_in_the_body() {
    expect(
        "twelve-data",
        &[
            (
                200,
                r#"{"code":429,"message":"You have run out of API credits for the current minute.","status":"error"}"#,
                Class::Throttled,
            ),
            (429, r#"{"code":429,"message":"...","status":"error"}"#, Class::Throttled),
            (200, r#"{"code":401,"message":"**apikey** parameter is incorrect","status":"error"}"#, KEY),
            (200, r#"{"code":403,"message":"available in a higher plan","status":"error"}"#, PLAN),
            (200, r#"{"code":404,"message":"**symbol** not found","status":"error"}"#, SYMBOL),
            (
                200,
                r#"{"code":400,"message":"**symbol** not found: X. Please specify it","status":"error"}"#,
                SYMBOL,
            ),
            (200, r#"{"code":400,"message":"**interval** is wrong","status":"error"}"#, OTHER),
            (
                200,
                r#"{"code":400,"message":"No data is available on the specified dates.","status":"error"}"#,
                Class::Empty,
            ),
            (200, r#"{"code":500,"message":"oops","status":"error"}"#, Class::ServerError),
            (200, r#"{"status":"ok"}"#, Class::Malformed),
            (200, r#"{"status":"ok","values":{}}"#, Class::Malformed),
            (200, r#"{"status":"ok","values":[]}"#, Class::Empty),
            // Rows of nothing and an error: the error counts.
            (200, r#"{"code":429,"values":[],"status":"error"}"#, Class::Throttled),
        ],
    );
}

#[test]
fn polygon_delayed_is_success_and_pages_are_followed() {
    let polygon = Adapter::by_name("polygon").unwrap();
    let body = r#"{"ticker":"AAPL","resultsCount":1,"status":"DELAYED","next_url":"https://x/v2/aggs?cursor=abc",
        "results":[{"v":10.0,"vw":1.5,"o":1.5,"c":1.6,"h":1.7,"l":1.4,"t":1704171600000,"n":3}]}"#;
    let reading = read(&polygon, &Ask::daily("AAPL"), body, &xnys());
    assert_eq!((reading.class, reading.bars.volume.clone()), (Class::Ok, Volume::Whole(vec![10])));
    assert_eq!(reading.bars.ts_ns, [day("2024-01-02").midnight_ns()]);
    assert_eq!(reading.next.as_deref(), Some("https://x/v2/aggs?cursor=abc"));
    assert_eq!(reading.flags, []);
    expect(
        "polygon",
        &[
            (200, r#"{"ticker":"AAPL","queryCount":0,"resultsCount":0,"status":"OK"}"#, Class::Empty),
            (
                200,
                r#"{"status":"ERROR","error":"You've exceeded the maximum requests per minute, please wait."}"#,
                Class::Throttled,
            ),
            (401, r#"{"status":"ERROR","error":"Unknown API Key"}"#, KEY),
            (403, r#"{"status":"NOT_AUTHORIZED","message":"You are not entitled to this data."}"#, PLAN),
            (200, r#"{"status":"OK"}"#, Class::Malformed),
        ],
    );
}

#[test]
fn yahoo_has_nulls_and_no_timestamps_when_empty() {
    let yahoo = Adapter::by_name("yahoo").unwrap();
    let chart = |times: &str, open: &str| {
        format!(
            r#"{{"chart":{{"result":[{{"meta":{{"symbol":"AAPL","currency":"USD","exchangeTimezoneName":"America/New_York"}},
            {times} "indicators":{{"quote":[{{"open":{open},"high":[3,3],"low":[1,1],"close":[2,2],"volume":[5,6]}}]}}}}],"error":null}}}}"#
        )
    };
    // 2024-01-02 and 2024-01-03, 09:30 in New York.
    let times = r#""timestamp":[1704205800,1704292200],"#;
    let reading = read(&yahoo, &Ask::daily("AAPL"), &chart(times, "[2,null]"), &xnys());
    assert_eq!((reading.class, reading.bars.len(), rules(&reading)), (Class::Ok, 1, vec![Rule::V15]));
    assert_eq!(reading.quarantined[0].raw, b"[1704292200,null,3,1,2,6]");
    assert_eq!(reading.quarantined[0].ts, Some(day("2024-01-03").midnight_ns()));
    assert_eq!(reading.quarantined[0].reason, "open is null");
    // Columns of different lengths: the rows beyond are received and kept aside.
    let reading = read(&yahoo, &Ask::daily("AAPL"), &chart(times, "[2,2,2]"), &xnys());
    assert_eq!((reading.received, reading.bars.len(), rules(&reading)), (3, 2, vec![Rule::V15]));
    let reading = read(&yahoo, &Ask::daily("AAPL"), &chart("", "[2,2]"), &xnys());
    assert_eq!((reading.class, reading.received), (Class::Malformed, 2));
    // Jakarta's 09:00 is still the evening before in New York: the header's own offset dates the bar.
    let body = r#"{"chart":{"result":[{"meta":{"symbol":"WSKT.JK","gmtoffset":25200,"exchangeTimezoneName":"Asia/Jakarta"},
        "timestamp":[1577930400],"indicators":{"quote":[{"open":[2],"high":[3],"low":[1],"close":[2],"volume":[5]}]}}],"error":null}}"#;
    let reading = read(&yahoo, &Ask::daily("WSKT.JK"), body, &always());
    assert_eq!(reading.bars.ts_ns, [day("2020-01-02").midnight_ns()]);
    let unknown = body.replace("\"gmtoffset\":25200,", "");
    assert_eq!(rules(&read(&yahoo, &Ask::daily("WSKT.JK"), &unknown, &always())), [Rule::V13]);
    let minute = Ask { interval: Interval::Minute(5), ..Ask::daily("WSKT.JK") };
    assert_eq!(rules(&read(&yahoo, &minute, body, &always())), [Rule::V13]);
    expect(
        "yahoo",
        &[
            (
                200,
                r#"{"chart":{"result":[{"meta":{"symbol":"AAPL"},"indicators":{"quote":[{}]}}],"error":null}}"#,
                Class::Empty,
            ),
            (
                404,
                r#"{"chart":{"result":null,"error":{"code":"Not Found","description":"No data found"}}}"#,
                SYMBOL,
            ),
            (
                401,
                r#"{"finance":{"result":null,"error":{"code":"Unauthorized","description":"Invalid Crumb"}}}"#,
                Class::Blocked,
            ),
            (429, "Too Many Requests\r\n", Class::Throttled),
            (200, "Edge: Too Many Requests", Class::Throttled),
            (200, "<!DOCTYPE html><html>consent</html>", Class::Blocked),
            (200, r#"{"chart":{"result":[],"error":null}}"#, Class::Malformed),
        ],
    );
}

#[test]
fn binance_bans_and_rows_are_arrays() {
    let binance = Adapter::by_name("binance").unwrap();
    let row = |open_time: i64| {
        format!(r#"[{open_time},"1.0","2.0","0.5","1.5","10.25",{},"3",4,"5","6","0"]"#, open_time + 59_999)
    };
    let ask = Ask { interval: Interval::Minute(1), ..Ask::daily("BTCUSDT") };
    let reading =
        read(&binance, &ask, &format!("[{},{}]", row(1_700_000_040_000), row(1_700_000_100_000)), &always());
    assert_eq!((reading.class, reading.bars.volume.clone()), (Class::Ok, Volume::Fractional(vec![10.25; 2])));
    // Off the minute, and a row that is cut short.
    let reading =
        read(&binance, &ask, &format!("[{},[1700000100000,\"1\"],7]", row(1_700_000_041_000)), &always());
    assert_eq!((reading.class, rules(&reading)), (Class::Malformed, vec![Rule::V6, Rule::V15, Rule::V15]));
    assert_eq!(reading.quarantined[1].raw, br#"[1700000100000,"1"]"#);
    assert_eq!(reading.quarantined[2].raw, b"7");
    expect(
        "binance",
        &[
            (200, "[]", Class::Empty),
            (429, r#"{"code":-1003,"msg":"Too much request weight used."}"#, Class::Throttled),
            (200, r#"{"code":-1003,"msg":"Too much request weight used."}"#, Class::Throttled),
            (418, r#"{"code":-1003,"msg":"IP banned until 1800000000000."}"#, Class::Blocked),
            (400, r#"{"code":-1121,"msg":"Invalid symbol."}"#, SYMBOL),
            (403, "<html>waf</html>", Class::Blocked),
            (200, "{}", Class::Malformed),
        ],
    );
}

#[test]
fn coinbase_is_newest_first_and_all_text() {
    let coinbase = Adapter::by_name("coinbase").unwrap();
    let body = r#"{"candles":[{"start":"1712188800","low":"1","high":"3","open":"2","close":"2.5","volume":"0.5"},
                              {"start":"1712102400","low":"1","high":"3","open":"2","close":"2.25","volume":"0.25"}]}"#;
    let reading = read(&coinbase, &Ask::daily("BTC-USD"), body, &always());
    assert_eq!(reading.bars.close, [2.25, 2.5]);
    assert_eq!(reading.flags, []);
    expect("coinbase", &[(200, r#"{"candles":[]}"#, Class::Empty), (429, "{}", Class::Throttled)]);
}

#[test]
fn tiingo_says_detail() {
    let tiingo = Adapter::by_name("tiingo").unwrap();
    let body = r#"[{"adjClose":1,"close":2.5,"date":"2024-01-02T00:00:00.000Z","high":3.0,"low":1,"open":2,"volume":7,"newField":1}]"#;
    let reading = read(&tiingo, &Ask::daily("AAPL"), body, &xnys());
    assert_eq!((reading.class, flagged(&reading)), (Class::Ok, vec![Rule::V15]));
    assert_eq!(Date::from_ts_ns(reading.bars.ts_ns[0]).to_string(), "2024-01-02");
    expect(
        "tiingo",
        &[
            (
                200,
                r#"{"detail":"Error: You have run over your hourly request allocation."}"#,
                Class::Throttled,
            ),
            (
                429,
                r#"{"detail":"Error: You have run over your hourly request allocation."}"#,
                Class::Throttled,
            ),
            (200, r#"{"detail":"You have run over your monthly unique symbol limit."}"#, PLAN),
            (401, r#"{"detail":"Invalid token."}"#, KEY),
            (404, r#"{"detail":"Not found."}"#, SYMBOL),
            (200, "[]", Class::Empty),
        ],
    );
}

#[test]
fn bodies_beyond_their_bounds_are_not_read() {
    let alpha = Adapter::alpha_vantage(Format::Json);
    let body = crate::shared::alpha("AAPL", &["2024-01-03 1 2 1 2 10", "2024-01-02 1 2 1 2 10"]);
    let ask = Ask::daily("AAPL");
    for checks in [
        tidemill_market::Checks { max_rows: 1, ..xnys() },
        tidemill_market::Checks { max_body: 100, ..xnys() },
        tidemill_market::Checks { max_depth: 2, ..xnys() },
    ] {
        let reading = read(&alpha, &ask, &body, &checks);
        assert_eq!((reading.class, reading.received), (Class::Malformed, 0));
    }
    assert_eq!(read(&alpha, &ask, &body, &tidemill_market::Checks { max_rows: 2, ..xnys() }).bars.len(), 2);
    let latin = Answer { status: 200, content_type: None, body: b"{\"Note\":\"caf\xe9\"}" };
    assert_eq!(alpha.read(&ask, latin, &xnys()).class, Class::Malformed);
    assert_eq!(read(&alpha, &ask, &format!("\u{feff}{body}"), &xnys()).bars.len(), 2);
}
