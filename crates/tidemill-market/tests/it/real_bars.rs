//! Every real bar passes: five series of 2000 to 2013, as two providers would send them.

use std::collections::BTreeMap;

use tidemill_market::{Adapter, Ask, Format, Rule, Volume};

use crate::shared::{alpha, read, rules, shared_text, xnys};

/// Ticker to `date open high low close volume`, newest first.
fn series() -> Option<BTreeMap<String, Vec<String>>> {
    let text = shared_text("data/us5_daily_raw.csv")?;
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in text.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        all.entry(fields[0].to_owned()).or_default().insert(0, fields[1..7].join(" "));
    }
    Some(all)
}

#[test]
fn all_twelve_thousand_pass_as_alpha_vantage_json_and_csv_and_twelve_data() {
    let Some(all) = series() else { return };
    let mut bars = 0;
    for (symbol, rows) in all {
        let ask = Ask::daily(&symbol);
        let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
        let json = read(&Adapter::alpha_vantage(Format::Json), &ask, &alpha(&symbol, &rows), &xnys());
        assert_eq!(rules(&json), [], "{symbol}: {:?}", json.quarantined.first());
        assert_eq!(json.received as usize, rows.len());
        assert_eq!(json.duplicates, 0);
        let Volume::Whole(volume) = &json.bars.volume else { panic!("volumes are whole") };
        let oldest: Vec<&str> = rows[rows.len() - 1].split(' ').collect();
        assert_eq!(json.bars.close[0], oldest[4].parse::<f64>().unwrap());
        assert_eq!(volume[0], oldest[5].parse::<i64>().unwrap());

        let lines: Vec<String> = rows.iter().map(|row| row.replace(' ', ",")).collect();
        let csv = format!("timestamp,open,high,low,close,volume\r\n{}\r\n", lines.join("\r\n"));
        let csv = read(&Adapter::alpha_vantage(Format::Csv), &ask, &csv, &xnys());
        assert_eq!(csv.bars, json.bars);

        let values: Vec<String> = rows
            .iter()
            .map(|row| {
                let v: Vec<&str> = row.split(' ').collect();
                format!(
                    r#"{{"datetime":"{}","open":"{}","high":"{}","low":"{}","close":"{}","volume":"{}"}}"#,
                    v[0], v[1], v[2], v[3], v[4], v[5]
                )
            })
            .collect();
        let body =
            format!(r#"{{"meta":{{"symbol":"{symbol}"}},"values":[{}],"status":"ok"}}"#, values.join(","));
        let twelve = read(&Adapter::twelve_data(), &ask, &body, &xnys());
        assert_eq!(twelve.bars, json.bars);
        bars += json.bars.len();

        // The visible splits are found, Apple's crash of 2000-09-29 by half is taken for one, and nothing else is.
        let splits: Vec<String> =
            json.flags.iter().filter(|f| f.rule == Rule::V9).map(|f| f.reason.clone()).collect();
        let expected = match symbol.as_str() {
            "AAPL" => 3,
            "MSFT" => 1,
            _ => 0,
        };
        assert_eq!(splits.len(), expected, "{symbol}: {splits:?}");
    }
    assert_eq!(bars, 12_154);
}
