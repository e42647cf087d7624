//! Logs as programs write, rotate and cut them short.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use proptest::prelude::*;
use tidemill_monitor::logs::{Config, Follower, Handle, Level, Pattern, Query, Source, Start};

fn append(path: &Path, text: &str) {
    OpenOptions::new().create(true).append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

fn poll(follower: &mut Follower, budget: usize) -> Vec<String> {
    let mut lines = Vec::new();
    follower.poll(budget, |line| lines.push(line.to_owned())).unwrap();
    lines
}

#[test]
fn rotation_and_truncation_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.log");
    let mut follower = Follower::new(&path, 1000, None, false);
    assert!(poll(&mut follower, 1000).is_empty(), "not there yet");
    append(&path, "one\ntwo\nthr");
    assert_eq!(poll(&mut follower, 1000), ["one", "two"]);
    append(&path, "ee\nfour\n");
    // Moved away with lines nobody has read, and one that never ends.
    append(&path, "five");
    std::fs::rename(&path, folder.path().join("app.log.1")).unwrap();
    append(&path, "six\n");
    assert_eq!(poll(&mut follower, 1000), ["three", "four", "five", "six"]);
    // Cut short in place.
    File::create(&path).unwrap();
    append(&path, "7\n");
    assert_eq!(poll(&mut follower, 1000), ["7"]);
    std::fs::remove_file(&path).unwrap();
    assert!(poll(&mut follower, 1000).is_empty());
    append(&path, "eight\n");
    assert_eq!(poll(&mut follower, 1000), ["eight"]);
}

#[test]
fn a_restart_goes_on_after_the_last_whole_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.log");
    append(&path, "one\ntw");
    let mut follower = Follower::new(&path, 1000, None, false);
    assert_eq!(poll(&mut follower, 1000), ["one"]);
    let known = follower.position();
    append(&path, "o\nthree\n");
    let mut follower = Follower::new(&path, 1000, known, true);
    assert_eq!(poll(&mut follower, 1000), ["two", "three"]);
    // While nobody looked it became another file.
    let known = follower.position();
    std::fs::rename(&path, folder.path().join("old")).unwrap();
    append(&path, "four\n");
    let mut follower = Follower::new(&path, 1000, known, true);
    assert_eq!(poll(&mut follower, 1000), ["four"]);
    assert!(poll(&mut Follower::new(&path, 1000, None, true), 1000).is_empty(), "from the end");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Whatever is written, rotated and looked at, each line comes once and in order.
    #[test]
    fn every_line_comes_once(ops in prop::collection::vec(0_u8..10, 1..60), budget in 1_usize..200) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.log");
        let mut follower = Follower::new(&path, 1000, None, false);
        let (mut written, mut seen, mut rotations, mut looked) = (Vec::new(), Vec::new(), 0, false);
        for op in ops {
            match op {
                0..=5 => {
                    let line = format!("line {}", written.len());
                    append(&path, &format!("{line}\n"));
                    written.push(line);
                }
                // A file that comes and goes between two looks is lost, as for every follower of a name.
                6 if looked => {
                    rotations += 1;
                    std::fs::rename(&path, folder.path().join(format!("app.log.{rotations}"))).unwrap();
                    looked = false;
                }
                _ => {
                    // To the end, in pieces of the budget.
                    for _ in 0..1000 {
                        let before = seen.len();
                        seen.extend(poll(&mut follower, budget));
                        if seen.len() == before && seen.len() == written.len() { break }
                    }
                    prop_assert_eq!(&seen, &written);
                    looked = path.exists();
                }
            }
        }
    }
}

fn config(path: &Path) -> Config {
    Config {
        source: vec![Source { name: "app".to_owned(), path: path.to_owned(), from: Start::Start }],
        pattern: vec![Pattern {
            name: "oom".to_owned(),
            contains: Some("out of memory".to_owned()),
            ..Pattern::default()
        }],
        ..Config::default()
    }
}

#[test]
fn lines_are_found_counted_clustered_and_known_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.log");
    let data = folder.path().join("data");
    let logs = Handle::open(config(&path), &data, 1_000_000).unwrap();
    for n in 0..20 {
        append(&path, &format!("1970-01-01T00:20:{n:02}Z ERROR request {n} of user{n} failed\n"));
    }
    append(&path, "1970-01-01T00:20:30Z WARN Out of Memory soon\n{\"level\":\"info\",\"msg\":\"fine\"}\n");
    let round = logs.look(1_300_000);
    let count = |name: &str, label: Option<(&str, &str)>| {
        let of = round.readings.iter().filter(|reading| &*reading.series.name == name);
        let mut of =
            of.filter(|reading| label.is_none_or(|(name, value)| reading.series.label(name) == Some(value)));
        of.next().unwrap().value
    };
    assert_eq!(
        (count("log_lines_total", Some(("level", "error"))), count("log_pattern_matches_total", None)),
        (20.0, 1.0)
    );

    let query = |text: &str, level, from_ms, limit| {
        let query = Query { text: text.to_owned(), level, from_ms, limit, ..Query::default() };
        logs.search(&query).unwrap()
    };
    assert_eq!(query("memory", None, None, 10).lines.len(), 1);
    let newest = query("", Some(Level::Error), None, 3);
    assert_eq!((newest.lines.len(), newest.more), (3, true));
    assert!(newest.lines[0].text.contains("request 19"));
    assert_eq!(query("request", None, Some(1_210_000), 1000).lines.len(), 10);

    let summary = logs.summary(1_300_000);
    assert_eq!(summary["top_errors"][0]["template"], "ERROR request <*> of <*> failed");
    assert_eq!(
        (summary["top_errors"][0]["count"].as_u64(), summary["totals"]["error"].as_u64()),
        (Some(20), Some(20))
    );
    assert!(summary["new"].as_array().unwrap().is_empty(), "still learning");
    logs.save();

    // It goes on where it was, knows what is usual, and sees what is not.
    append(
        &path,
        "1970-01-01T00:40:00Z ERROR request 99 of anna failed\n1970-01-01T00:40:01Z ERROR the disk is gone\n",
    );
    let logs = Handle::open(config(&path), &data, 2_400_000).unwrap();
    let round = logs.look(2_402_000);
    assert_eq!(round.value("log_new_kinds_total"), Some(1.0));
    let summary = logs.summary(2_402_000);
    assert_eq!(summary["new"][0]["template"], "ERROR the disk is gone");
    let all = Query { text: "request".to_owned(), limit: 1000, ..Query::default() };
    assert_eq!(logs.search(&all).unwrap().lines.len(), 21, "each once");
}

#[tokio::test]
async fn the_api_searches_and_refuses_with_advice() {
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use tower::ServiceExt as _;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.log");
    append(&path, "2026-11-20T10:00:00Z ERROR Größe 5\n2026-11-20T10:00:01Z INFO fine\n");
    let logs = Handle::open(config(&path), folder.path(), 0).unwrap();
    logs.look(1_795_279_022_000);
    let routes = tidemill_monitor::logs::router(logs);
    let ask = |path: &str| {
        let (routes, request) = (routes.clone(), Request::builder().uri(path).body(Body::empty()).unwrap());
        async move {
            let answer = routes.oneshot(request).await.unwrap();
            let status = answer.status().as_u16();
            let bytes = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
            (status, serde_json::from_slice::<serde_json::Value>(&bytes).unwrap())
        }
    };
    let (_, found) = ask("/api/logs?text=GR%C3%96SSE").await;
    assert_eq!(found["lines"].as_array().unwrap().len(), 0);
    let (_, found) = ask("/api/logs?text=GR%C3%96%C3%9FE&level=error&limit=1").await;
    assert_eq!(found["lines"][0]["level"], "error");
    assert_eq!(ask("/api/logs?level=loud").await.0, 400);
    assert_eq!(ask("/api/logs?limit=many").await.0, 400);
    assert_eq!(ask("/api/logs?txet=x").await.0, 400);
    let (status, summary) = ask("/api/logs/summary").await;
    assert_eq!((status, summary["totals"]["info"].as_u64()), (200, Some(1)));
}
