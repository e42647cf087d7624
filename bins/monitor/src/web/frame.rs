//! Frames of the socket: JSON, and the bytes of a WebSocket message around it, made once for every client.

use std::fmt::Write as _;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::json;

use crate::event::Event;
use crate::series::Series;

/// Text of one message; longer lists are cut into several, so that no client ever needs a large buffer.
pub(super) const TEXT_MAX: usize = 16 << 10;

/// A text message as it stands on the wire. A server's frames are not masked, so all clients share the same bytes.
pub(super) fn text(json: &str) -> Bytes {
    wire(0x81, json.as_bytes())
}

/// The end, with a status code.
pub(super) fn close(code: u16) -> Bytes {
    wire(0x88, &code.to_be_bytes())
}

/// The answer to a ping.
pub(super) fn pong(payload: &[u8]) -> Bytes {
    wire(0x8a, payload)
}

fn wire(head: u8, payload: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(payload.len() + 10);
    out.put_u8(head);
    match payload.len() {
        length @ ..=125 => out.put_u8(length as u8),
        length @ ..=0xffff => {
            out.put_u8(126);
            out.put_u16(length as u16);
        }
        length => {
            out.put_u8(127);
            out.put_u64(length as u64);
        }
    }
    out.put_slice(payload);
    out.freeze()
}

pub(super) fn hello(interval_ms: u64, prefix: &str) -> Bytes {
    text(&json!({"type": "hello", "interval_ms": interval_ms, "prefix": prefix}).to_string())
}

/// New series from index `from` on, in as many messages as they need.
pub(super) fn series(from: usize, added: &[Arc<Series>]) -> Vec<Bytes> {
    let one = |(at, series): (usize, &Arc<Series>)| {
        let mut value = serde_json::to_value(&**series).unwrap_or_default();
        value["i"] = (from + at).into();
        value.to_string()
    };
    pieces(r#"{"type":"series","add":["#, added.iter().enumerate().map(one))
}

/// The values of one target's round.
pub(super) fn round(target: &str, at_ms: i64, values: &[(usize, f64)]) -> Vec<Bytes> {
    let head = format!(
        r#"{{"type":"round","at_ms":{at_ms},"target":{},"v":["#,
        serde_json::Value::from(target) // with its quotes escaped
    );
    pieces(
        &head,
        values.iter().map(|(index, value)| {
            let mut pair = format!("[{index},");
            number(&mut pair, *value);
            pair.push(']');
            pair
        }),
    )
}

/// What happened, and the alert behind it where there is one.
pub(super) fn event(event: &Event) -> Vec<Bytes> {
    let mut frames = Vec::with_capacity(2);
    if let Some(serde_json::Value::Object(alert)) = &event.detail {
        let mut alert = alert.clone();
        alert.insert("type".to_owned(), "alert".into());
        frames.push(text(&serde_json::Value::Object(alert).to_string()));
    }
    if let Ok(serde_json::Value::Object(mut mark)) = serde_json::to_value(event) {
        mark.insert("type".to_owned(), "event".into());
        frames.push(text(&serde_json::Value::Object(mark).to_string()));
    }
    frames
}

fn pieces(head: &str, items: impl Iterator<Item = String>) -> Vec<Bytes> {
    let mut frames = Vec::new();
    let mut json = head.to_owned();
    for item in items {
        if json.len() > head.len() && json.len() + item.len() + 3 > TEXT_MAX {
            json.push_str("]}");
            frames.push(text(&json));
            json.truncate(head.len());
        }
        if json.len() > head.len() {
            json.push(',');
        }
        json.push_str(&item);
    }
    json.push_str("]}");
    frames.push(text(&json));
    frames
}

/// Six digits are more than a screen shows; JSON knows no infinity.
fn number(out: &mut String, value: f64) {
    if !value.is_finite() {
        out.push_str("null");
    } else if value == 0.0 {
        out.push('0');
    } else if !(1e-9..1e15).contains(&value.abs()) {
        let _ = write!(out, "{value:e}");
    } else if value.fract() == 0.0 {
        let _ = write!(out, "{value:.0}");
    } else {
        let decimals = (5 - value.abs().log10().floor() as i32).clamp(0, 15) as usize;
        let from = out.len();
        let _ = write!(out, "{value:.decimals$}");
        if out[from..].contains('.') {
            let kept = out.trim_end_matches('0').trim_end_matches('.').len();
            out.truncate(kept.max(from + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::Kind;

    fn json_of(frame: &[u8]) -> serde_json::Value {
        let at = match frame[1] {
            126 => 4,
            127 => 10,
            _ => 2,
        };
        serde_json::from_slice(&frame[at..]).unwrap()
    }

    #[test]
    fn numbers_are_short_and_true_to_six_digits() {
        let shown = |value| {
            let mut out = String::from("[");
            number(&mut out, value);
            out
        };
        for (value, text) in [
            (0.0, "[0"),
            (100.0, "[100"),
            (33.333_333_3, "[33.3333"),
            (123_456.78, "[123457"),
            (1e300, "[1e300"),
            (-0.5, "[-0.5"),
            (9_007_199_254_740_993.0, "[9.007199254740992e15"),
            (f64::NAN, "[null"),
        ] {
            assert_eq!(shown(value), text);
        }
        for power in -12..16 {
            let value = 1.234_567_89 * 10f64.powi(power);
            let back: f64 = shown(value)[1..].parse().unwrap();
            assert!((back / value - 1.0).abs() < 1e-5, "{value} became {back}");
        }
    }

    #[test]
    fn long_lists_are_cut_and_nothing_is_lost() {
        let target: Arc<str> = Arc::from("a \"quoted\" target");
        let all: Vec<_> = (0..2000)
            .map(|i| Arc::new(Series::new(&target, "n", &[("of", &i.to_string())], Kind::Gauge)))
            .collect();
        let frames = series(7, &all);
        assert!(frames.len() > 3 && frames.iter().all(|frame| frame.len() <= TEXT_MAX + 10));
        let indices: Vec<_> = frames
            .iter()
            .flat_map(|frame| json_of(frame)["add"].as_array().unwrap().clone())
            .map(|one| one["i"].as_u64().unwrap())
            .collect();
        assert_eq!(indices, (7..2007).collect::<Vec<_>>());
        let values: Vec<_> = (0..5000).map(|i| (i, i as f64 / 3.0)).collect();
        let rounds = round(&target, 5, &values);
        let read: usize = rounds.iter().map(|frame| json_of(frame)["v"].as_array().unwrap().len()).sum();
        assert_eq!((read, json_of(&rounds[0])["target"].as_str()), (5000, Some(&*target)));
    }
}
