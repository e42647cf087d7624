//! Data beside the repository, used where it exists, and small builders for answers.

use std::path::{Path, PathBuf};

use tidemill_market::{Adapter, Answer, Ask, Calendar, Checks, Class, Date, Reading, Rule};

/// `<repository>/../shared/<path>`, or `None` with a loud line if it is not there.
pub(crate) fn shared(path: &str) -> Option<PathBuf> {
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    let found = crate_dir.ancestors().map(|dir| dir.join("shared").join(path)).find(|file| file.exists());
    if found.is_none() {
        println!("SKIPPED: no shared/{path} beside the repository");
    }
    found
}

pub(crate) fn shared_text(path: &str) -> Option<String> {
    Some(std::fs::read_to_string(shared(path)?).unwrap())
}

pub(crate) fn day(text: &str) -> Date {
    text.parse().unwrap()
}

/// New York's calendar, late in 2026.
pub(crate) fn xnys() -> Checks {
    Checks::at_ns(day("2026-11-20").midnight_ns() + 12 * 3_600_000_000_000)
        .with_calendar(Some(Calendar::xnys()))
}

/// No calendar, late in 2026.
pub(crate) fn always() -> Checks {
    Checks { calendar: None, ..xnys() }
}

/// Reads a 200 answer and asserts that the account balances.
pub(crate) fn read(adapter: &Adapter, ask: &Ask<'_>, body: &str, checks: &Checks) -> Reading {
    read_status(adapter, ask, 200, body, checks)
}

pub(crate) fn read_status(
    adapter: &Adapter,
    ask: &Ask<'_>,
    status: u16,
    body: &str,
    checks: &Checks,
) -> Reading {
    let answer = Answer { status, content_type: Some("application/json"), body: body.as_bytes() };
    let reading = adapter.read(ask, answer, checks);
    assert!(reading.balances(), "{reading:?}");
    assert_eq!(reading.bars.open.len(), reading.bars.len());
    assert_eq!(reading.bars.volume.len(), reading.bars.len());
    assert!(reading.bars.ts_ns.is_sorted_by(|a, b| a < b));
    assert!(reading.bars.is_empty() || reading.class == Class::Ok);
    assert!(!reading.flags.iter().any(|flag| flag.rule == Rule::V20));
    reading
}

/// An Alpha Vantage daily answer, indented by four as the provider's simulators write it. Rows are
/// `date open high low close volume`.
pub(crate) fn alpha(symbol: &str, rows: &[&str]) -> String {
    let days: Vec<String> = rows
        .iter()
        .map(|row| {
            let v: Vec<&str> = row.split_whitespace().collect();
            format!(
                "        \"{}\": {{\n            \"1. open\": \"{}\",\n            \"2. high\": \"{}\",\n            \
                 \"3. low\": \"{}\",\n            \"4. close\": \"{}\",\n            \"5. volume\": \"{}\"\n        }}",
                v[0], v[1], v[2], v[3], v[4], v[5]
            )
        })
        .collect();
    format!(
        "{{\n    \"Meta Data\": {{\n        \"1. Information\": \"Daily Prices (open, high, low, close) and Volumes\",\n        \
         \"2. Symbol\": \"{symbol}\",\n        \"3. Last Refreshed\": \"2026-11-19\",\n        \
         \"4. Output Size\": \"Compact\",\n        \"5. Time Zone\": \"US/Eastern\"\n    }},\n    \
         \"Time Series (Daily)\": {{\n{}\n    }}\n}}",
        days.join(",\n")
    )
}

/// The rules under which rows were quarantined, in order.
pub(crate) fn rules(reading: &Reading) -> Vec<Rule> {
    reading.quarantined.iter().map(|row| row.rule).collect()
}

pub(crate) fn flagged(reading: &Reading) -> Vec<Rule> {
    let mut rules: Vec<Rule> = reading.flags.iter().map(|flag| flag.rule).collect();
    rules.dedup();
    rules
}
