//! 20 times 5000 rows: decode, validate, returns, a moving average over 20, and the rows without one dropped.

use std::fmt::Write as _;
use std::time::{Duration, Instant, UNIX_EPOCH};

use anyhow::{Result, ensure};
use tidemill_market::{Adapter, Answer, Ask, Checks, Format};

use super::figure::{Figure, Part};
use crate::report::time::utc;
use crate::statistics::random::Random;
use crate::statistics::sample::Five;

const ROUNDS: usize = 20;
const ROWS: usize = 5000;
const WINDOW: usize = 20;
/// 2000-01-03, a Monday.
const FIRST_DAY_S: u64 = 946_857_600;

pub(super) fn part() -> Result<Part> {
    let body = body();
    let adapter = Adapter::alpha_vantage(Format::Json);
    let checks = Checks::new(UNIX_EPOCH + Duration::from_secs(FIRST_DAY_S + 20_000 * 86_400));
    let ask = Ask::daily("IBM");
    let (mut decoding, mut computing) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        let reading =
            adapter.read(&ask, Answer { status: 200, content_type: None, body: body.as_bytes() }, &checks);
        decoding.push(begun.elapsed().as_secs_f64());
        ensure!(reading.bars.len() == ROWS, "{} of {ROWS} rows were decoded", reading.bars.len());
        let begun = Instant::now();
        let rows = returns_and_average(&reading.bars.close);
        computing.push(begun.elapsed().as_secs_f64());
        ensure!(rows.len() == ROWS - WINDOW + 1, "{} rows are left", rows.len());
    }
    let (decoding, computing) = (Five::of(&decoding), Five::of(&computing));
    let both = decoding.mean + computing.mean;
    Ok(Part {
        name: "data".into(),
        what: format!("{ROUNDS} times {ROWS} rows from {} kB of JSON", body.len() / 1000),
        figures: vec![
            Figure::cost("decode and validate", 1e3 * decoding.mean, "ms"),
            Figure::cost("returns and SMA 20", 1e3 * computing.mean, "ms"),
            Figure::cost("standard deviation", 1e3 * decoding.deviation, "ms"),
            Figure::rate("rows decoded", ROWS as f64 / decoding.mean, "1/s"),
            Figure::rate("rows in all", ROWS as f64 / both, "1/s"),
        ],
    })
}

/// Return and mean of the last twenty closes, for every row that has both.
fn returns_and_average(close: &[f64]) -> Vec<(f64, f64)> {
    let mut rows = Vec::with_capacity(close.len());
    let mut sum: f64 = close.iter().take(WINDOW).sum();
    for at in WINDOW - 1..close.len() {
        if at >= WINDOW {
            sum += close[at] - close[at - WINDOW];
        }
        rows.push((close[at] / close[at - 1] - 1.0, sum / WINDOW as f64));
    }
    rows
}

/// An answer as Alpha Vantage gives it, of weekdays from 2000 on.
fn body() -> String {
    let mut random = Random::new(1);
    let mut price = 100.0_f64;
    let mut text = r#"{"Meta Data":{"2. Symbol":"IBM"},"Time Series (Daily)":{"#.to_owned();
    let days = (0_u64..).filter(|day| day % 7 < 5).take(ROWS);
    for (n, day) in days.enumerate() {
        let open = price;
        price = (price * (0.01 * random.normal()).exp()).max(1.0);
        let (high, low) = (open.max(price) * 1.002, open.min(price) * 0.998);
        let date = &utc(FIRST_DAY_S + day * 86_400)[..10];
        let comma = if n == 0 { "" } else { "," };
        // Writing to a String does not fail.
        let _ = write!(
            text,
            "{comma}\"{date}\":{{\"1. open\":\"{open:.4}\",\"2. high\":\"{high:.4}\",\"3. low\":\"{low:.4}\",\"4. close\":\"{price:.4}\",\"5. volume\":\"{}\"}}",
            1_000_000 + random.below(1_000_000)
        );
    }
    text + "}}"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_average_is_of_the_last_twenty() {
        let close: Vec<f64> = (1..=25).map(f64::from).collect();
        let rows = returns_and_average(&close);
        assert_eq!(rows.len(), 6);
        assert_eq!(rows[0].1, 10.5);
        assert!((rows[5].1 - 15.5).abs() < 1e-12 && (rows[5].0 - (25.0 / 24.0 - 1.0)).abs() < 1e-12);
    }
}
