//! Each rule with a row that breaks it and its neighbour that does not.

use tidemill_market::{Adapter, Ask, Checks, Class, Format, Header, Interval, Provisional, Rule};

use crate::shared::{alpha, always, day, flagged, read, rules, xnys};

fn daily(rows: &[&str], checks: &Checks) -> tidemill_market::Reading {
    read(&Adapter::alpha_vantage(Format::Json), &Ask::daily("AAPL"), &alpha("AAPL", rows), checks)
}

const GOOD: &str = "2024-01-02 10 12 9 11 100";

#[test]
fn rows_that_break_a_rule_are_kept_aside_with_their_bytes() {
    let bad = [
        ("2024-02-30 10 12 9 11 100", Rule::V1),
        ("20240103 10 12 9 11 100", Rule::V1),
        ("2024-01-03 NaN 12 9 11 100", Rule::V3),
        ("2024-01-03 10 inf 9 11 100", Rule::V3),
        ("2024-01-03 10 12 0 11 100", Rule::V3),
        ("2024-01-03 10 12 -9 11 100", Rule::V3),
        ("2024-01-03 10 1e999 9 11 100", Rule::V3),
        ("2024-01-03 10 10.5 9 11 100", Rule::V4),
        ("2024-01-03 10 12 10.5 11 100", Rule::V4),
        ("2024-01-03 10 12 9 11 -1", Rule::V5),
        ("2024-01-03 10 12 9 11 1.5", Rule::V5),
        ("2024-01-03 10 12 9 11 1e300", Rule::V5),
        ("2024-01-01 10 12 9 11 100", Rule::V6),
        ("2024-01-06 10 12 9 11 100", Rule::V6),
        ("2026-11-20 10 12 9 11 100", Rule::V12),
        ("2026-11-23 10 12 9 11 100", Rule::V12),
        ("2024-01-03 ten 12 9 11 100", Rule::V15),
        ("2024-01-03 10 12 9 11 many", Rule::V15),
    ];
    for (row, rule) in bad {
        let reading = daily(&[row, GOOD], &xnys());
        assert_eq!((reading.class, reading.received, reading.bars.len()), (Class::Ok, 2, 1), "{row}");
        assert_eq!(rules(&reading), [rule], "{row}: {}", reading.quarantined[0].reason);
        let raw = String::from_utf8(reading.quarantined[0].raw.clone()).unwrap();
        let fields: Vec<&str> = row.split(' ').collect();
        assert!(raw.starts_with(&format!("\"{}\": {{", fields[0])) && raw.ends_with('}'), "{raw}");
        assert!(fields.iter().all(|field| raw.contains(&format!("\"{field}\""))), "{raw}");
        // The row stands alone: nothing is a success, and nothing is lost.
        let alone = daily(&[row], &xnys());
        let class = if rule == Rule::V12 { Class::Ok } else { Class::Malformed };
        assert_eq!((alone.class, alone.quarantined.len()), (class, 1), "{row}");
    }
}

#[test]
fn fields_missing_doubled_or_of_another_kind() {
    let alpha_vantage = Adapter::alpha_vantage(Format::Json);
    for (from, to, why) in [
        ("            \"4. close\": \"11\",\n", "", "close is missing"),
        ("\"4. close\": \"11\"", "\"4. close\": null", "close is null"),
        ("\"4. close\": \"11\"", "\"4. close\": [11]", "close is neither number nor text"),
        ("\"4. close\": \"11\"", "\"4. close\": \"11\", \"4. close\": \"11\"", "close stands twice"),
        ("\"4. close\": \"11\"", "\"4. close\": \"\"", "close \"\" is no number"),
    ] {
        let body = alpha("AAPL", &[GOOD]);
        assert!(body.contains(from));
        let reading = read(&alpha_vantage, &Ask::daily("AAPL"), &body.replace(from, to), &xnys());
        assert_eq!((reading.class, rules(&reading)), (Class::Malformed, vec![Rule::V15]));
        assert_eq!(reading.quarantined[0].reason, why);
    }
    let csv = "timestamp,open,high,low,close,volume\n2024-01-02,10,12,9,11,100\n2024-01-03,10,12,9,11\n";
    let reading = read(&Adapter::alpha_vantage(Format::Csv), &Ask::daily("AAPL"), csv, &xnys());
    assert_eq!((reading.bars.len(), rules(&reading)), (1, vec![Rule::V15]));
    assert_eq!(reading.quarantined[0].raw, b"2024-01-03,10,12,9,11");
    let long = csv.replace(",9,11\n", ",9,11,100,7\n");
    let reading = read(&Adapter::alpha_vantage(Format::Csv), &Ask::daily("AAPL"), &long, &xnys());
    assert_eq!((reading.bars.len(), rules(&reading)), (1, vec![Rule::V15]));
    let cut = read(&Adapter::alpha_vantage(Format::Csv), &Ask::daily("AAPL"), csv.trim_end(), &xnys());
    assert!(flagged(&cut).contains(&Rule::V15));
}

#[test]
fn equal_rows_count_once_and_contradicting_rows_not_at_all() {
    let twin = daily(&["2024-01-03 10 12 9 11 5", GOOD, GOOD], &xnys());
    assert_eq!((twin.received, twin.bars.len(), twin.duplicates, rules(&twin)), (3, 2, 1, vec![]));
    let odd = daily(&["2024-01-03 10 12 9 11 5", GOOD, "2024-01-02 10 12 9 11 101", GOOD], &xnys());
    assert_eq!((odd.received, odd.bars.len(), odd.duplicates), (4, 1, 0));
    assert_eq!(rules(&odd), [Rule::V2; 3]);
    let raws: Vec<_> =
        odd.quarantined.iter().map(|row| String::from_utf8_lossy(&row.raw).contains("101")).collect();
    assert_eq!(raws.iter().filter(|has| **has).count(), 1);
}

#[test]
fn rows_in_any_order_come_out_ascending() {
    let rows = ["2024-01-02 10 12 9 11 1", "2024-01-04 10 12 9 11 3", "2024-01-03 10 12 9 11 2"];
    let mixed = daily(&rows, &xnys());
    assert_eq!(flagged(&mixed), [Rule::V1]);
    let mut sorted = rows;
    sorted.sort_unstable();
    let up = daily(&sorted, &xnys());
    sorted.reverse();
    let down = daily(&sorted, &xnys());
    assert_eq!((&up.bars, &up.bars), (&mixed.bars, &down.bars));
    assert_eq!((up.flags, down.flags), (vec![], vec![]));
}

#[test]
fn tick_and_declared_kinds_widen_the_rules() {
    let near = ["2024-01-02 10 10.99 9 11 100"];
    assert_eq!(rules(&daily(&near, &xnys())), [Rule::V4]);
    assert_eq!(rules(&daily(&near, &Checks { tick: 0.01, ..xnys() })), []);
    let negative = ["2024-01-02 -1 2 -3 1 100"];
    assert_eq!(rules(&daily(&negative, &Checks { negative_prices: true, ..xnys() })), []);
    let fraction = ["2024-01-02 10 12 9 11 0.5"];
    assert_eq!(daily(&fraction, &Checks { fractional_volume: true, ..xnys() }).bars.volume.get(0), Some(0.5));
    assert_eq!(rules(&daily(&["2024-01-06 10 12 9 11 100"], &always())), []);
}

#[test]
fn todays_bar_is_held_back_until_the_close() {
    let row = ["2026-11-20 10 12 9 11 100"];
    let at =
        |hour: i64| Checks { now_ns: day("2026-11-20").midnight_ns() + hour * 3_600_000_000_000, ..xnys() };
    assert_eq!(rules(&daily(&row, &at(20))), [Rule::V12]);
    assert_eq!(rules(&daily(&row, &at(21))), []);
    let kept = daily(&row, &Checks { provisional: Provisional::Keep, ..at(20) });
    assert_eq!((kept.bars.len(), flagged(&kept)), (1, vec![Rule::V12]));
    let without = Checks { calendar: None, ..at(23) };
    assert_eq!(rules(&daily(&row, &without)), [Rule::V12]);
    assert_eq!(rules(&daily(&row, &Checks { calendar: None, ..at(24) })), []);
}

#[test]
fn intraday_rows_keep_to_sessions_grid_and_zone() {
    let adapter = Adapter::alpha_vantage(Format::Csv);
    let ask = Ask { interval: Interval::Minute(5), ..Ask::daily("AAPL") };
    let one = |time: &str| {
        let body = format!("timestamp,open,high,low,close,volume\n{time},10,12,9,11,100\n");
        read(&adapter, &ask, &body, &xnys())
    };
    assert_eq!(one("2024-01-02 09:30:00").flags, []);
    assert_eq!(flagged(&one("2024-01-02 16:00:00")), [Rule::V6]);
    assert_eq!(rules(&one("2024-01-02 09:31:00")), [Rule::V6]);
    let named_after = |times: &[&str]| {
        let lines: String = times.iter().map(|time| format!("2024-01-02 {time},10,12,9,11,100\n")).collect();
        let body = format!("timestamp,open,high,low,close,volume\n{lines}");
        let reading = read(&adapter, &ask, &body, &xnys());
        reading.flags.iter().filter(|flag| flag.reason.contains("name the end")).count()
    };
    assert_eq!(named_after(&["09:35", "12:00", "16:00"]), 1);
    assert_eq!(named_after(&["09:30", "12:00", "15:55"]), 0);
    assert_eq!(named_after(&["09:30", "12:00", "16:00"]), 0);
    assert_eq!(rules(&one("2024-01-01 09:30:00")), [Rule::V6]);
    assert_eq!(rules(&one("2024-03-10 02:30:00")), [Rule::V1]);
    assert_eq!(rules(&one("2024-01-02")), [Rule::V1]);

    let body = |zone: &str| {
        format!(
            r#"{{"Meta Data":{{"2. Symbol":"AAPL","6. Time Zone":"{zone}"}},"Time Series (5min)":{{"2024-01-02 09:30:00":
            {{"1. open":"10","2. high":"12","3. low":"9","4. close":"11","5. volume":"100"}}}}}}"#
        )
    };
    let json = Adapter::alpha_vantage(Format::Json);
    assert_eq!(rules(&read(&json, &ask, &body("US/Eastern"), &xnys())), []);
    assert_eq!(rules(&read(&json, &ask, &body("Asia/Tokyo"), &xnys())), [Rule::V13]);
}

#[test]
fn header_changes_and_foreign_symbols() {
    let body = r#"{"meta":{"symbol":"aapl","currency":"EUR"},"values":[
        {"datetime":"2024-01-02","open":"10","high":"12","low":"9","close":"11","volume":"100"}],"status":"ok"}"#;
    let wanted = Header { currency: Some("USD".into()), ..Header::default() };
    let reading =
        read(&Adapter::twelve_data(), &Ask::daily("AAPL"), body, &Checks { header: wanted, ..xnys() });
    assert_eq!((reading.bars.len(), flagged(&reading)), (1, vec![Rule::V13]));
    let reading = read(&Adapter::twelve_data(), &Ask::daily("MSFT"), body, &xnys());
    assert_eq!((reading.class, rules(&reading)), (Class::Malformed, vec![Rule::V14]));
    assert!(reading.message.unwrap().contains("aapl"));
}

#[test]
fn series_rules_flag_and_hold_nothing_back() {
    let dates: Vec<String> = (0..60)
        .map(|n| day("2024-01-02").plus_days(n))
        .filter(|date| tidemill_market::Calendar::xnys().is_session(*date))
        .map(|date| date.to_string())
        .collect();
    let series = |close: &dyn Fn(usize) -> (f64, i64)| -> Vec<String> {
        let bar = |(n, date): (usize, &String)| {
            let (price, volume) = close(n);
            format!("{date} {price} {price} {price} {price} {volume}")
        };
        dates.iter().enumerate().map(bar).collect()
    };
    let flags = |rows: Vec<String>| {
        let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
        let reading = daily(&rows, &xnys());
        assert_eq!(reading.bars.len(), rows.len());
        flagged(&reading)
    };
    let wave = |n: usize| 100.0 + (n * n * n % 23) as f64 / 8.0;
    assert_eq!(flags(series(&|n| (wave(n), 1000 + n as i64))), []);
    assert_eq!(
        flags(series(&|n| (if n < 20 { wave(n) } else { wave(n) / 2.0 }, 1000 + n as i64))),
        [Rule::V9]
    );
    assert_eq!(
        flags(series(&|n| (if n == 20 { wave(n) * 100.0 } else { wave(n) }, 1000 + n as i64))),
        [Rule::V9]
    );
    assert_eq!(
        flags(series(&|n| (if n < 20 { wave(n) } else { wave(n) * 1.42 }, 1000 + n as i64))),
        [Rule::V8]
    );
    assert_eq!(
        flags(series(&|n| (if n > 30 { 100.0 } else { wave(n) }, if n > 30 { 0 } else { 5 }))),
        [Rule::V10]
    );
    assert_eq!(
        flags(series(&|n| (wave(n - usize::from(n == 9)), 1000 + (n - usize::from(n == 9)) as i64))),
        [Rule::V11]
    );
    let mut gap = series(&|n| (wave(n), 1000 + n as i64));
    gap.remove(7);
    assert_eq!(flags(gap), [Rule::V7]);
}
