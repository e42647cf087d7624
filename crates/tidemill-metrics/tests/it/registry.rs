//! Registration: the same twice is the same, different is an error that names both places; labels are bounded.

use tidemill_metrics::{Config, Counter, ErrorKind, LabelSet, OVERFLOW, Registry, labels};

#[test]
fn registering_twice_gives_the_same_series() {
    let registry = Registry::new();
    let one = registry.counter("a_total", "A.").with(&[("x", "1"), ("y", "2")]).unwrap();
    let two = registry.counter("a_total", "A.").with(&[("y", "2"), ("x", "1")]).unwrap();
    let other = registry.counter("a_total", "A.").with(&[("y", "3"), ("x", "1")]).unwrap();
    one.inc();
    two.add(2);
    assert_eq!((one.get(), two.get(), other.get()), (3, 3, 0));
    assert_eq!((registry.stats().families, registry.stats().series), (1, 2));
}

#[test]
fn a_clash_names_both_places() {
    let registry = Registry::new();
    let first = line!() + 1;
    registry.counter("a_total", "A.").get().unwrap();
    let second = line!() + 1;
    let error = registry.gauge("a_total", "A.").get().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Clash);
    let text = error.to_string();
    assert!(text.contains(&format!("registry.rs:{first}:")), "{text}");
    assert!(text.contains(&format!("registry.rs:{second}:")), "{text}");
    // By a derived name, in both orders.
    registry.histogram("b_seconds", "B.").get().unwrap();
    assert_eq!(registry.counter("b_seconds_count", "").get().unwrap_err().kind(), ErrorKind::Clash);
    registry.counter("c_seconds_sum", "C.").get().unwrap();
    assert_eq!(registry.histogram("c_seconds", "").get().unwrap_err().kind(), ErrorKind::Clash);
    // By other buckets.
    assert_eq!(registry.histogram_with("b_seconds", "", &[1.0]).get().unwrap_err().kind(), ErrorKind::Clash);
}

#[test]
fn names_and_labels_are_checked() {
    let registry = Registry::new();
    for bad in ["", "1a", "a-b", "a b", "é"] {
        assert_eq!(registry.counter(bad, "").get().unwrap_err().kind(), ErrorKind::Name, "{bad}");
    }
    let family = registry.histogram("h_seconds", "");
    for bad in ["", "1a", "a:b", "__a", "le"] {
        assert_eq!(family.with(&[(bad, "x")]).unwrap_err().kind(), ErrorKind::Name, "{bad}");
    }
    assert_eq!(family.with(&[("a", "x"), ("a", "y")]).unwrap_err().kind(), ErrorKind::Name);
    family.with(&[("a", "x")]).unwrap();
    let error = family.with(&[("b", "x")]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Labels);
    assert!(error.to_string().contains(r#"["a"]"#), "{error}");
    assert_eq!(family.get().unwrap_err().kind(), ErrorKind::Labels);
}

#[test]
fn label_sets_beyond_the_cap_share_one_series() {
    let registry = Registry::builder(Config { max_series: 3, ..Config::default() }).build().unwrap();
    let family = registry.counter("a_total", "A.");
    let handles: Vec<Counter> =
        (0..10).map(|i| family.with(&[("user", &i.to_string()), ("zone", "x")]).unwrap()).collect();
    handles.iter().for_each(Counter::inc);
    assert_eq!(handles[0].get(), 1);
    assert_eq!((handles[3].get(), handles[9].get()), (7, 7));
    assert_eq!(registry.stats().series, 4);
    assert_eq!(registry.stats().overflowed, 7);
    let text = registry.to_text();
    assert!(text.contains(&format!("a_total{{user=\"{OVERFLOW}\",zone=\"{OVERFLOW}\"}} 7\n")), "{text}");
    // Known ones are still found.
    family.with(&[("user", "1"), ("zone", "x")]).unwrap().inc();
    assert_eq!(handles[1].get(), 2);
}

#[test]
fn the_registry_is_bounded_and_its_config_checked() {
    let registry = Registry::builder(Config { max_families: 1, ..Config::default() }).build().unwrap();
    registry.counter("a_total", "").get().unwrap();
    assert_eq!(registry.counter("b_total", "").get().unwrap_err().kind(), ErrorKind::Full);
    for bad in [
        Config { prefix: "a-b".into(), ..Config::default() },
        Config { max_series: 0, ..Config::default() },
        Config { buckets: vec![], ..Config::default() },
        Config { buckets: vec![2.0, 1.0], ..Config::default() },
        Config { buckets: vec![f64::NAN], ..Config::default() },
    ] {
        assert_eq!(Registry::builder(bad).build().unwrap_err().kind(), ErrorKind::Config);
    }
    assert!(serde_json::from_str::<Config>(r#"{"prefx": "x"}"#).is_err());
    assert_eq!(serde_json::from_str::<Config>("{}").unwrap(), Config::default());
}

labels! {
    enum Zone: "zone" { North = "n", South = "s", East = "e\"" }
}
labels! {
    enum Kind: "kind" { Bars = "bars", News = "news" }
}
labels! {
    enum Sign: "sign" { Plus = "+", Minus = "-" }
}

#[test]
fn enums_find_their_series_by_index() {
    const ZONES: [Zone; 3] = [Zone::North, Zone::South, Zone::East];
    let registry = Registry::new();
    let family = registry.counter("a_total", "A.");
    let all = family.by::<(Zone, Kind, Sign)>().unwrap();
    let mut n = 0;
    for zone in ZONES {
        for kind in [Kind::Bars, Kind::News] {
            for sign in [Sign::Plus, Sign::Minus] {
                n += 1;
                all.get((zone, kind, sign)).add(n);
            }
        }
    }
    assert_eq!((registry.stats().series, <(Zone, Kind, Sign)>::COUNT), (12, 12));
    let same = family.with(&[("kind", "news"), ("sign", "-"), ("zone", "e\"")]).unwrap();
    assert_eq!(same.get(), 12);
    assert_eq!(family.with(&[("kind", "bars"), ("sign", "+"), ("zone", "s")]).unwrap().get(), 5);
    assert_eq!(registry.gauge("a_total", "").by::<Zone>().unwrap_err().kind(), ErrorKind::Clash);
    assert_eq!(registry.counter("b_total", "").by::<(Zone, Zone)>().unwrap_err().kind(), ErrorKind::Name);
    assert_eq!(registry.gauge("c", "").by::<Sign>().unwrap().get(Sign::Minus).get(), 0.0);
}
