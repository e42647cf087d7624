//! The dialect of Twelve Data: `/time_series?symbol=S&interval=1day&apikey=K`, several symbols with commas between.
//!
//! An answer says `"status": "ok"` or carries `code`, `message` and `"status": "error"`; a batch maps each symbol to one
//! of the two and costs as much as it has symbols.

use crate::decimal::{price, whole};
use crate::query::Query;
use crate::series::{Series, date_text};

/// The most symbols of one batch.
pub(crate) const MAX_BATCH: usize = 120;
/// The most bars of one batch, whatever its symbols have: 2.5 MB of text.
pub(crate) const MAX_BATCH_BARS: usize = 20_000;
const DEFAULT_BARS: usize = 30;
const MAX_BARS: usize = 5000;

/// How many bars a request asks for, or what is wrong with the question.
pub(crate) fn bars(query: &Query<'_>) -> Result<usize, &'static str> {
    if query.get("interval").is_none_or(|interval| interval != "1day") {
        return Err("**interval** is missing or not 1day, the only one this sandbox has");
    }
    match query.get("outputsize").map(|text| text.parse()) {
        None => Ok(DEFAULT_BARS),
        Some(Ok(bars @ 1..=MAX_BARS)) => Ok(bars),
        Some(_) => Err("**outputsize** is a number from 1 to 5000"),
    }
}

/// Appends the answer for one symbol.
pub(crate) fn render(out: &mut Vec<u8>, symbol: &str, series: Series<'_>, bars: usize) {
    let decimals = series.decimals();
    out.reserve(256 + bars.min(series.len()) * 144);
    out.extend_from_slice(b"{\"meta\":{\"symbol\":\"");
    out.extend_from_slice(symbol.as_bytes());
    out.extend_from_slice(
        b"\",\"interval\":\"1day\",\"currency\":\"USD\",\"exchange_timezone\":\"America/New_York\",\"type\":\"Common Stock\"},\"values\":[",
    );
    let mut before: &[u8] = b"{\"datetime\":\"";
    for row in series.newest_first().take(bars) {
        out.extend_from_slice(before);
        out.extend_from_slice(&date_text(row.day));
        for (name, ticks) in [("open", row.open), ("high", row.high), ("low", row.low), ("close", row.close)]
        {
            out.extend_from_slice(b"\",\"");
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"\":\"");
            price(out, ticks, decimals, 5);
        }
        out.extend_from_slice(b"\",\"volume\":\"");
        whole(out, row.volume);
        out.extend_from_slice(b"\"}");
        before = b",{\"datetime\":\"";
    }
    out.extend_from_slice(b"],\"status\":\"ok\"}");
}

/// A body, or a part of a batch, that says why there is no data.
pub(crate) fn error(code: u16, message: &str) -> Vec<u8> {
    serde_json::to_vec(&serde_json::json!({ "code": code, "message": message, "status": "error" }))
        .unwrap_or_default()
}
