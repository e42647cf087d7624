//! CPU time to read one Alpha Vantage answer of 100 bars, indented by four (about 14 KB):
//! `cargo run --release -p tidemill-market --example answer_cost`.
#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

use std::hint::black_box;
use std::time::Instant;

use tidemill_market::{Adapter, Answer, Ask, Calendar, Checks, Date, Format};

fn main() {
    let Some(first) = Date::new(2013, 1, 2) else { return };
    let sessions: Vec<Date> = Calendar::xnys().sessions(first, first.plus_days(200)).take(100).collect();
    let checks = Checks::at_ns(first.plus_days(4000).midnight_ns()).with_calendar(Some(Calendar::xnys()));
    for (name, format) in [("json", Format::Json), ("csv", Format::Csv)] {
        let body = body(&sessions, format);
        let adapter = Adapter::alpha_vantage(format);
        let answer = Answer { status: 200, content_type: None, body: body.as_bytes() };
        let read = || adapter.read(black_box(&Ask::daily("IBM")), black_box(answer), &checks);
        let reading = read();
        assert!(reading.bars.len() == 100 && reading.quarantined.is_empty() && reading.flags.is_empty());
        // The best of many rounds: other work on the machine only ever adds time.
        let round = || {
            let start = Instant::now();
            for _ in 0..20 {
                black_box(read());
            }
            start.elapsed().as_secs_f64() * 1e6 / 20.0
        };
        let mut rounds: Vec<f64> = (0..1000).map(|_| round()).collect();
        rounds.sort_by(f64::total_cmp);
        println!(
            "{name}: {} bytes, {:.1} us an answer at best, {:.1} at the median",
            body.len(),
            rounds[0],
            rounds[500]
        );
    }
}

fn body(sessions: &[Date], format: Format) -> String {
    let row = |(n, date): (usize, &Date)| {
        let close = 190.0 + (n * n * n % 97) as f64 / 17.0;
        let (open, high, low) = (close - 0.37, close + 1.25, close - 1.5);
        let volume = 4_000_000 + n * 7919;
        match format {
            Format::Csv => format!("{date},{open:.4},{high:.4},{low:.4},{close:.4},{volume}\r\n"),
            Format::Json => format!(
                "        \"{date}\": {{\n            \"1. open\": \"{open:.4}\",\n            \"2. high\": \"{high:.4}\",\n            \
                 \"3. low\": \"{low:.4}\",\n            \"4. close\": \"{close:.4}\",\n            \"5. volume\": \"{volume}\"\n        }}"
            ),
        }
    };
    let rows: Vec<String> = sessions.iter().enumerate().rev().map(row).collect();
    match format {
        Format::Csv => format!("timestamp,open,high,low,close,volume\r\n{}", rows.concat()),
        Format::Json => format!(
            "{{\n    \"Meta Data\": {{\n        \"1. Information\": \"Daily Prices (open, high, low, close) and Volumes\",\n        \
             \"2. Symbol\": \"IBM\",\n        \"5. Time Zone\": \"US/Eastern\"\n    }},\n    \"Time Series (Daily)\": {{\n{}\n    }}\n}}",
            rows.join(",\n")
        ),
    }
}
