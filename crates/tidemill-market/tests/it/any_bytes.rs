//! What must hold for any bytes: no panic, a balanced account, and no success without a bar in a known shape.

use proptest::prelude::*;
use tidemill_market::{Adapter, Answer, Ask, Checks, Class, Format, Interval, Rule};

use crate::shared::{alpha, always, xnys};

fn holds(adapter: &Adapter, interval: Interval, status: u16, body: &[u8], checks: &Checks) {
    let ask = Ask { interval, ..Ask::daily("AAPL") };
    let reading = adapter.read(&ask, Answer { status, content_type: None, body }, checks);
    assert!(reading.balances());
    let bars = &reading.bars;
    assert!([&bars.open, &bars.high, &bars.low, &bars.close].iter().all(|column| column.len() == bars.len()));
    assert_eq!(bars.volume.len(), bars.len());
    assert!(bars.ts_ns.is_sorted_by(|a, b| a < b));
    for i in 0..bars.len() {
        let (low, high) = (bars.low[i], bars.high[i]);
        assert!(low > 0.0 && low <= high * (1.0 + 1e-8) && high.is_finite());
        assert!(bars.volume.get(i).unwrap() >= 0.0);
    }
    if reading.class == Class::Ok {
        assert!(status == 200 && reading.received > 0);
    } else {
        assert!(bars.is_empty() && reading.message.is_some());
    }
    assert!(reading.flags.iter().all(|flag| flag.rule != Rule::V20));
    // Every raw row stands in the body, or is a row of columns put together.
    for row in &reading.quarantined {
        let raw = &row.raw;
        let stands = raw.is_empty() || body.windows(raw.len()).any(|window| window == raw.as_slice());
        assert!(stands || raw.starts_with(b"["));
        assert!(!row.reason.is_empty());
    }
}

/// One valid answer per shape.
fn valid() -> Vec<(&'static str, String)> {
    let rows = ["2024-01-04 10 12 9 11 100", "2024-01-03 10.5 12 9 11 50", "2024-01-02 10 12.25 9.125 11 0"];
    vec![
        ("alpha-vantage", alpha("AAPL", &rows)),
        ("alpha-vantage-csv", format!("timestamp,open,high,low,close,volume\r\n{}\r\n", rows.join("\r\n").replace(' ', ","))),
        ("twelve-data", r#"{"meta":{"symbol":"AAPL"},"values":[{"datetime":"2024-01-02","open":"10","high":"12","low":"9","close":"11","volume":"5"},{"datetime":"2024-01-03","open":"10","high":"12","low":"9","close":"11","volume":"5"}],"status":"ok"}"#.into()),
        ("polygon", r#"{"ticker":"AAPL","status":"OK","results":[{"v":10.0,"vw":1.5,"o":1.5,"c":1.6,"h":1.7,"l":1.4,"t":1704171600000,"n":3}]}"#.into()),
        ("yahoo", r#"{"chart":{"result":[{"meta":{"symbol":"AAPL"},"timestamp":[1704205800,1704292200],"indicators":{"quote":[{"open":[2,null],"high":[3,3],"low":[1,1],"close":[2,2],"volume":[5,6]}]}}],"error":null}}"#.into()),
        ("binance", r#"[[1704153600000,"1.0","2.0","0.5","1.5","10.25",1704239999999,"3",4,"5","6","0"],[1704240000000,"1.0","2.0","0.5","1.5","1",1,"3",4,"5","6","0"]]"#.into()),
        ("coinbase", r#"{"candles":[{"start":"1704153600","low":"1","high":"3","open":"2","close":"2.5","volume":"0.5"}]}"#.into()),
        ("tiingo", r#"[{"close":2.5,"date":"2024-01-02T00:00:00.000Z","high":3.0,"low":1,"open":2,"volume":7}]"#.into()),
    ]
}

#[test]
fn the_seeds_are_valid() {
    for (name, body) in valid() {
        let answer = Answer { status: 200, content_type: None, body: body.as_bytes() };
        let reading = Adapter::by_name(name).unwrap().read(&Ask::daily("AAPL"), answer, &xnys());
        assert_eq!(reading.class, Class::Ok, "{name} {reading:?}");
    }
}

#[test]
fn every_prefix_of_an_answer_is_safe_and_no_cut_json_is_a_success() {
    for (name, body) in valid() {
        let adapter = Adapter::by_name(name).unwrap();
        for end in 0..body.len() {
            let answer = Answer { status: 200, content_type: None, body: &body.as_bytes()[..end] };
            let reading = adapter.read(&Ask::daily("AAPL"), answer, &xnys());
            assert!(reading.balances());
            if name != "alpha-vantage-csv" {
                assert_eq!((reading.class, reading.received), (Class::Malformed, 0), "{name} cut at {end}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes(body in prop::collection::vec(any::<u8>(), 0..200), status in 0u16..700) {
        for name in Adapter::names() {
            holds(&Adapter::by_name(name).unwrap(), Interval::Day, status, &body, &always());
        }
    }

    #[test]
    fn damaged_answers(which in 0usize..8, edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0usize..6), 1..6)) {
        let (name, body) = valid().swap_remove(which);
        let mut bytes = body.into_bytes();
        for (at, byte, drop) in edits {
            let at = at.index(bytes.len());
            let end = (at + drop).min(bytes.len());
            bytes.splice(at..end, [byte]);
        }
        let adapter = Adapter::by_name(name).unwrap();
        for interval in [Interval::Day, Interval::Minute(5)] {
            for checks in [xnys(), Checks { fractional_volume: true, ..always() }] {
                holds(&adapter, interval, 200, &bytes, &checks);
            }
        }
    }

    #[test]
    fn digits_for_digits(which in 0usize..8, swaps in prop::collection::vec((any::<prop::sample::Index>(), b'0'..=b'9'), 1..12)) {
        let (name, body) = valid().swap_remove(which);
        let mut bytes = body.into_bytes();
        let digits: Vec<usize> = (0..bytes.len()).filter(|i| bytes[*i].is_ascii_digit()).collect();
        for (at, digit) in swaps {
            bytes[digits[at.index(digits.len())]] = digit;
        }
        holds(&Adapter::by_name(name).unwrap(), Interval::Day, 200, &bytes, &xnys());
    }

    #[test]
    fn rows_of_any_kind_are_all_accounted_for(rows in prop::collection::vec((0u8..12, 1u8..29, 0u32..30, 0u32..30, 0u32..30, -2i64..5), 0..40)) {
        let lines: Vec<String> = rows
            .iter()
            .map(|(month, date, a, b, c, volume)| format!("2024-{month:02}-{date:02},{a},{b},{c},{a},{volume}"))
            .collect();
        let body = format!("timestamp,open,high,low,close,volume\n{}\n", lines.join("\n"));
        let answer = Answer { status: 200, content_type: None, body: body.as_bytes() };
        let reading = Adapter::alpha_vantage(Format::Csv).read(&Ask::daily("A"), answer, &xnys());
        prop_assert!(reading.balances());
        prop_assert_eq!(reading.received as usize, rows.len());
    }
}
