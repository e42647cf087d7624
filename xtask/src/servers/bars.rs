//! The data the providers serve: deterministic synthetic bars on real sessions of the New York Stock Exchange.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Result;

/// Bars per symbol, the newest on the last session of 2024.
pub(super) const BARS: usize = 100;

/// Weekdays of 2024 on which the exchange stayed shut, as (month, day).
const HOLIDAYS: &[(u32, u32)] =
    &[(1, 1), (1, 15), (2, 19), (3, 29), (5, 27), (6, 19), (7, 4), (9, 2), (11, 28), (12, 25)];

const MONTHS: [u32; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

struct Bar {
    date: String,
    /// Prices in hundredths.
    open: u64,
    high: u64,
    low: u64,
    close: u64,
    volume: u64,
}

/// Writes `daily/S.json` (Alpha Vantage's shape), `series/S.json` (Twelve Data's) and `symbols.txt`.
pub(super) fn write(html: &Path, symbols: usize) -> Result<()> {
    for folder in ["daily", "series"] {
        std::fs::create_dir_all(html.join(folder))?;
    }
    let sessions = sessions();
    let dates = &sessions[sessions.len() - BARS..];
    let mut names = String::new();
    for number in 0..symbols {
        let symbol = format!("SYM{number:04}");
        let bars = bars(number as u64, dates);
        std::fs::write(html.join(format!("daily/{symbol}.json")), daily(&symbol, &bars)?)?;
        std::fs::write(html.join(format!("series/{symbol}.json")), series(&symbol, &bars)?)?;
        writeln!(names, "{symbol}")?;
    }
    std::fs::write(html.join("symbols.txt"), names)?;
    Ok(())
}

/// The sessions of 2024: Monday to Friday without the holidays.
fn sessions() -> Vec<String> {
    let days = (1u32..).zip(MONTHS).flat_map(|(month, days)| (1..=days).map(move |day| (month, day)));
    // The first of January 2024 was a Monday.
    let weekdays = days.enumerate().filter(|(index, _)| index % 7 < 5).map(|(_, date)| date);
    let open = weekdays.filter(|date| !HOLIDAYS.contains(date));
    open.map(|(month, day)| format!("2024-{month:02}-{day:02}")).collect()
}

/// A walk of a few tenths of a percent a day, the same for the same number.
fn bars(seed: u64, dates: &[String]) -> Vec<Bar> {
    let mut random = SplitMix(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x7469_6465);
    let mut price = 2_000 + random.below(48_000);
    let mut bars = Vec::with_capacity(dates.len());
    for date in dates {
        let span = price / 50 + 1;
        let open = price + random.below(span) - span / 2;
        let close = open + random.below(span) - span / 2;
        let high = open.max(close) + random.below(span / 4 + 1);
        let low = open.min(close) - random.below(span / 4 + 1);
        bars.push(Bar {
            date: date.clone(),
            open,
            high,
            low,
            close,
            volume: 100_000 + random.below(5_000_000),
        });
        price = close.max(1_000);
    }
    bars
}

fn daily(symbol: &str, bars: &[Bar]) -> Result<String> {
    let last = bars.last().map(|bar| bar.date.as_str()).unwrap_or_default();
    let mut text = format!(
        "{{\n    \"Meta Data\": {{\n        \"1. Information\": \"Daily Prices (open, high, low, close) and Volumes\",\n        \
         \"2. Symbol\": \"{symbol}\",\n        \"3. Last Refreshed\": \"{last}\",\n        \
         \"4. Output Size\": \"Compact\",\n        \"5. Time Zone\": \"US/Eastern\"\n    }},\n    \
         \"Time Series (Daily)\": {{"
    );
    for (index, bar) in bars.iter().rev().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        write!(text, "{comma}\n        \"{}\": {{", bar.date)?;
        let fields =
            [("1. open", bar.open), ("2. high", bar.high), ("3. low", bar.low), ("4. close", bar.close)];
        for (name, price) in fields {
            write!(text, "\n            \"{name}\": \"{}.{:02}00\",", price / 100, price % 100)?;
        }
        write!(text, "\n            \"5. volume\": \"{}\"\n        }}", bar.volume)?;
    }
    text.push_str("\n    }\n}\n");
    Ok(text)
}

fn series(symbol: &str, bars: &[Bar]) -> Result<String> {
    let mut text = format!(
        "{{\"meta\":{{\"symbol\":\"{symbol}\",\"interval\":\"1day\",\"currency\":\"USD\",\
         \"exchange_timezone\":\"America/New_York\",\"exchange\":\"NYSE\",\"type\":\"Common Stock\"}},\"values\":["
    );
    for (index, bar) in bars.iter().rev().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        write!(text, "{comma}{{\"datetime\":\"{}\"", bar.date)?;
        for (name, price) in [("open", bar.open), ("high", bar.high), ("low", bar.low), ("close", bar.close)]
        {
            write!(text, ",\"{name}\":\"{}.{:02}000\"", price / 100, price % 100)?;
        }
        write!(text, ",\"volume\":\"{}\"}}", bar.volume)?;
    }
    text.push_str("],\"status\":\"ok\"}\n");
    Ok(text)
}

/// Steele, Lea and Flood's generator: small, and the same everywhere.
struct SplitMix(u64);

impl SplitMix {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound.max(1)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn the_year_2024_had_252_sessions() {
        let sessions = sessions();
        assert_eq!(sessions.len(), 252);
        assert_eq!((sessions[0].as_str(), sessions[251].as_str()), ("2024-01-02", "2024-12-31"));
        for shut in ["2024-03-29", "2024-11-28", "2024-06-15", "2024-06-16"] {
            assert!(!sessions.iter().any(|date| date == shut), "{shut}");
        }
        assert!(
            sessions.iter().any(|date| date == "2024-07-03")
                && sessions.iter().any(|date| date == "2024-02-29")
        );
    }

    #[test]
    fn both_shapes_hold_the_same_true_bars() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), 3).unwrap();
        let read = |path: &str| std::fs::read_to_string(folder.path().join(path)).unwrap();
        assert_eq!(read("symbols.txt"), "SYM0000\nSYM0001\nSYM0002\n");
        let daily: Value = serde_json::from_str(&read("daily/SYM0002.json")).unwrap();
        let series: Value = serde_json::from_str(&read("series/SYM0002.json")).unwrap();
        let days = daily["Time Series (Daily)"].as_object().unwrap();
        let values = series["values"].as_array().unwrap();
        assert_eq!((days.len(), values.len()), (BARS, BARS));
        assert_eq!(values[0]["datetime"], "2024-12-31", "the newest comes first");
        for value in values {
            let number = |name: &str| value[name].as_str().unwrap().parse::<f64>().unwrap();
            let day = &days[value["datetime"].as_str().unwrap()];
            assert_eq!(day["4. close"].as_str().unwrap().parse::<f64>().unwrap(), number("close"));
            assert!(number("low") > 0.0 && number("volume") > 0.0);
            assert!(number("low") <= number("open").min(number("close")), "{value}");
            assert!(number("high") >= number("open").max(number("close")), "{value}");
        }
        assert_ne!(read("daily/SYM0000.json")[200..], read("daily/SYM0001.json")[200..]);
    }
}
