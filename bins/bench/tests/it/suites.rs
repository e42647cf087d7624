//! The component suite: its counts, its document, and an earlier run beside it.

use tidemill_bench::report::{Content, Document};

use crate::program::{output, said};

#[test]
fn the_parts_report_their_figures_and_stand_beside_an_earlier_run() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let first = output(["suite", "--only", "memory,data,storage", "--json", &path("first.json")]);
    assert_eq!(first.status.code(), Some(0), "{}", said(&first));
    let Content::Suite(mut suite) = Document::read(path("first.json").as_ref()).unwrap().content else {
        panic!("another kind")
    };
    let names: Vec<&str> = suite.parts.iter().map(|part| part.name.as_str()).collect();
    assert_eq!(names, ["data", "storage", "memory"]);
    let grown = suite.parts[2].figures.iter().find(|figure| figure.name == "grown").unwrap();
    assert!((8.0..8.5).contains(&grown.value), "a million numbers of eight bytes: {} MB", grown.value);
    assert!(suite.parts.iter().flat_map(|part| &part.figures).all(|figure| figure.value.is_finite()));

    // Against a run in which nothing was left behind: worse, and said so.
    let left = suite.parts[2].figures.iter_mut().find(|figure| figure.name == "grown").unwrap();
    left.value = 1.0;
    let machine = tidemill_bench::report::Machine::default();
    let earlier = Document::new(1, machine, None, Content::Suite(suite));
    std::fs::write(path("earlier.json"), earlier.to_json().unwrap()).unwrap();
    let second = output(["suite", "--only", "memory", "--earlier", &path("earlier.json")]);
    assert!(said(&second).contains("earlier") && said(&second).contains("1 MB"), "{}", said(&second));
}

#[test]
fn what_got_worse_ends_with_6() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("earlier.json");
    let figure = tidemill_bench::suite::Figure::rate("1 at once", 1e9, "1/s").graded(8.0, 5.0);
    let part = tidemill_bench::suite::Part {
        name: "concurrency".into(),
        figures: vec![figure],
        ..Default::default()
    };
    let suite = tidemill_bench::suite::Suite { parts: vec![part], ..Default::default() };
    let earlier = Document::new(1, Default::default(), None, Content::Suite(Box::new(suite)));
    std::fs::write(&file, earlier.to_json().unwrap()).unwrap();
    let run = output(["suite", "--only", "concurrency", "--earlier", file.to_str().unwrap()]);
    assert_eq!(run.status.code(), Some(6), "{}", said(&run));
    assert!(said(&run).contains("worse than the earlier run: concurrency.1 at once"), "{}", said(&run));
}
