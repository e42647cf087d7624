//! The text is what a strict reader of the format accepts, says what was counted, and survives any label value.

use std::collections::{BTreeMap, HashSet};

use proptest::prelude::*;
use tidemill_metrics::{Config, Format, Registry};

/// A sample's name, its labels, its value.
type Line = (String, BTreeMap<String, String>, f64);

/// Reads text 0.0.4 strictly: HELP then TYPE then samples of that family, every family once, every series once,
/// buckets cumulative and closed by `+Inf` that equals the count.
fn parse(text: &str) -> Result<Vec<Line>, String> {
    let mut lines = Vec::new();
    let (mut families, mut series) = (HashSet::new(), HashSet::new());
    let mut current: Option<(String, String)> = None;
    let mut help: Option<String> = None;
    if !text.is_empty() && !text.ends_with('\n') {
        return Err("no newline at the end".into());
    }
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, text) = rest.split_once(' ').ok_or("help without text")?;
            unescape(text, false)?;
            if !families.insert(name.to_owned()) {
                return Err(format!("family {name} twice"));
            }
            help = Some(name.to_owned());
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').ok_or("type without kind")?;
            if help.take().as_deref() != Some(name) || !["counter", "gauge", "histogram"].contains(&kind) {
                return Err(format!("type line `{line}`"));
            }
            current = Some((name.to_owned(), kind.to_owned()));
        } else {
            let (name, labels, value) = sample(line).map_err(|error| format!("{error} in `{line}`"))?;
            let (family, kind) = current.as_ref().ok_or("sample without type")?;
            let suffix = name.strip_prefix(family.as_str()).ok_or("sample of another family")?;
            let allowed: &[&str] = if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
            if !allowed.contains(&suffix) || (suffix == "_bucket") != labels.contains_key("le") {
                return Err(format!("suffix `{suffix}` of a {kind}"));
            }
            if !series.insert((name.clone(), labels.clone())) {
                return Err(format!("series twice: `{line}`"));
            }
            if kind == "counter" && (value < 0.0 || value.is_nan()) {
                return Err(format!("counter {value}"));
            }
            lines.push((name, labels, value));
        }
    }
    check_histograms(&lines)?;
    Ok(lines)
}

fn sample(line: &str) -> Result<Line, String> {
    let end = line.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':')).ok_or("no value")?;
    let (name, mut rest) = line.split_at(end);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err("bad name".into());
    }
    let mut labels = BTreeMap::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            let (label, after) = rest.split_once("=\"").ok_or("label without value")?;
            if label.is_empty() || !label.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
                return Err(format!("bad label {label}"));
            }
            let mut escaped = false;
            let close = after.find(|c: char| {
                let end = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                end
            });
            let close = close.ok_or("open quote")?;
            if labels.insert(label.to_owned(), unescape(&after[..close], true)?).is_some() {
                return Err("label twice".into());
            }
            rest = &after[close + 1..];
            if let Some(next) = rest.strip_prefix(',') {
                rest = next;
            } else {
                rest = rest.strip_prefix('}').ok_or("open brace")?;
                break;
            }
        }
    }
    let value = rest.strip_prefix(' ').ok_or("no space")?;
    Ok((name.to_owned(), labels, number(value)?))
}

fn number(text: &str) -> Result<f64, String> {
    match text {
        "+Inf" => Ok(f64::INFINITY),
        "-Inf" => Ok(f64::NEG_INFINITY),
        "NaN" => Ok(f64::NAN),
        _ if text.contains(|c: char| !(c.is_ascii_digit() || "+-.eE".contains(c))) => {
            Err(format!("value {text}"))
        }
        _ => text.parse().map_err(|_| format!("value {text}")),
    }
}

fn unescape(text: &str, quoted: bool) -> Result<String, String> {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.push(match chars.next() {
                Some('\\') => '\\',
                Some('n') => '\n',
                Some('"') if quoted => '"',
                other => return Err(format!("escape {other:?}")),
            }),
            '"' if quoted => return Err("bare quote".into()),
            c => out.push(c),
        }
    }
    Ok(out)
}

fn check_histograms(lines: &[Line]) -> Result<(), String> {
    let mut open: Option<(BTreeMap<String, String>, f64, f64)> = None;
    for (name, labels, value) in lines {
        if let Some(le) = labels.get("le") {
            let mut others = labels.clone();
            others.remove("le");
            let le = number(le)?;
            if let Some((same, bound, count)) = &open
                && *same == others
                && (le <= *bound || value < count)
            {
                return Err(format!("bucket {le} of {name} out of order"));
            }
            open = Some((others, le, *value));
        } else if name.ends_with("_count") {
            match &open {
                Some((same, bound, count)) if same == labels && *bound == f64::INFINITY && count == value => {
                }
                _ => return Err(format!("{name} does not equal its +Inf bucket")),
            }
        }
    }
    Ok(())
}

fn value(lines: &[Line], name: &str, labels: &[(&str, &str)]) -> f64 {
    let labels: BTreeMap<String, String> =
        labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    lines.iter().find(|(n, l, _)| n == name && *l == labels).unwrap_or_else(|| panic!("{name} {labels:?}")).2
}

#[test]
fn the_text_says_what_was_counted() {
    let registry = Registry::builder(Config { prefix: "app".into(), ..Config::default() }).build().unwrap();
    let requests = registry.counter("requests_total", "Requests, all\nof them\\.");
    requests.with(&[("method", "GET"), ("endpoint", "/")]).unwrap().add(u64::MAX);
    requests.with(&[("method", "PUT"), ("endpoint", "/")]).unwrap().inc();
    let gauges = registry.gauge("level", "A level.");
    for (name, level) in
        [("a", 1.5), ("b", f64::NAN), ("c", f64::NEG_INFINITY), ("d", -0.25), ("e", 1e300), ("f", 5e-324)]
    {
        gauges.with(&[("name", name)]).unwrap().set(level);
    }
    registry.gauge("never_used", "Has no series.");
    let seconds = registry.histogram("request_duration_seconds", "Time.");
    let plain = registry.histogram_with("plain_bytes", "Size.", &[1.0, 3.0, 1000.0]).get().unwrap();
    let get = seconds.with(&[("method", "GET")]).unwrap();
    for value in [0.0, 0.0009, 0.001, 0.25, 0.2500001, 3.0, 100.0, 1e20] {
        get.observe(value);
        plain.observe(value);
    }
    let text = registry.to_text();
    let lines = parse(&text).unwrap_or_else(|error| panic!("{error}:\n{text}"));
    assert_eq!(value(&lines, "app_requests_total", &[("method", "GET"), ("endpoint", "/")]), u64::MAX as f64);
    assert!(text.contains(&format!("}} {}\n", u64::MAX)), "whole numbers are exact");
    assert_eq!(value(&lines, "app_level", &[("name", "a")]), 1.5);
    assert!(value(&lines, "app_level", &[("name", "b")]).is_nan());
    assert_eq!(value(&lines, "app_level", &[("name", "e")]), 1e300);
    assert_eq!(value(&lines, "app_level", &[("name", "f")]), 5e-324);
    let bucket =
        |le: &str| value(&lines, "app_request_duration_seconds_bucket", &[("method", "GET"), ("le", le)]);
    assert_eq!((bucket("0.0009765625"), bucket("0.25"), bucket("0.5"), bucket("4.0")), (2.0, 4.0, 5.0, 6.0));
    assert_eq!((bucket("64.0"), bucket("+Inf")), (6.0, 8.0));
    assert_eq!(value(&lines, "app_request_duration_seconds_count", &[("method", "GET")]), 8.0);
    assert!(
        (value(&lines, "app_request_duration_seconds_sum", &[("method", "GET")]) / 1e20 - 1.0).abs() < 1e-9
    );
    assert_eq!(value(&lines, "app_plain_bytes_count", &[]), 8.0);
    assert_eq!(lines.iter().filter(|(name, ..)| name == "app_plain_bytes_bucket").count(), 4);
    assert!(!text.contains("never_used"));
}

#[test]
fn the_reader_is_strict() {
    for bad in [
        "a 1\n",
        "# HELP a b\n# TYPE a counter\na 1",
        "# HELP a b\n# TYPE a counter\na 1\na 2\n",
        "# HELP a b\n# TYPE a counter\nb 1\n",
        "# HELP a b\n# TYPE a counter\na{x=\"1\",} 1\n",
        "# HELP a b\n# TYPE a counter\na{x=\"\\q\"} 1\n",
        "# HELP a b\n# TYPE a counter\na inf\n",
        "# HELP a b\n# TYPE a histogram\na_bucket{le=\"1\"} 2\na_bucket{le=\"+Inf\"} 1\na_sum 1\na_count 1\n",
        "# HELP a b\n# TYPE a histogram\na_bucket{le=\"1\"} 1\na_sum 1\na_count 1\n",
        "# HELP a b\n# TYPE a histogram\na_bucket{le=\"+Inf\"} 2\na_sum 1\na_count 1\n",
    ] {
        assert!(parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn openmetrics_differs_where_it_must() {
    let registry = Registry::new();
    registry.counter("requests_total", "A \"quote\".").with(&[("path", "/")]).unwrap().add(3);
    registry.counter("odd", "No suffix.").get().unwrap().inc();
    registry.counter("taken_total", "Its family's name is another's.").get().unwrap().inc();
    registry.gauge("taken", "Is here already.").get().unwrap().set(1.0);
    registry.counter("sent_bytes_total", "Bytes.").get().unwrap().inc();
    registry.histogram_with("took_seconds", "Time.", &[1.0, 1024.0]).get().unwrap().observe(0.5);
    let text = String::from_utf8(registry.encode(Format::OpenMetrics)).unwrap();
    let wanted = concat!(
        "# HELP requests A \\\"quote\\\".\n# TYPE requests counter\nrequests_total{path=\"/\"} 3\n",
        "# HELP odd No suffix.\n# TYPE odd unknown\nodd 1\n",
        "# HELP taken_total Its family's name is another's.\n# TYPE taken_total unknown\ntaken_total 1\n",
        "# HELP taken Is here already.\n# TYPE taken gauge\ntaken 1\n",
        "# HELP sent_bytes Bytes.\n# TYPE sent_bytes counter\n# UNIT sent_bytes bytes\nsent_bytes_total 1\n",
        "# HELP took_seconds Time.\n# TYPE took_seconds histogram\n# UNIT took_seconds seconds\n",
        "took_seconds_bucket{le=\"1.0\"} 1\ntook_seconds_bucket{le=\"1024.0\"} 1\n",
        "took_seconds_bucket{le=\"+Inf\"} 1\ntook_seconds_sum 0.5\ntook_seconds_count 1\n# EOF\n",
    );
    assert_eq!(text, wanted);
    assert_eq!(Registry::new().encode(Format::OpenMetrics), b"# EOF\n");
    assert_eq!(registry.encode(Format::Text), registry.to_text().into_bytes());
}

/// The Prometheus project's own checker, where it is installed.
#[test]
fn promtool_has_no_complaint() {
    let registry = Registry::new();
    registry.counter("requests_total", "Requests.").with(&[("path", "/\"\\\n")]).unwrap().inc();
    registry.gauge("level", "A level.").get().unwrap().set(0.1);
    registry.histogram("request_duration_seconds", "Time.").get().unwrap().observe(0.1);
    let text = registry.to_text();
    parse(&text).unwrap();
    let tool = std::process::Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn();
    // Without it the strict reader above has to do.
    let Ok(mut tool) = tool else {
        eprintln!(
            "SKIPPED exposition::promtool_has_no_complaint: no `promtool`; install Debian's prometheus"
        );
        return;
    };
    std::io::Write::write_all(&mut tool.stdin.take().unwrap(), text.as_bytes()).unwrap();
    let output = tool.wait_with_output().unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.trim().is_empty(), "{said}");
}

proptest! {
    #[test]
    fn any_label_value_and_help_comes_back(
        values in prop::collection::hash_set("(?s).{0,12}", 1..8),
        help in "(?s).{0,20}",
        levels in prop::collection::vec(any::<f64>(), 8),
    ) {
        let registry = Registry::new();
        let counters = registry.counter("c_total", &help);
        let gauges = registry.gauge("g", &help);
        let histograms = registry.histogram("h_seconds", &help);
        for (value, level) in values.iter().zip(&levels) {
            let labels = [("v", value.as_str()), ("other", "x")];
            counters.with(&labels).unwrap().add(level.to_bits() >> 12);
            gauges.with(&labels).unwrap().set(*level);
            histograms.with(&labels).unwrap().observe(*level);
        }
        let text = registry.to_text();
        let lines = parse(&text).map_err(|error| TestCaseError::fail(format!("{error}:\n{text}")))?;
        for (v, level) in values.iter().zip(&levels) {
            let labels = [("v", v.as_str()), ("other", "x")];
            prop_assert_eq!(value(&lines, "c_total", &labels), (level.to_bits() >> 12) as f64);
            let read = value(&lines, "g", &labels);
            prop_assert!(read == *level || (read.is_nan() && level.is_nan()), "{} for {}", read, level);
        }
    }
}
