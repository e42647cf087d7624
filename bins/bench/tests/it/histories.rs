//! Stored runs with a planted change, and without one.

use std::path::Path;

use tidemill_bench::report::{Content, Document};
use tidemill_bench::statistics::random::Random;
use tidemill_load::{Reason, ReasonKind};

use crate::program::{output, said};
use crate::summaries::{document, summary};

fn store(dir: &Path, name: &str, levels: &[(u64, f64)]) {
    let mut random = Random::new(7);
    let medians = levels.iter().flat_map(|(runs, level)| std::iter::repeat_n(*level, *runs as usize));
    for (run, level) in medians.enumerate() {
        let median = level * (0.02 * random.normal()).exp();
        let document = document(summary(name, 2, median), 1_790_000_000 + run as u64 * 3600);
        std::fs::write(dir.join(format!("{name}-{run:03}.json")), document.to_json().unwrap()).unwrap();
    }
}

fn history(dir: &Path, more: &[&str]) -> (Option<i32>, String, Document) {
    let out = dir.join("history.out");
    let args = ["history", dir.to_str().unwrap(), "--json", out.to_str().unwrap()];
    let run = output(args.iter().chain(more));
    (run.status.code(), said(&run), Document::read(&out).unwrap())
}

#[test]
fn a_planted_change_is_named_with_its_run_and_ends_with_6() {
    let dir = tempfile::tempdir().unwrap();
    store(dir.path(), "shop", &[(14, 10.0), (10, 11.0)]);
    store(dir.path(), "quiet", &[(16, 10.0)]);
    std::fs::write(dir.path().join("notes.json"), "{}").unwrap();
    let mut broken = summary("shop", 2, 900.0);
    broken.verdict.valid = false;
    broken.verdict.reasons.push(Reason { kind: ReasonKind::CpuSteal, text: "stolen".into() });
    std::fs::write(dir.path().join("broken.json"), document(broken, 1_790_000_001).to_json().unwrap())
        .unwrap();
    let (exit, said, document) = history(dir.path(), &[]);
    assert_eq!(exit, Some(6), "{said}");
    assert!(said.contains("REGRESSION") && said.contains("the run was INVALID"), "{said}");
    let Content::History(found) = document.content else { panic!("another kind") };
    let shop = found.histories.iter().find(|h| h.name == "shop" && h.metric == "response.p50").unwrap();
    assert_eq!(shop.values.len(), 24);
    let point = shop.regression().unwrap();
    assert!(point.at.abs_diff(14) <= 1 && (point.change - 0.1).abs() < 0.03, "{point:?}");
    assert!(found.histories.iter().filter(|h| h.name == "quiet").all(|h| h.changes.is_empty()));
    assert_eq!(found.skipped.len(), 2, "{:?}", found.skipped);
}

#[test]
fn a_change_for_the_better_and_too_few_runs_end_with_0() {
    let dir = tempfile::tempdir().unwrap();
    store(dir.path(), "shop", &[(12, 10.0), (12, 8.0)]);
    let (exit, said, _) = history(dir.path(), &["--metric", "response.p50"]);
    assert!(exit == Some(0) && said.contains("NO REGRESSION") && said.contains("-19 %"), "{said}");
    let (exit, said, _) = history(dir.path(), &["--name", "nobody"]);
    assert!(exit == Some(0) && said.contains("NO HISTORY"), "{said}");
}
