//! The dialect of Alpha Vantage: `/query?function=TIME_SERIES_DAILY&symbol=S&apikey=K`.
//!
//! Everything is status 200: data, refusals (`Information`) and errors (`Error Message`), the latter two as JSON even
//! when CSV was asked for. Newest bar first, all numbers as text.

use crate::decimal::{price, whole};
use crate::query::Query;
use crate::series::{Series, date_text};

/// Bars of a compact answer.
pub(crate) const COMPACT: usize = 100;

/// What one request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Form {
    pub(crate) full: bool,
    pub(crate) csv: bool,
}

impl Form {
    /// What is asked for, or what is wrong with the question.
    pub(crate) fn parse(query: &Query<'_>) -> Result<Self, &'static str> {
        if query.get("function").is_none_or(|function| function != "TIME_SERIES_DAILY") {
            return Err("Invalid API call: this sandbox answers function=TIME_SERIES_DAILY only.");
        }
        let full = match query.get("outputsize").as_deref() {
            None | Some("compact") => false,
            Some("full") => true,
            Some(_) => return Err("Invalid API call: outputsize is compact or full."),
        };
        let csv = match query.get("datatype").as_deref() {
            None | Some("json") => false,
            Some("csv") => true,
            Some(_) => return Err("Invalid API call: datatype is json or csv."),
        };
        Ok(Self { full, csv })
    }
}

/// A whole answer.
pub(crate) fn render(symbol: &str, series: Series<'_>, form: Form) -> Vec<u8> {
    let bars = if form.full { series.len() } else { series.len().min(COMPACT) };
    if form.csv { csv(series, bars) } else { json(symbol, series, bars, form.full) }
}

fn json(symbol: &str, series: Series<'_>, bars: usize, full: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(400 + bars * 224);
    let decimals = series.decimals();
    let mut rows = series.newest_first().take(bars).peekable();
    out.extend_from_slice(
        b"{\n    \"Meta Data\": {\n        \"1. Information\": \"Daily Prices (open, high, low, close) and Volumes\",\n        \"2. Symbol\": \"",
    );
    out.extend_from_slice(symbol.as_bytes());
    out.extend_from_slice(b"\",\n        \"3. Last Refreshed\": \"");
    if let Some(newest) = rows.peek() {
        out.extend_from_slice(&date_text(newest.day));
    }
    out.extend_from_slice(b"\",\n        \"4. Output Size\": \"");
    out.extend_from_slice(if full { b"Full size" } else { b"Compact" });
    out.extend_from_slice(
        b"\",\n        \"5. Time Zone\": \"US/Eastern\"\n    },\n    \"Time Series (Daily)\": {",
    );
    let mut before: &[u8] = b"\n        \"";
    for row in rows {
        out.extend_from_slice(before);
        out.extend_from_slice(&date_text(row.day));
        out.extend_from_slice(b"\": {\n            \"1. open\": \"");
        price(&mut out, row.open, decimals, 4);
        out.extend_from_slice(b"\",\n            \"2. high\": \"");
        price(&mut out, row.high, decimals, 4);
        out.extend_from_slice(b"\",\n            \"3. low\": \"");
        price(&mut out, row.low, decimals, 4);
        out.extend_from_slice(b"\",\n            \"4. close\": \"");
        price(&mut out, row.close, decimals, 4);
        out.extend_from_slice(b"\",\n            \"5. volume\": \"");
        whole(&mut out, row.volume);
        out.extend_from_slice(b"\"\n        }");
        before = b",\n        \"";
    }
    out.extend_from_slice(b"\n    }\n}");
    out
}

fn csv(series: Series<'_>, bars: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + bars * 72);
    let decimals = series.decimals();
    out.extend_from_slice(b"timestamp,open,high,low,close,volume\r\n");
    for row in series.newest_first().take(bars) {
        out.extend_from_slice(&date_text(row.day));
        for ticks in [row.open, row.high, row.low, row.close] {
            out.push(b',');
            price(&mut out, ticks, decimals, 4);
        }
        out.push(b',');
        whole(&mut out, row.volume);
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// A body that says why there is no data.
pub(crate) fn note(field: &str, text: &str) -> Vec<u8> {
    let fields = std::collections::BTreeMap::from([(field, text)]);
    serde_json::to_vec_pretty(&fields).unwrap_or_default()
}
