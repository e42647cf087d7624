//! Timed commands against each other: the verdict, the exit code, the document.

use tidemill_bench::compare::Verdict;
use tidemill_bench::report::{Content, Document};

use crate::program::{output, said};

/// A shell that counts, which costs processor time in proportion.
fn counting(to: u32) -> String {
    format!("sh -c 'i=0; while [ $i -lt {to} ]; do i=$((i+1)); done'")
}

fn compare(a: &str, b: &str) -> (Option<i32>, Document, String) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("compared.json");
    let run = output([
        "compare",
        "--pairs",
        "6",
        "--turn",
        "60ms",
        "--names",
        "old,new",
        a,
        b,
        "--json",
        file.to_str().unwrap(),
    ]);
    (
        run.status.code(),
        Document::read(&file).unwrap_or_else(|error| panic!("{error}\n{}", said(&run))),
        said(&run),
    )
}

#[test]
fn a_command_of_three_times_the_work_is_worse_and_its_mirror_better() {
    let (exit, document, said) = compare(&counting(4000), &counting(12_000));
    assert_eq!(exit, Some(6), "{said}");
    assert!(said.contains("WORSE") && said.contains("decides"), "{said}");
    let Content::Comparison(compared) = document.content else { panic!("another kind") };
    let comparison = compared.comparison.unwrap();
    assert!(comparison.verdict == Verdict::Worse && comparison.low > 0.2, "{comparison:?}");
    assert_eq!((compared.pairs.len(), compared.metric.as_str(), compared.b.name()), (6, "cpu", "new"));
    let (exit, _, said) = compare(&counting(12_000), &counting(4000));
    assert!(exit == Some(0) && said.contains("BETTER"), "{said}");
}

#[test]
fn an_operator_who_interrupts_gets_what_there_is() {
    use std::process::Stdio;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("compared.json");
    let mut child =
        crate::program::bench(["compare", "--pairs", "500", "--turn", "20ms", "true", "true", "--json"])
            .arg(&file)
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
    // After the fifth pair there is enough for a verdict.
    let mut progress = std::io::BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("pair 6 of") {
        line.clear();
        assert!(std::io::BufRead::read_line(&mut progress, &mut line).unwrap() > 0, "it ended by itself");
    }
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(child.id() as i32), nix::sys::signal::Signal::SIGINT)
        .unwrap();
    // What it still says must find a reader.
    std::io::copy(&mut progress, &mut std::io::sink()).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(5));
    let Content::Comparison(compared) = Document::read(&file).unwrap().content else {
        panic!("another kind")
    };
    assert!(compared.interrupted && compared.comparison.is_some() && compared.pairs.len() < 500);
}
