//! What the hub promises its clients, slow ones included.

use super::*;
use crate::series::Reading;

fn json(frame: &[u8]) -> serde_json::Value {
    let from = frame.iter().position(|byte| *byte == b'{').unwrap();
    serde_json::from_slice(&frame[from..]).unwrap()
}

fn round(target: &str, at_ms: i64, values: &[(&str, Kind, f64)]) -> Round {
    let target: Arc<str> = Arc::from(target);
    let readings = values
        .iter()
        .map(|(name, kind, value)| Reading {
            series: Arc::new(Series::new(&target, name, &[], *kind)),
            value: *value,
        })
        .collect();
    Round { target, at_ms, took: Duration::ZERO, error: None, readings }
}

fn all(hub: &Hub, cursor: &mut Cursor) -> Vec<serde_json::Value> {
    std::iter::from_fn(|| hub.next(cursor)).map(|frame| json(&frame)).collect()
}

fn types(frames: &[serde_json::Value]) -> Vec<&str> {
    frames.iter().map(|frame| frame["type"].as_str().unwrap()).collect()
}

#[test]
fn who_slept_is_sent_every_series_and_only_the_newest_round() {
    let hub = Hub::new(&Config::default(), Duration::from_secs(1), "/m");
    let mut cursor = Cursor::default();
    hub.round(&round("a", 1000, &[("level", Kind::Gauge, 1.0), ("total", Kind::Counter, 5.0)]));
    let first = all(&hub, &mut cursor);
    assert_eq!(types(&first), ["hello", "series", "round"]);
    assert_eq!((first[0]["interval_ms"].as_i64(), first[0]["prefix"].as_str()), (Some(1000), Some("/m")));
    assert_eq!(first[2]["v"], serde_json::json!([[0, 1]]), "a total alone has no rate");
    for second in 2..10 {
        let total = 5.0 + 3.0 * (second - 1) as f64;
        hub.round(&round(
            "a",
            second * 1000,
            &[("level", Kind::Gauge, second as f64), ("total", Kind::Counter, total)],
        ));
        hub.round(&round("b", second * 1000, &[("late", Kind::Gauge, second as f64)]));
    }
    let later = all(&hub, &mut cursor);
    assert_eq!(types(&later), ["series", "round", "round"]);
    assert_eq!(later[1]["v"], serde_json::json!([[0, 9], [1, 3]]));
    assert_eq!(later[2]["v"], serde_json::json!([[2, 9]]));
    assert!(all(&hub, &mut cursor).is_empty());
}

#[test]
fn events_reach_those_who_were_there() {
    let hub = Hub::new(&Config::default(), Duration::from_secs(1), "");
    let event = |title: &str| Event {
        at_ms: 1,
        kind: "alert",
        title: title.to_owned(),
        severity: Some("warning"),
        detail: Some(serde_json::json!({"id": title})),
    };
    hub.event(&event("before"));
    let mut cursor = Cursor::default();
    assert_eq!(types(&all(&hub, &mut cursor)), ["hello"]);
    hub.event(&event("after"));
    let frames = all(&hub, &mut cursor);
    assert_eq!(types(&frames), ["alert", "event"]);
    assert_eq!((frames[0]["id"].as_str(), frames[1]["title"].as_str()), (Some("after"), Some("after")));
    for _ in 0..500 {
        hub.event(&event("many"));
    }
    assert_eq!(all(&hub, &mut cursor).len(), EVENTS);
}

#[test]
fn silent_series_make_room_and_clients_begin_anew() {
    let config = Config { live_series: 3, ..Config::default() };
    let hub = Hub::new(&config, Duration::from_secs(1), "");
    let mut cursor = Cursor::default();
    hub.round(&round("a", 0, &[("x", Kind::Gauge, 1.0), ("y", Kind::Gauge, 1.0), ("z", Kind::Gauge, 1.0)]));
    hub.round(&round("a", 1000, &[("new", Kind::Gauge, 2.0), ("z", Kind::Gauge, 1.0)]));
    assert_eq!(hub.stats().series_left_out, 1);
    all(&hub, &mut cursor);
    let later = SILENT_MS + 2000;
    hub.round(&round("a", later, &[("z", Kind::Gauge, 3.0)]));
    hub.round(&round("a", later, &[("new", Kind::Gauge, 4.0), ("z", Kind::Gauge, 5.0)]));
    let frames = all(&hub, &mut cursor);
    assert_eq!(types(&frames), ["hello", "series", "series", "round"]);
    assert_eq!(frames[1]["add"][0]["name"], "z");
    assert_eq!(frames[3]["v"], serde_json::json!([[1, 4], [0, 5]]));
}

#[test]
fn no_more_enter_than_the_bound_and_a_place_comes_back() {
    let hub = Hub::new(&Config { live_clients: 2, ..Config::default() }, Duration::from_secs(1), "");
    let (first, _second) = (hub.enter().unwrap(), hub.enter().unwrap());
    assert!(hub.enter().is_none());
    drop(first);
    assert!(hub.enter().is_some());
    assert_eq!((hub.stats().clients, hub.stats().refused), (3, 1));
}
